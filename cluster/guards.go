package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
)

// guards are what keeps repetitions from passing the exchanges that are declared so. Each node has its own: a repetition by way of
// another node is not noticed. Only the holder of Broker.mu uses it.
type guards struct {
	broker *Broker
	byName map[exchangeName]*guard
	// recovered is what the log has, while the node starts.
	recovered map[uint64]*block.Recovered
}

type exchangeName struct{ vhost, name string }

type guard struct {
	*dedup.Guard
	def *meta.Exchange
}

// of returns the guard of x, nil if x has none.
func (s *guards) of(x *meta.Exchange) *dedup.Guard {
	name := exchangeName{x.VHost, x.Name}
	if g := s.byName[name]; g != nil {
		if g.stands(x) {
			return g.Guard
		}
		s.drop(g.def)
	}
	o := exchangeDeduplication(x)
	if o == nil {
		return nil
	}
	var log block.Log
	var states []block.State
	id := guardID(x)
	if x.Durable {
		log = s.broker.opts.Store
		if r := s.recovered[id]; r != nil {
			states = r.States
		}
	}
	g := &guard{dedup.NewGuard(*o, log, id, states), x}
	s.byName[name] = g
	return g.Guard
}

// stands reports whether g is right for x.
func (g *guard) stands(x *meta.Exchange) bool {
	return g.def == x || g.def.Type == x.Type && g.def.Durable == x.Durable && bytes.Equal(g.def.Arguments, x.Arguments)
}

// drop ends the guard of an exchange that is gone.
func (s *guards) drop(x *meta.Exchange) {
	name := exchangeName{x.VHost, x.Name}
	if g := s.byName[name]; g != nil {
		g.Drop()
		delete(s.byName, name)
	}
}

// dropVHost ends the guards of a vhost that is gone.
func (s *guards) dropVHost(vhost string) {
	for name, g := range s.byName {
		if name.vhost == vhost {
			s.drop(g.def)
		}
	}
}

// keep drops the guards of exchanges that are not in a state.
func (s *guards) keep(state *meta.State) {
	for name, g := range s.byName {
		if state.Exchange(name.vhost, name.name) == nil {
			s.drop(g.def)
		}
	}
}

// exchangeDeduplication returns how x compares messages, nil if it takes all. Arguments were checked when x was declared, so what
// cannot be read is not there.
func exchangeDeduplication(x *meta.Exchange) *dedup.Options {
	if len(x.Arguments) == 0 {
		return nil
	}
	args, err := wire.ParseTable(x.Arguments)
	if err != nil {
		return nil
	}
	c, _ := policy.ExchangeSettings(args, policy.Effective{})
	return deduplication(c.Deduplication)
}

// guardID is the id under which the log keeps what the guard of x knows. No queue has it: their ids count up from 1.
func guardID(x *meta.Exchange) uint64 {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(x.VHost), []byte(x.Name), x.Arguments} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return 1<<63 | binary.BigEndian.Uint64(h.Sum(nil))
}

// guardIDs returns the ids of all guards that are logged.
func guardIDs(s *meta.State) map[uint64]bool {
	ids := make(map[uint64]bool)
	for x := range s.Exchanges() {
		if x.Durable && exchangeDeduplication(x) != nil {
			ids[guardID(x)] = true
		}
	}
	return ids
}
