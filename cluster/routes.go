package cluster

import (
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
	for v := range s.VHosts() {
		r.builder.PutVHost(v)
	}
	for x := range s.Exchanges() {
		r.note(r.builder.PutExchange(x))
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
		} else {
			r.builder.PutVHost(e)
		}
	case *meta.Exchange:
		if c.Deleted() {
			r.builder.DeleteExchange(e.VHost, e.Name)
		} else {
			r.note(r.builder.PutExchange(e))
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

// publish makes what was compiled so far the routing state of this node.
func (r *routes) publish() { r.broker.routing.Store(r.builder.Commit()) }

// note logs what cannot be routed: an exchange of a type that a newer node brought in, for instance.
func (r *routes) note(err error) {
	if err != nil {
		r.broker.log.Error("routing state is incomplete", "error", err)
	}
}
