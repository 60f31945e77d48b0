//go:build !fault_apply_early

package meta

import "context"

// proposeEarly is for a bug that is planted on purpose (see the build tag): it does nothing.
func (g *Group) proposeEarly(context.Context, Command) (r Result, done bool, err error) { return }
