package main

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

// confirm asks before something is destroyed, unless --yes says that it shall be. Without a terminal nobody can be asked, so --yes
// is needed.
func (c *call) confirm(format string, args ...any) error {
	if c.yes {
		return nil
	}
	question := output.Clean(fmt.Sprintf(format, args...))
	if !terminal(c.cmd.InOrStdin()) {
		return usagef("%s: give --yes if that is meant (there is no terminal to ask on)", lowerFirst(question))
	}
	fmt.Fprintf(c.cmd.ErrOrStderr(), "%s? [y/N] ", question)
	line, err := bufio.NewReader(c.cmd.InOrStdin()).ReadString('\n')
	if err != nil && line == "" {
		return ctl.Problemf(exitFailure, "not confirmed, nothing was done")
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return ctl.Problemf(exitFailure, "not confirmed, nothing was done")
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// progress shows how far long work is, on a terminal only.
type progress struct {
	c    *call
	what string
	on   bool
}

func (c *call) progress(what string) *progress {
	return &progress{c: c, what: what, on: terminal(c.cmd.ErrOrStderr())}
}

// at draws the bar again.
func (p *progress) at(done, total uint64) {
	if !p.on {
		return
	}
	const width = 30
	full := 0
	if total > 0 {
		full = int(min(done, total) * width / total)
	}
	fmt.Fprintf(p.c.cmd.ErrOrStderr(), "\r%s [%s%s] %d/%d\x1b[K", p.what, strings.Repeat("#", full), strings.Repeat(".", width-full), done, total)
}

// clear removes the bar.
func (p *progress) clear() {
	if p.on {
		fmt.Fprint(p.c.cmd.ErrOrStderr(), "\r\x1b[K")
	}
}

// working shows that something goes on whose end is not known, on a terminal only, until the function that it returns is called.
func (c *call) working(what string) (stop func()) {
	p := c.progress(what)
	if !p.on {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			fmt.Fprintf(c.cmd.ErrOrStderr(), "\r%s %c\x1b[K", output.Clean(what), `|/-\`[i%4])
			select {
			case <-ticker.C:
			case <-done:
				p.clear()
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}
