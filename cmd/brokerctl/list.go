package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// pageSize is how many items are asked for at once.
const pageSize = 1000

// page is a part of a list as the node returns it.
type page[T any] struct {
	items       []T
	next        string   // token of the next page, empty on the last one
	unreachable []string // nodes that did not answer
}

// fetcher asks for a page.
type fetcher[T any] func(token string) (page[T], error)

// eachPage calls fn with all pages and returns the nodes that did not answer for one.
func eachPage[T any](fetch fetcher[T], fn func([]T) error) (unreachable []string, _ error) {
	token := ""
	for {
		p, err := fetch(token)
		if err != nil {
			return nil, err
		}
		for _, n := range p.unreachable {
			if !contains(unreachable, n) {
				unreachable = append(unreachable, n)
			}
		}
		if err := fn(p.items); err != nil {
			return nil, err
		}
		if p.next == "" {
			return unreachable, nil
		}
		if p.next == token {
			return nil, fmt.Errorf("the node returned the same page twice")
		}
		token = p.next
	}
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

// list prints all items, page by page, as often as --watch wants it.
func list[T any](c *call, columns output.Columns[T], fetch fetcher[T]) error {
	selected, err := columns.Select(c.columns, c.format)
	if err != nil {
		return &usageError{err}
	}
	return c.repeat(func(w io.Writer) error {
		l := output.NewList(w, c.format, selected.Names(), !c.noHeaders)
		unreachable, err := eachPage(fetch, func(items []T) error {
			for _, item := range items {
				if err := l.Row(selected.Values(item)); err != nil {
					return writeProblem(err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.warnUnreachable(unreachable)
		return writeProblem(l.Close())
	})
}

func (c *call) warnUnreachable(nodes []string) {
	if len(nodes) > 0 {
		c.warn("did not answer: %s; what they would have said is missing", strings.Join(nodes, ", "))
	}
}

// show prints one object; --columns chooses of its members.
func (c *call) show(o output.Object) error { return c.showIn(c.out, o) }

func (c *call) showIn(w io.Writer, o output.Object) error {
	if len(c.columns) > 0 {
		var chosen output.Object
		for _, name := range c.columns {
			found := false
			for _, m := range o {
				if m.Name == name {
					chosen, found = append(chosen, m), true
				}
			}
			if !found {
				names := make([]string, len(o))
				for i, m := range o {
					names[i] = m.Name
				}
				return usagef("there is no column %q; there are %s", name, strings.Join(names, ", "))
			}
		}
		o = chosen
	}
	return writeProblem(output.Item(w, c.format, o))
}

// repeat shows something once, or again and again with --watch.
func (c *call) repeat(show func(io.Writer) error) error {
	interval := time.Duration(c.watch)
	if interval == 0 {
		return show(c.out)
	}
	if interval < 100*time.Millisecond {
		return usagef("--watch %v is too often, at least 100ms", interval)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	screen := terminal(c.out)
	for {
		var b bytes.Buffer // so that a screen changes at once
		if screen {
			fmt.Fprintf(&b, "\x1b[H\x1b[2JEvery %v: %s    %s\n\n", interval, output.Clean(c.commandLine()), time.Now().Format(time.TimeOnly))
		}
		if err := show(&b); err != nil {
			return err
		}
		if _, err := c.out.Write(b.Bytes()); err != nil {
			return writeProblem(err)
		}
		select {
		case <-c.ctx.Done():
			return context.Canceled
		case <-ticker.C:
		}
	}
}

// filterFlags adds the filters that all lists have.
func filterFlags(fs *pflag.FlagSet, of string) {
	fs.String("prefix", "", "only those whose "+of+" starts with this")
	fs.String("regex", "", "only those whose "+of+" matches this regular expression (RE2)")
}

// moment makes a time of a timestamp, zero if there is none.
func moment(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// enum makes a word of the name of a protobuf constant: QUEUE_STATE_RUNNING with the prefix QUEUE_STATE_ is running.
func enum(name, prefix string) string {
	name = strings.TrimPrefix(name, prefix)
	if name == "UNSPECIFIED" {
		return "unknown"
	}
	return strings.ToLower(name)
}
