//go:build e2e

package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var (
	long   = flag.Bool("long", false, "full sizes and times")
	rounds = flag.Int("rounds", 3, "kills in TestKill")
	seed   = flag.Uint64("seed", 0, "seed of all random choices, 0 for a new one")
	race   = flag.Bool("race-brokerd", false, "build brokerd with the race detector; memory and time limits are then not checked")
)

// executable is the brokerd under test. Its directory can be entered by every user, since TestDataDirRefused runs it as nobody.
var executable string

func TestMain(m *testing.M) {
	flag.Parse()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "brokerd-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		executable = filepath.Join(dir, "brokerd")
		args := []string{"build", "-o", executable}
		if *race {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "github.com/brokerd/brokerd/cmd/brokerd")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
			return 1
		}
		if err := os.Setenv("BROKERD_HTTP_LISTEN", ""); err != nil { // several brokers run at a time
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if code == 0 {
			if err := goleak.Find(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return code
	}())
}

// size returns short, or full with -long.
func size[T any](short, full T) T {
	if *long {
		return full
	}
	return short
}
