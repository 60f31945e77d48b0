package conformance

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
)

// conformanceCase is one line of the reference.
type conformanceCase struct {
	id     string
	about  string
	script script
	// prepare changes what only an administrator can; nil if there is nothing. It makes the case one of the own node only.
	prepare func(t testing.TB, b *cluster.Broker)
}

// target is the broker under test. broker is nil when it is not in this process.
var target struct {
	addr, user, password, vhost string
	broker                      *cluster.Broker
	list                        string // the file of known differences
}

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if uri := os.Getenv("AMQP_URL"); uri != "" {
		if err := aim(uri); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	code, err := withNode(dir, m.Run)
	if err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// aim points the suite at the broker of a URI.
func aim(uri string) error {
	u, err := url.Parse(uri)
	if err != nil {
		return err
	}
	target.addr, target.user, target.vhost = u.Host, u.User.Username(), strings.TrimPrefix(u.Path, "/")
	target.password, _ = u.User.Password()
	if target.vhost == "" {
		target.vhost = "/"
	}
	target.list = os.Getenv("AMQP_LIST")
	return nil
}

// withNode calls f while a node runs in this process.
func withNode(dir string, f func() int) (code int, err error) {
	cfg := config.Default()
	cfg.DataDir = dir
	cfg.AMQP.Listen, cfg.HTTP.Listen = []string{"127.0.0.1:0"}, ""
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n, err := node.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 1, err
	}
	target.addr, target.user, target.password, target.vhost = n.Addrs()[0], cfg.DefaultUser, cfg.DefaultPass, cfg.DefaultVHost
	target.broker = n.Broker()
	target.list = "known.txt"
	code = f()
	stop, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return code, n.Shutdown(stop)
}

// groups are all cases there are.
var groups = [][]conformanceCase{
	exchangeTraces, routingTraces, queueTraces, argumentTraces, consumeTraces, ackTraces, publishTraces, txTraces, featureTraces,
	channelTraces, frameTraces,
	ownershipCases, expiryCases, handshakeCases, policyCases, permissionCases, laterCases,
}

// TestCases plays all cases, one after the other: they use the same names.
func TestCases(t *testing.T) {
	known := readList(t, target.list)
	seen := make(map[string]bool)
	for _, group := range groups {
		for _, c := range group {
			if seen[c.id] {
				t.Fatalf("two cases %s", c.id)
			}
			seen[c.id] = true
			t.Run(c.id, func(t *testing.T) { judge(t, &c, known) })
		}
	}
	for id := range known {
		if !seen[id] {
			t.Errorf("%s lists %s, and there is no such case", target.list, id)
		}
	}
}

func judge(t *testing.T, c *conformanceCase, known map[string]string) {
	if c.prepare != nil && target.broker == nil {
		t.Skip("needs the node's administration")
	}
	reason, listed := known[c.id]
	patience = long
	if listed {
		patience = short
	}
	err := play(t, c)
	switch {
	case err != nil && !listed:
		t.Errorf("%s\n%v", c.about, err)
	case err != nil:
		t.Logf("%s: as known: %s\n%v", c.about, reason, err)
	case listed && !strings.HasPrefix(reason, "sometimes"):
		t.Errorf("%s: is right, but %s lists it: %s", c.about, target.list, reason)
	}
}

func play(t testing.TB, c *conformanceCase) error {
	r := &run{t: t, clients: map[string]*client{}, exchanges: map[string]bool{}, queues: map[string]bool{}}
	defer r.clean()
	if c.prepare != nil {
		c.prepare(t, target.broker)
	}
	return r.play(c.script)
}

// clean ends the connections of a case and deletes what it declared.
func (r *run) clean() {
	for _, c := range r.clients {
		c.close()
	}
	clear(r.clients)
	c, err := r.client("cleaner")
	if err == nil {
		err = c.open(1)
	}
	if err != nil {
		r.t.Errorf("cleaning: %v", err)
		return
	}
	defer c.close()
	ask := func(m wire.Method, answer string) {
		c.send(1, m)
		if got := c.next(1); !strings.HasPrefix(got, answer) {
			r.t.Errorf("cleaning: %s", got)
		}
	}
	for q := range r.queues {
		if !strings.HasPrefix(q, "amq.") && q != "" {
			ask(&wire.QueueDelete{Queue: q}, "queue.delete-ok")
		}
	}
	for x := range r.exchanges {
		if !strings.HasPrefix(x, "amq.") && x != "" {
			ask(&wire.ExchangeDelete{Exchange: x}, "exchange.delete-ok")
		}
	}
}

// readList reads the cases that are known to differ: an id and the reason a line. A reason that starts with "sometimes" allows
// both.
func readList(t *testing.T, name string) map[string]string {
	list := make(map[string]string)
	if name == "" {
		return list
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if id, reason, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
			list[id] = reason
		}
	}
	return list
}
