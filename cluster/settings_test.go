package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/brokerd/brokerd/cluster/meta"
)

// A policy acts on queues and exchanges that are there, and its deletion too.
func TestPoliciesAreLive(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	must(t, a.DeclareExchange(ExchangeSpec{Name: "px", Type: "direct", Durable: true}))
	_, err := a.DeclareQueue(QueueSpec{Name: "pq", Durable: true})
	must(t, err)
	_, err = a.DeclareQueue(QueueSpec{Name: "other", Durable: true})
	must(t, err)
	must(t, a.DeclareExchange(ExchangeSpec{Name: "ae", Type: "fanout", Durable: true}))
	must(t, a.BindQueue(BindingSpec{Source: "ae", Destination: "other"}))

	ctx := context.Background()
	_, err = n.PutPolicy(ctx, meta.Policy{VHost: "/", Name: "p", Pattern: "^p", ApplyTo: "all",
		Definition: []byte(`{"max-length":3,"message-ttl":60000,"alternate-exchange":"ae"}`)})
	must(t, err)
	set := n.engines.all()
	for _, e := range set {
		s := e.settings.Load()
		switch e.def.Name {
		case "pq":
			if s.MaxLength != 3 || s.MessageTTL != 60000 {
				t.Errorf("pq has %+v", *s)
			}
		case "other":
			if s.MaxLength != -1 || s.MessageTTL != -1 {
				t.Errorf("other has %+v", *s)
			}
		}
	}
	routed := func() int {
		r := a.Routes()
		return len(r.Route(nil, r.Exchange("px"), []byte("nowhere"), nil, nil))
	}
	if got := routed(); got != 1 {
		t.Errorf("routed to %d queues through the policy's alternate exchange, want 1", got)
	}
	must(t, n.DeletePolicy(ctx, "/", "p", false))
	if got := routed(); got != 0 {
		t.Errorf("routed to %d queues without the policy, want 0", got)
	}
	deadline := time.Now().Add(5 * time.Second)
	for _, e := range n.engines.all() {
		for e.settings.Load().MaxLength != -1 {
			if time.Now().After(deadline) {
				t.Fatalf("%s still has %+v", e.def.Name, *e.settings.Load())
			}
		}
	}
}
