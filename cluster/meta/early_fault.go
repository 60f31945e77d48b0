//go:build fault_apply_early

package meta

import (
	"context"
	"time"
)

// committing marks the context of a proposal that was answered early.
type committing struct{}

// proposeEarly is a bug that is planted on purpose, which test/chaos must find: changes of exchanges and bindings are answered
// by what this node knows, and committed afterwards, if at all.
func (g *Group) proposeEarly(ctx context.Context, c Command) (r Result, done bool, err error) {
	if ctx.Value(committing{}) != nil {
		return r, false, nil
	}
	switch c.(type) {
	case DeclareExchange, DeleteExchange, Bind, Unbind:
	default:
		return r, false, nil
	}
	if r, err = c.apply(newTxn(g.State())); err != nil {
		return r, true, err
	}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), committing{}, true), 5*time.Second)
		defer cancel()
		if _, err := g.Propose(ctx, c); err != nil {
			g.opts.Logger.Warn("a change that was answered early is lost", "error", err)
		}
	}()
	return r, true, nil
}
