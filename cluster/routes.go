package cluster

import (
	"errors"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// routes compiles the metadata into routing snapshots. Only the holder of Broker.mu uses it.
type routes struct {
	broker  *Broker
	builder *routing.Builder
}

// rebuild begins again from a whole state.
func (r *routes) rebuild(s *meta.State) {
	r.builder = routing.NewBuilder()
	r.builder.Node = r.broker.opts.NodeID
	for v := range s.VHosts() {
		r.builder.PutVHost(v)
	}
	for x := range s.Exchanges() {
		r.putExchange(x)
	}
	for q := range s.AllQueues() {
		r.note(r.builder.PutQueue(q, r.broker.engines.handle(q)))
	}
	for b := range s.Bindings() {
		r.note(r.builder.PutBinding(*b))
	}
}

// change follows one change. The engine of a new queue must be there.
func (r *routes) change(c meta.Change) {
	switch e := c.Entity().(type) {
	case *meta.VHost:
		if c.Deleted() {
			r.builder.DeleteVHost(e.Name)
			r.broker.guards.dropVHost(e.Name)
		} else {
			r.builder.PutVHost(e)
		}
	case *meta.Exchange:
		if c.Deleted() {
			r.builder.DeleteExchange(e.VHost, e.Name)
			r.broker.guards.drop(e)
		} else {
			r.putExchange(e)
		}
	case *meta.Queue:
		if c.Deleted() {
			r.builder.DeleteQueue(e.VHost, e.Name)
		} else {
			r.note(r.builder.PutQueue(e, r.broker.engines.handle(e)))
		}
	case *meta.Binding:
		if c.Deleted() {
			r.builder.DeleteBinding(*e)
		} else {
			r.note(r.builder.PutBinding(*e))
		}
	}
}

// putExchange adds an exchange with the alternate exchange that policies give it.
func (r *routes) putExchange(x *meta.Exchange) {
	if err := r.builder.PutExchange(x); err != nil {
		r.note(err)
		return
	}
	r.setAlternate(x)
	r.note(r.builder.SetGuard(x.VHost, x.Name, r.broker.guards.of(x)))
}

func (r *routes) setAlternate(x *meta.Exchange) {
	effective := r.broker.policies[x.VHost].ForExchange(x.Name, x.Type)
	v, ok := effective.Get("alternate-exchange")
	// An exchange that is not there yet comes later in the same batch, by putExchange.
	if err := r.builder.SetAlternate(x.VHost, x.Name, v.Text, ok); !errors.Is(err, routing.ErrMissing) {
		r.note(err)
	}
}

// applyPolicies gives the exchanges of a vhost what its policies say now.
func (r *routes) applyPolicies(s *meta.State, vhost string) {
	for x := range s.ExchangesIn(vhost) {
		r.setAlternate(x)
	}
}

// publish makes what was compiled so far the routing state of this node.
func (r *routes) publish() { r.broker.routing.Store(r.builder.Commit()) }

// note logs what cannot be routed: an exchange of a type that a newer node brought in, for instance.
func (r *routes) note(err error) {
	if err != nil {
		r.broker.log.Error("routing state is incomplete", "error", err)
	}
}
