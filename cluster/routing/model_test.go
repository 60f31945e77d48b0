package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// model is the state of one vhost in plain maps.
type model struct {
	exchanges map[string]*meta.Exchange
	queues    map[string]*meta.Queue
	bindings  map[string]meta.Binding // by their printed form
}

func (m model) clone() model {
	return model{maps.Clone(m.exchanges), maps.Clone(m.queues), maps.Clone(m.bindings)}
}

func (m model) matches(b meta.Binding, keys []string) bool {
	switch m.exchanges[b.Source].Type {
	case "direct":
		return slices.Contains(keys, b.RoutingKey)
	case "topic": // the keys of this test have one word
		return b.RoutingKey == "#" || b.RoutingKey == "*" || slices.Contains(keys, b.RoutingKey)
	}
	return true // fanout, and headers without arguments
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
		for _, b := range m.bindings {
			if b.Source != name || !m.matches(b, keys) {
				continue
			}
			matched = true
			if b.DestinationKind == meta.ToQueue {
				result[b.Destination] = true
			} else {
				enter(b.Destination)
			}
		}
		if alt, ok := alternate(m.exchanges[name].Arguments); ok && !matched {
			enter(alt)
		}
	}
	return slices.Sorted(maps.Keys(result))
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
	drawKey      = rapid.SampledFrom([]string{"a", "b", "#", "*", "q1", "q2"})
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
		cur := version{b.Commit(), model{map[string]*meta.Exchange{}, map[string]*meta.Queue{}, map[string]meta.Binding{}}}
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
			def := &meta.Exchange{VHost: "/", Name: name, Type: rapid.SampledFrom([]string{"direct", "fanout", "topic", "headers"}).Draw(t, "type")}
			if rapid.Bool().Draw(t, "alternate") {
				alt := rapid.SampledFrom([]string{"", "e1", "e2", "e3", "missing"}).Draw(t, "name")
				def.Arguments = wire.Table{{Name: "x", Value: wire.Void()}, {Name: "alternate-exchange", Value: wire.String(alt)}}.Encode()
			}
			if err := b.PutExchange(def); err != nil {
				t.Fatal(err)
			}
			if old := m.exchanges[name]; old != nil && old.Type != def.Type {
				m.deleteEnds(func(b meta.Binding) bool {
					return b.Source == name || b.DestinationKind == meta.ToExchange && b.Destination == name
				})
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
			switch rapid.IntRange(0, 9).Draw(t, "op") {
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
				delete(m.exchanges, name)
				m.deleteEnds(func(b meta.Binding) bool {
					return b.Source == name || b.DestinationKind == meta.ToExchange && b.Destination == name
				})
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
			default:
				putBinding(drawBinding(t))
			}
		}
		history = append(history, version{b.Commit(), m})
		keys := rapid.SliceOfN(drawKey, 1, 3).Draw(t, "keys")
		var extra [][]byte
		for _, key := range keys[1:] {
			extra = append(extra, []byte(key))
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
				got := v.Route([]*Queue{before}, x, []byte(keys[0]), extra, nil)
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
				if again := v.Route(nil, x, []byte(keys[0]), extra, nil); !slices.Equal(again, got[1:]) {
					t.Fatalf("version %d: another order the second time", i)
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
