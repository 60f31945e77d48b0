package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// model is the state of one vhost in plain maps.
type model struct {
	exchanges map[string]*meta.Exchange
	queues    map[string]*meta.Queue
	bindings  map[string]meta.Binding // by their printed form
	policies  map[string]string       // alternate exchanges by exchange
}

func (m model) clone() model {
	return model{maps.Clone(m.exchanges), maps.Clone(m.queues), maps.Clone(m.bindings), maps.Clone(m.policies)}
}

// matches returns the bindings of an exchange that a message follows.
func (m model) matches(source string, keys []string) []meta.Binding {
	typ := m.exchanges[source].Type
	var out []meta.Binding
	for _, b := range m.bindings {
		if b.Source != source {
			continue
		}
		ok := true // fanout, headers without arguments, and what chooses one of all bindings
		switch typ {
		case exchange.Direct:
			ok = slices.Contains(keys, b.RoutingKey)
		case exchange.Topic: // the keys of this test have one word
			ok = b.RoutingKey == "#" || b.RoutingKey == "*" || slices.Contains(keys, b.RoutingKey)
		}
		if ok {
			out = append(out, b)
		}
	}
	if typ == exchange.ConsistentHash || typ == exchange.ModulusHash {
		return m.choose(source, out, keys)
	}
	return out
}

// choose returns the binding that a new table of the type would choose.
func (m model) choose(source string, bindings []meta.Binding, keys []string) []meta.Binding {
	x := m.exchanges[source]
	table := exchange.Lookup(x.Type).New(x.Arguments)
	ids := map[string]uint64{} // bindings of one destination have one ID
	for _, b := range bindings {
		to := modelDestination{binding: b}
		if ids[to.Identity()] == 0 {
			ids[to.Identity()] = uint64(len(ids) + 1)
		}
		to.id = ids[to.Identity()]
		table = table.With(exchange.Binding{Key: b.RoutingKey, To: to})
	}
	msg := &exchange.Message{Key: []byte(keys[0]), CorrelationID: []byte(keys[0] + "id")}
	for _, key := range keys[1:] {
		msg.Extra = append(msg.Extra, []byte(key))
	}
	var out []meta.Binding
	for _, d := range table.Match(nil, msg) {
		out = append(out, d.(modelDestination).binding)
	}
	return out
}

// modelDestination is a destination that knows nothing of queues and exchanges.
type modelDestination struct {
	id      uint64
	binding meta.Binding
}

func (d modelDestination) ID() uint64  { return d.id }
func (d modelDestination) Local() bool { return false }
func (d modelDestination) Identity() string {
	if d.binding.DestinationKind == meta.ToQueue {
		return "queue/" + d.binding.Destination
	}
	return "exchange/" + d.binding.Destination
}

// route walks the graph breadth first.
func (m model) route(first string, keys []string) []string {
	result := map[string]bool{}
	seen, todo := map[string]bool{first: true}, []string{first}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		enter := func(next string) {
			if !seen[next] && (next == "" || m.exchanges[next] != nil) {
				seen[next] = true
				todo = append(todo, next)
			}
		}
		if name == "" {
			for _, key := range keys {
				if m.queues[key] != nil {
					result[key] = true
				}
			}
			continue
		}
		matched := false
		for _, b := range m.matches(name, keys) {
			matched = true
			if b.DestinationKind == meta.ToQueue {
				result[b.Destination] = true
			} else {
				enter(b.Destination)
			}
		}
		if alt, ok := m.alternate(name); ok && !matched {
			enter(alt)
		}
	}
	return slices.Sorted(maps.Keys(result))
}

// alternate returns the alternate exchange that counts.
func (m model) alternate(name string) (string, bool) {
	if alt, ok := alternate(m.exchanges[name].Arguments); ok {
		return alt, true
	}
	alt, ok := m.policies[name]
	return alt, ok
}

func (m model) deleteExchange(name string) {
	delete(m.exchanges, name)
	delete(m.policies, name)
	m.deleteEnds(func(b meta.Binding) bool {
		return b.Source == name || b.DestinationKind == meta.ToExchange && b.Destination == name
	})
}

func (m model) deleteEnds(is func(meta.Binding) bool) {
	maps.DeleteFunc(m.bindings, func(_ string, b meta.Binding) bool { return is(b) })
}

func names(queues []*Queue) []string {
	var out []string
	for _, q := range queues {
		out = append(out, q.Def.Name)
	}
	slices.Sort(out)
	return out
}

var (
	drawExchange = rapid.SampledFrom([]string{"e1", "e2", "e3", "e4", "e5"})
	drawQueue    = rapid.SampledFrom(strings.Fields("q1 q2 q3 q4 q5 q6 q7 q8 q9 q10 q11 q12 q13 q14 q15 q16 q17 q18 q19 q20"))
	drawType     = rapid.SampledFrom([]string{"direct", "fanout", "topic", "headers", "x-consistent-hash", "x-modulus-hash"})
	// drawAlternate draws names of alternate exchanges.
	drawAlternate = rapid.SampledFrom([]string{"", "e1", "e2", "e3", "missing"})
	drawKey       = rapid.SampledFrom([]string{"a", "b", "#", "*", "q1", "q2"})
)

func drawBinding(t *rapid.T) meta.Binding {
	b := meta.Binding{VHost: "/", Source: drawExchange.Draw(t, "source"), RoutingKey: drawKey.Draw(t, "key")}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		b.DestinationKind, b.Destination = meta.ToExchange, drawExchange.Draw(t, "destination")
	} else {
		b.Destination = drawQueue.Draw(t, "destination")
	}
	return b
}

// TestAgainstModel changes a vhost at random and compares the routes of every snapshot, also of old ones at the end.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type version struct {
			snapshot *Snapshot
			model    model
		}
		b := NewBuilder()
		b.PutVHost(&meta.VHost{Name: "/"})
		cur := version{b.Commit(), model{map[string]*meta.Exchange{}, map[string]*meta.Queue{}, map[string]meta.Binding{}, map[string]string{}}}
		var history []version
		nextID := uint64(0)
		m := cur.model.clone()
		putQueue := func(name string, id uint64) {
			def := &meta.Queue{VHost: "/", Name: name, ID: id}
			if err := b.PutQueue(def, nil); err != nil {
				t.Fatal(err)
			}
			if old := m.queues[name]; old != nil && old.ID != id {
				m.deleteEnds(func(b meta.Binding) bool { return b.DestinationKind == meta.ToQueue && b.Destination == name })
			}
			m.queues[name] = def
		}
		putExchange := func(name string) {
			def := &meta.Exchange{VHost: "/", Name: name, Type: drawType.Draw(t, "type")}
			arguments := wire.Table{{Name: "x", Value: wire.Void()}}
			if rapid.Bool().Draw(t, "by property") {
				arguments = arguments.Set("hash-property", wire.String("correlation_id"))
			}
			if rapid.Bool().Draw(t, "alternate") {
				arguments = arguments.Set("alternate-exchange", wire.String(drawAlternate.Draw(t, "name")))
			}
			def.Arguments = arguments.Encode()
			if err := b.PutExchange(def); err != nil {
				t.Fatal(err)
			}
			if old := m.exchanges[name]; old != nil && old.Type != def.Type {
				m.deleteExchange(name)
			}
			m.exchanges[name] = def
		}
		putBinding := func(def meta.Binding) {
			err := b.PutBinding(def)
			ok := m.exchanges[def.Source] != nil
			if def.DestinationKind == meta.ToQueue {
				ok = ok && m.queues[def.Destination] != nil
			} else {
				ok = ok && m.exchanges[def.Destination] != nil
			}
			if ok != (err == nil) {
				t.Fatalf("binding %v: %v", def, err)
			}
			if ok {
				m.bindings[fmt.Sprint(def)] = def
			}
		}
		if rapid.Bool().Draw(t, "furnished") {
			for _, name := range []string{"e1", "e2", "e3", "e4", "e5"} {
				putExchange(name)
			}
			for i := range 20 {
				nextID++
				putQueue(fmt.Sprint("q", i+1), nextID)
			}
			for range 30 {
				putBinding(drawBinding(t))
			}
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 10).Draw(t, "op") {
			case 0:
				putExchange(drawExchange.Draw(t, "exchange"))
			case 1:
				nextID++
				putQueue(drawQueue.Draw(t, "queue"), nextID)
			case 2: // a new definition of the same queue
				name := drawQueue.Draw(t, "queue")
				if q := m.queues[name]; q != nil {
					putQueue(name, q.ID)
				}
			case 3:
				name := drawExchange.Draw(t, "exchange")
				b.DeleteExchange("/", name)
				m.deleteExchange(name)
			case 4:
				name := drawQueue.Draw(t, "queue")
				b.DeleteQueue("/", name)
				delete(m.queues, name)
				m.deleteEnds(func(b meta.Binding) bool { return b.DestinationKind == meta.ToQueue && b.Destination == name })
			case 5:
				def := drawBinding(t)
				if keys := slices.Sorted(maps.Keys(m.bindings)); len(keys) > 0 {
					def = m.bindings[rapid.SampledFrom(keys).Draw(t, "binding")]
				}
				b.DeleteBinding(def)
				delete(m.bindings, fmt.Sprint(def))
			case 6:
				next := version{b.Commit(), m.clone()}
				history, cur = append(history, cur), next
			case 7:
				name, alt, ok := drawExchange.Draw(t, "exchange"), drawAlternate.Draw(t, "alternate"), rapid.Bool().Draw(t, "policy")
				err := b.SetAlternate("/", name, alt, ok)
				if (err == nil) != (m.exchanges[name] != nil) {
					t.Fatalf("policy for exchange %q: %v", name, err)
				}
				delete(m.policies, name)
				if ok && err == nil {
					m.policies[name] = alt
				}
			default:
				putBinding(drawBinding(t))
			}
		}
		history = append(history, version{b.Commit(), m})
		keys := rapid.SliceOfN(drawKey, 1, 3).Draw(t, "keys")
		msg := &exchange.Message{Key: []byte(keys[0]), CorrelationID: []byte(keys[0] + "id")}
		for _, key := range keys[1:] {
			msg.Extra = append(msg.Extra, []byte(key))
		}
		for i, ver := range history {
			v := ver.snapshot.VHost("/")
			for _, name := range []string{"", "e1", "e2", "e3", "e4", "e5"} {
				x := v.ExchangeBytes([]byte(name))
				if (x != nil) != (name == "" || ver.model.exchanges[name] != nil) {
					t.Fatalf("version %d: exchange %q: %v", i, name, x)
				}
				if x == nil {
					continue
				}
				if x.cache != nil { // the next lookup starts it; versions that share the exchange share it
					x.cache.lookups.Store(cacheWarmup - 1)
				}
				before := &Queue{}
				got, basis := v.RouteMessage([]*Queue{before}, x, msg)
				if got[0] != before {
					t.Fatalf("version %d: Route changed what was in the buffer", i)
				}
				want := ver.model.route(name, keys)
				if got := names(got[1:]); !slices.Equal(got, want) {
					t.Fatalf("version %d: exchange %q, keys %v: got %v, want %v", i, name, keys, got, want)
				}
				for _, q := range got[1:] {
					if v.Queue(q.Def.Name) != q || q.Def != ver.model.queues[q.Def.Name] {
						t.Fatalf("version %d: queue %q is not the one of its snapshot", i, q.Def.Name)
					}
				}
				other := &exchange.Message{Key: msg.Key, Extra: msg.Extra}
				switch basis {
				case exchange.ByMessage:
					other = msg
				case exchange.ByChance:
					t.Fatalf("version %d: exchange %q leaves it to chance", i, name)
				}
				if again, _ := v.RouteMessage(nil, x, other); !slices.Equal(again, got[1:]) {
					t.Fatalf("version %d: exchange %q, basis %d: another route the second time", i, name, basis)
				}
			}
		}
		for _, v := range []string{"e1", "e2", "e3", "e4", "e5"} {
			b.DeleteExchange("/", v)
		}
		b.Commit().VHost("/").EachQueue(func(q *Queue) bool {
			if q.in != nil {
				t.Fatalf("queue %q still has a binding", q.Def.Name)
			}
			return true
		})
	})
}
