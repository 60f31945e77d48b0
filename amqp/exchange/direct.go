package exchange

import "github.com/brokerd/brokerd/amqp/exchange/pmap"

// direct routes to the bindings whose key is the routing key, byte by byte.
type direct struct {
	keys pmap.Strings[*set] // no set is empty
	n    int
}

func (t direct) Len() int { return t.n }

func (t direct) With(b Binding) Table {
	var s set
	if old, ok := t.keys.Get(b.Key); ok {
		s = *old
	}
	s = s.with(b.To)
	return direct{t.keys.With(b.Key, &s), t.n + 1}
}

func (t direct) Without(b Binding) Table {
	old, ok := t.keys.Get(b.Key)
	if !ok {
		return t
	}
	s, ok := old.without(b.To.ID())
	switch {
	case !ok:
		return t
	case s.empty():
		return direct{t.keys.Without(b.Key), t.n - 1}
	}
	return direct{t.keys.With(b.Key, &s), t.n - 1}
}

func (t direct) Basis() Basis { return ByKeys }

func (t direct) Match(buf []Destination, m *Message) []Destination {
	if s, ok := t.keys.GetBytes(m.Key); ok {
		buf = s.appendTo(buf)
	}
	for _, key := range m.Extra {
		if s, ok := t.keys.GetBytes(key); ok {
			buf = s.appendTo(buf)
		}
	}
	return buf
}

// fanout routes to all bindings.
type fanout struct {
	to set
	n  int
}

func (t fanout) Len() int { return t.n }

func (t fanout) With(b Binding) Table { return fanout{t.to.with(b.To), t.n + 1} }

func (t fanout) Without(b Binding) Table {
	s, ok := t.to.without(b.To.ID())
	if !ok {
		return t
	}
	return fanout{s, t.n - 1}
}

func (t fanout) Basis() Basis { return ByKeys }

func (t fanout) Match(buf []Destination, _ *Message) []Destination { return t.to.appendTo(buf) }
