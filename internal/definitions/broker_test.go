package definitions

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startBroker starts an empty broker, which has the vhost / and the user guest.
func startBroker(t testing.TB) *cluster.Broker {
	t.Helper()
	b, stop := openBroker(t)
	t.Cleanup(stop)
	return b
}

func openBroker(t testing.TB) (b *cluster.Broker, stop func()) {
	t.Helper()
	// A directory of its own, so that a broker of one try of a property is gone before the next.
	dir, err := os.MkdirTemp(t.TempDir(), "broker")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	st, err := store.Open(store.Options{Dir: filepath.Join(dir, "store"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	b, err = cluster.Open(context.Background(), cluster.Options{NodeID: "n1", Store: st, Logger: log,
		Meta: meta.Options{Dir: filepath.Join(dir, "meta"), Bootstrap: true}})
	if err != nil {
		t.Fatal(err)
	}
	return b, func() {
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}

// mustParse parses definitions that are right.
func mustParse(t testing.TB, data []byte, name string) *Definitions {
	t.Helper()
	d, err := Parse(data, name)
	if err != nil {
		t.Fatalf("%s:\n%v", name, err)
	}
	return d
}

// mustApply makes b match d.
func mustApply(t testing.TB, b *cluster.Broker, d *Definitions, o ApplyOptions) *Report {
	t.Helper()
	plan, err := Diff(b.State(), d)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Apply(t.Context(), b, plan, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// wantNoDiff fails unless b has exactly what d says.
func wantNoDiff(t testing.TB, b *cluster.Broker, d *Definitions) {
	t.Helper()
	plan, err := Diff(b.State(), d)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Empty() {
		for i := range plan {
			if plan[i].Action != Unchanged {
				t.Errorf("differs: %s", plan[i].String())
			}
		}
	}
}

func export(b *cluster.Broker, vhost string) []byte {
	return Export(b.State(), ExportOptions{VHost: vhost}).AppendJSON(nil)
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
