package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// watchFlags adds the flags that end a stream.
func watchFlags(fs *pflag.FlagSet) {
	fs.Uint64("count", 0, "end after so many (never)")
	fs.Var(new(duration), "for", "end after this time (never)")
	fs.Lookup("for").DefValue = ""
}

// watching returns the context of a stream that --for ends.
func (c *call) watching() (context.Context, context.CancelFunc) {
	if f := c.cmd.Flags().Lookup("for"); f != nil {
		if d, ok := f.Value.(*duration); ok && *d > 0 {
			return context.WithTimeout(c.ctx, time.Duration(*d))
		}
	}
	return context.WithCancel(c.ctx)
}

// follow prints what a stream sends, each row at once, until it ends, --count is reached, or --for has passed. A JSON or YAML list
// is closed properly in any case.
func follow[T any](c *call, columns output.Columns[T], open func(context.Context) (func() (T, error), error)) error {
	selected, err := columns.Select(c.columns, c.format)
	if err != nil {
		return &usageError{err}
	}
	ctx, cancel := c.watching()
	defer cancel()
	next, err := open(ctx)
	if err != nil {
		return err
	}
	l := output.NewList(c.out, c.format, selected.Names(), !c.noHeaders)
	most := c.number("count")
	for n := uint64(0); most == 0 || n < most; n++ {
		item, err := next()
		if err != nil {
			if err = streamEnd(c.ctx, ctx, err); err != nil && n == 0 {
				return err // without the heading of an empty list
			}
			return errors.Join(err, writeProblem(l.Close()))
		}
		if err := errors.Join(l.Row(selected.Values(item)), l.Flush()); err != nil {
			return writeProblem(err)
		}
	}
	return writeProblem(l.Close())
}

// streamEnd says whether a stream ended as it should: by itself, because --for has passed or by an interrupt.
func streamEnd(outer, inner context.Context, err error) error {
	if errors.Is(err, io.EOF) || outer.Err() != nil || inner.Err() != nil {
		return nil
	}
	if status.Code(err) == codes.DeadlineExceeded && inner.Err() == nil {
		if deadline, ok := inner.Deadline(); ok && time.Until(deadline) < time.Second {
			return nil // the node's clock was a little faster
		}
	}
	return err
}
