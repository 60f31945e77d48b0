package meta

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"
)

// model is the state machine over plain maps, written for obviousness: cascades run to a fixed point over everything.
type model struct {
	vhosts    map[string]VHost
	users     map[string]User
	perms     map[string]Permission
	topics    map[string]TopicPermission
	exchanges map[string]Exchange
	queues    map[string]Queue
	bindings  map[string]Binding
	policies  map[string]Policy
	params    map[string]Parameter
	nodes     map[string]Node
	lastQueue uint64
}

func newModel() *model {
	return &model{
		vhosts: map[string]VHost{}, users: map[string]User{}, perms: map[string]Permission{}, topics: map[string]TopicPermission{},
		exchanges: map[string]Exchange{}, queues: map[string]Queue{}, bindings: map[string]Binding{}, policies: map[string]Policy{},
		params: map[string]Parameter{}, nodes: map[string]Node{},
	}
}

func id(parts ...any) string { return fmt.Sprintf("%q", parts) }

func bindingID(b Binding) string {
	return id(b.VHost, b.Source, b.DestinationKind, b.Destination, b.RoutingKey, string(b.Arguments))
}

func (m *model) sources(vhost, exchange string) (n int) {
	for _, b := range m.bindings {
		if b.VHost == vhost && b.Source == exchange {
			n++
		}
	}
	return n
}

// sweep removes what hangs in the air until nothing does: bindings without ends, and auto-delete exchanges that lost their
// last binding as a source.
func (m *model) sweep() {
	for again := true; again; {
		again = false
		for k, b := range m.bindings {
			_, source := m.exchanges[id(b.VHost, b.Source)]
			_, destination := m.queues[id(b.VHost, b.Destination)]
			if b.DestinationKind == ToExchange {
				_, destination = m.exchanges[id(b.VHost, b.Destination)]
			}
			if !source || !destination {
				m.unbind(k)
				again = true
			}
		}
	}
}

func (m *model) unbind(k string) {
	b, ok := m.bindings[k]
	if !ok {
		return
	}
	delete(m.bindings, k)
	x, ok := m.exchanges[id(b.VHost, b.Source)]
	if ok && x.AutoDelete && m.sources(b.VHost, b.Source) == 0 {
		delete(m.exchanges, id(b.VHost, b.Source))
	}
}

func (m *model) running(o Owner) error {
	if run, ok := m.nodes[o.Node]; o != (Owner{}) && (!ok || o.Incarnation == 0 || run.Incarnation != o.Incarnation || run.Ended) {
		return ErrOwnerEnded
	}
	return nil
}

func (m *model) end(goes func(o Owner, connection uint64) bool) {
	maps.DeleteFunc(m.queues, func(_ string, q Queue) bool { return q.Owner != (Owner{}) && goes(q.Owner, q.Connection) })
	maps.DeleteFunc(m.exchanges, func(_ string, x Exchange) bool { return x.Owner != (Owner{}) && goes(x.Owner, 0) })
	m.sweep()
}

// set stores v and reports whether that is new.
func set[T any](m map[string]T, k string, v T) bool {
	_, ok := m[k]
	m[k] = v
	return !ok
}

func missing[T any](m map[string]T, k string, err error) error {
	if _, ok := m[k]; !ok {
		return err
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// apply returns what the command should report: whether something was created, and the sentinel of the error.
func (m *model) apply(c Command) (created bool, err error) {
	switch c := c.(type) {
	case PutVHost:
		if created = set(m.vhosts, id(c.VHost.Name), c.VHost); created {
			for _, x := range predeclared {
				x.VHost = c.VHost.Name
				m.exchanges[id(x.VHost, x.Name)] = x
			}
		}
	case DeleteVHost:
		v, ok := m.vhosts[id(c.Name)]
		switch {
		case !ok:
			return false, ErrNoVHost
		case v.Protected:
			return false, ErrVHostProtected
		}
		delete(m.vhosts, id(c.Name))
		maps.DeleteFunc(m.queues, func(_ string, q Queue) bool { return q.VHost == c.Name })
		maps.DeleteFunc(m.exchanges, func(_ string, x Exchange) bool { return x.VHost == c.Name })
		maps.DeleteFunc(m.perms, func(_ string, p Permission) bool { return p.VHost == c.Name })
		maps.DeleteFunc(m.topics, func(_ string, p TopicPermission) bool { return p.VHost == c.Name })
		maps.DeleteFunc(m.policies, func(_ string, p Policy) bool { return p.VHost == c.Name })
		maps.DeleteFunc(m.params, func(_ string, p Parameter) bool { return p.VHost == c.Name })
		m.sweep()
	case PutUser:
		created = set(m.users, id(c.User.Name), c.User)
	case DeleteUser:
		if err := missing(m.users, id(c.Name), ErrNoUser); err != nil {
			return false, err
		}
		delete(m.users, id(c.Name))
		maps.DeleteFunc(m.perms, func(_ string, p Permission) bool { return p.User == c.Name })
		maps.DeleteFunc(m.topics, func(_ string, p TopicPermission) bool { return p.User == c.Name })
	case SetPermission:
		p := c.Permission
		if err := firstError(missing(m.users, id(p.User), ErrNoUser), missing(m.vhosts, id(p.VHost), ErrNoVHost)); err != nil {
			return false, err
		}
		created = set(m.perms, id(p.VHost, p.User), p)
	case ClearPermission:
		delete(m.perms, id(c.VHost, c.User))
	case SetTopicPermission:
		p := c.TopicPermission
		if err := firstError(missing(m.users, id(p.User), ErrNoUser), missing(m.vhosts, id(p.VHost), ErrNoVHost)); err != nil {
			return false, err
		}
		created = set(m.topics, id(p.VHost, p.User, p.Exchange), p)
	case ClearTopicPermission:
		maps.DeleteFunc(m.topics, func(_ string, p TopicPermission) bool {
			return p.VHost == c.VHost && p.User == c.User && (c.All || p.Exchange == c.Exchange)
		})
	case DeclareExchange:
		x := c.Exchange
		if err := missing(m.vhosts, id(x.VHost), ErrNoVHost); err != nil {
			return false, err
		}
		if missing(m.exchanges, id(x.VHost, x.Name), ErrNoExchange) == nil {
			return false, nil
		}
		if err := m.running(x.Owner); err != nil {
			return false, err
		}
		created = set(m.exchanges, id(x.VHost, x.Name), x)
	case DeleteExchange:
		if err := missing(m.exchanges, id(c.VHost, c.Name), ErrNoExchange); err != nil {
			return false, err
		}
		if c.IfUnused && m.sources(c.VHost, c.Name) > 0 {
			return false, ErrExchangeInUse
		}
		delete(m.exchanges, id(c.VHost, c.Name))
		m.sweep()
	case DeclareQueue:
		q := c.Queue
		if err := missing(m.vhosts, id(q.VHost), ErrNoVHost); err != nil {
			return false, err
		}
		if missing(m.queues, id(q.VHost, q.Name), ErrNoQueue) == nil {
			return false, nil
		}
		if err := m.running(q.Owner); err != nil {
			return false, err
		}
		m.lastQueue++
		q.ID = m.lastQueue
		created = set(m.queues, id(q.VHost, q.Name), q)
	case DeleteQueue:
		if q, ok := m.queues[id(c.VHost, c.Name)]; !ok || q.ID != c.ID {
			return false, ErrNoQueue
		}
		delete(m.queues, id(c.VHost, c.Name))
		m.sweep()
	case Bind:
		b := c.Binding
		destination := missing(m.queues, id(b.VHost, b.Destination), ErrNoQueue)
		if b.DestinationKind == ToExchange {
			destination = missing(m.exchanges, id(b.VHost, b.Destination), ErrNoExchange)
		}
		if err := firstError(missing(m.vhosts, id(b.VHost), ErrNoVHost),
			missing(m.exchanges, id(b.VHost, b.Source), ErrNoExchange), destination); err != nil {
			return false, err
		}
		created = set(m.bindings, bindingID(b), b)
	case Unbind:
		m.unbind(bindingID(c.Binding))
		m.sweep()
	case PutPolicy:
		if err := missing(m.vhosts, id(c.Policy.VHost), ErrNoVHost); err != nil {
			return false, err
		}
		created = set(m.policies, id(c.Policy.VHost, c.Policy.Operator, c.Policy.Name), c.Policy)
	case DeletePolicy:
		if err := missing(m.policies, id(c.VHost, c.Operator, c.Name), ErrNoPolicy); err != nil {
			return false, err
		}
		delete(m.policies, id(c.VHost, c.Operator, c.Name))
	case PutParameter:
		p := c.Parameter
		if err := missing(m.vhosts, id(p.VHost), ErrNoVHost); p.VHost != "" && err != nil {
			return false, err
		}
		created = set(m.params, id(p.VHost, p.Component, p.Name), p)
	case DeleteParameter:
		if err := missing(m.params, id(c.VHost, c.Component, c.Name), ErrNoParameter); err != nil {
			return false, err
		}
		delete(m.params, id(c.VHost, c.Component, c.Name))
	case StartNode:
		m.end(func(o Owner, _ uint64) bool { return o.Node == c.Node })
		n := m.nodes[c.Node]
		n.Name, n.Incarnation, n.Ended = c.Node, n.Incarnation+1, false
		m.nodes[c.Node] = n
	case EndOwner:
		m.end(func(o Owner, connection uint64) bool {
			return o == c.Owner && (c.Connection == 0 || c.Connection == connection)
		})
		if run, ok := m.nodes[c.Owner.Node]; ok && c.Connection == 0 && run.Incarnation == c.Owner.Incarnation {
			run.Ended = true
			m.nodes[c.Owner.Node] = run
		}
	default:
		return m.applyNode(c)
	}
	return created, err
}

// applyNode does the same for the commands about nodes.
func (m *model) applyNode(c Command) (created bool, err error) {
	switch c := c.(type) {
	case PutNode:
		for _, n := range m.nodes {
			if c.Node.DisplayName != "" && n.DisplayName == c.Node.DisplayName && n.Name != c.Node.Name {
				return false, ErrNodeNameTaken
			}
		}
		c.Node.Incarnation, c.Node.Ended = m.nodes[c.Node.Name].Incarnation, m.nodes[c.Node.Name].Ended
		created = set(m.nodes, c.Node.Name, c.Node)
	case SetDraining:
		if err := missing(m.nodes, c.Node, ErrNoNode); err != nil {
			return false, err
		}
		n := m.nodes[c.Node]
		n.Draining = c.Draining
		m.nodes[c.Node] = n
	case RemoveNode:
		if err := missing(m.nodes, c.Node, ErrNoNode); err != nil {
			return false, err
		}
		for _, q := range m.queues {
			if q.Leader == c.Node && q.Durable && q.Owner.Node != c.Node && !c.Force {
				return false, ErrNodeInUse
			}
		}
		maps.DeleteFunc(m.queues, func(_ string, q Queue) bool { return q.Leader == c.Node })
		m.end(func(o Owner, _ uint64) bool { return o.Node == c.Node })
		delete(m.nodes, c.Node)
	case MoveQueue:
		for k, q := range m.queues {
			if q.ID != c.ID {
				continue
			}
			if q.Leader != c.From {
				return false, ErrQueueMoved
			}
			if err := missing(m.nodes, c.To, ErrNoNode); err != nil || c.From == c.To {
				return false, err
			}
			q.Leader = c.To
			if q.Owner.Node == c.From && q.Connection == 0 {
				q.Owner = Owner{c.To, m.nodes[c.To].Incarnation}
				if err := m.running(q.Owner); err != nil {
					return false, err
				}
			}
			m.queues[k] = q
			return false, nil
		}
		return false, ErrNoQueue
	}
	return created, nil
}

// list writes down everything, sorted.
func (m *model) list() string {
	var lines []string
	lines = appendLines(lines, maps.Values(m.vhosts))
	lines = appendLines(lines, maps.Values(m.users))
	lines = appendLines(lines, maps.Values(m.perms))
	lines = appendLines(lines, maps.Values(m.topics))
	lines = appendLines(lines, maps.Values(m.exchanges))
	lines = appendLines(lines, maps.Values(m.queues))
	lines = appendLines(lines, maps.Values(m.bindings))
	lines = appendLines(lines, maps.Values(m.policies))
	lines = appendLines(lines, maps.Values(m.params))
	lines = appendLines(lines, maps.Values(m.nodes))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func appendLines[T any](lines []string, all func(func(T) bool)) []string {
	for e := range all {
		lines = append(lines, line(e))
	}
	return lines
}

// line writes down one entity, with nil and empty slices alike.
func line(e any) string {
	return strings.ReplaceAll(fmt.Sprintf("%T %+v", e, e), "*meta.", "meta.")
}

// entities yields everything in a state, by the maps that a snapshot is written from.
func entities(s *State) func(func(Entity) bool) {
	return func(yield func(Entity) bool) {
		_ = each(s.VHosts(), yield) && each(s.Users(), yield) && each(s.Permissions(), yield) &&
			each(s.TopicPermissions(), yield) && each(s.Exchanges(), yield) && each(s.Queues(), yield) &&
			each(s.Bindings(), yield) && each(s.Policies(), yield) && each(s.Parameters(), yield) && each(s.Nodes(), yield)
	}
}

func each[T Entity](all func(func(T) bool), yield func(Entity) bool) bool {
	for e := range all {
		if !yield(e) {
			return false
		}
	}
	return true
}

func listState(s *State) string {
	var lines []string
	for e := range entities(s) {
		lines = append(lines, strings.Replace(line(e), " &{", " {", 1))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// checkIndexes compares the indexes with the maps that they index.
func checkIndexes(t *rapid.T, s *State) {
	byID, to, owned := 0, 0, 0
	led := map[string]int{}
	for q := range s.Queues() {
		byID++
		led[q.Leader]++
		if s.QueueByID(q.ID) != q || s.Queue(q.VHost, q.Name) != q {
			t.Fatalf("queue %+v is not found", q)
		}
		to += len(slices.Collect(s.BindingsTo(q.VHost, ToQueue, q.Name)))
		if q.Owner != (Owner{}) {
			owned++
			if !slices.Contains(slices.Collect(s.Owned(q.Owner)), Entity(q)) {
				t.Fatalf("queue %+v is not found by its owner", q)
			}
		}
	}
	from := 0
	for x := range s.Exchanges() {
		from += len(slices.Collect(s.BindingsFrom(x.VHost, x.Name)))
		to += len(slices.Collect(s.BindingsTo(x.VHost, ToExchange, x.Name)))
		if x.Owner != (Owner{}) {
			owned++
		}
	}
	for node, n := range led {
		if s.QueuesLedBy(node) != n {
			t.Fatalf("%s leads %d queues, counted are %d", node, n, s.QueuesLedBy(node))
		}
	}
	if s.led.Len() != len(led) {
		t.Fatalf("%d nodes lead queues, counted are %d", len(led), s.led.Len())
	}
	n := s.NumBindings()
	if byID != s.queuesByID.Len() || to != n || from != n || s.bindingsTo.Len() != n || owned != s.owned.Len() {
		t.Fatalf("%d queues, %d ids; %d bindings, %d from, %d to, %d in the index; %d owned, %d in the index",
			byID, s.queuesByID.Len(), n, from, to, s.bindingsTo.Len(), owned, s.owned.Len())
	}
}

// genCommand draws commands over few names, so that they meet.
func genCommand(t *rapid.T, lastQueue uint64) Command {
	// A zero byte and a name that starts like another one test the keys.
	pick := func(label string, names ...string) string { return rapid.SampledFrom(names).Draw(t, label) }
	vhost := func() string { return pick("vhost", "/", "/", "/", "v", "v\x00") }
	user := func() string { return pick("user", "u", "guest") }
	x := func() string { return pick("exchange", "a", "b", "c", "a\x00", "amq.topic") }
	q := func() string { return pick("queue", "a", "q", "qq") }
	owner := func() Owner {
		return Owner{pick("node", "n1", "n2"), rapid.Uint64Range(1, 3).Draw(t, "incarnation")}
	}
	maybeOwner := func() Owner {
		if rapid.IntRange(0, 2).Draw(t, "owned") == 0 {
			return owner()
		}
		return Owner{}
	}
	binding := func() Binding {
		b := Binding{VHost: vhost(), Source: x(), RoutingKey: pick("key", "", "k"), Destination: q()}
		if rapid.Bool().Draw(t, "e2e") {
			b.DestinationKind, b.Destination = ToExchange, x()
		}
		if rapid.IntRange(0, 3).Draw(t, "args") == 0 {
			b.Arguments = []byte("\x01at\x01")
		}
		return b
	}
	connection := func() uint64 { return rapid.Uint64Range(0, 2).Draw(t, "connection") }
	node := func() string { return pick("node", "n1", "n2") }
	switch rapid.IntRange(0, 33).Draw(t, "kind") {
	case 0:
		return PutVHost{VHost{Name: vhost(), Protected: rapid.IntRange(0, 3).Draw(t, "protected") == 0}}
	case 1:
		return DeleteVHost{vhost()}
	case 2:
		return PutUser{User{Name: user(), Tags: []string{pick("tag", "x", "y")}}}
	case 3:
		return DeleteUser{user()}
	case 4:
		return SetPermission{Permission{User: user(), VHost: vhost(), Read: pick("re", ".*", "^$")}}
	case 5:
		return ClearPermission{user(), vhost()}
	case 6:
		return SetTopicPermission{TopicPermission{User: user(), VHost: vhost(), Exchange: x()}}
	case 7:
		return ClearTopicPermission{user(), vhost(), x(), rapid.Bool().Draw(t, "all")}
	case 8, 9, 10, 11:
		return DeclareExchange{Exchange{VHost: vhost(), Name: x(), AutoDelete: rapid.Bool().Draw(t, "auto-delete"), Owner: maybeOwner()}}
	case 12:
		return DeleteExchange{vhost(), x(), rapid.Bool().Draw(t, "if-unused")}
	case 13, 14, 15:
		d := Queue{VHost: vhost(), Name: q(), Owner: maybeOwner(), Leader: node(), Durable: rapid.Bool().Draw(t, "durable")}
		if d.Owner != (Owner{}) {
			d.Connection = connection()
		}
		return DeclareQueue{d}
	case 16:
		return DeleteQueue{vhost(), q(), rapid.Uint64Range(1, max(1, lastQueue)).Draw(t, "id")}
	case 17, 18, 19, 20:
		return Bind{binding()}
	case 21:
		return Unbind{binding()}
	case 22:
		return PutPolicy{Policy{VHost: vhost(), Name: pick("policy", "p", "r"), Operator: rapid.Bool().Draw(t, "operator")}}
	case 23:
		return DeletePolicy{vhost(), pick("policy", "p", "r"), rapid.Bool().Draw(t, "operator")}
	case 24:
		return PutParameter{Parameter{VHost: pick("vhost", "", "/", "v"), Component: "c", Name: "n", Value: []byte(pick("value", "1", "2"))}}
	case 25:
		return DeleteParameter{pick("vhost", "", "/", "v"), "c", "n"}
	case 26, 27:
		return StartNode{node()}
	case 28:
		return PutNode{Node{Name: node(), DisplayName: pick("display name", "", "a", "b"), Draining: rapid.Bool().Draw(t, "draining")}}
	case 29:
		return SetDraining{node(), rapid.Bool().Draw(t, "draining")}
	case 30:
		return RemoveNode{node(), rapid.Bool().Draw(t, "force")}
	case 31, 32:
		return MoveQueue{ID: rapid.Uint64Range(1, max(1, lastQueue)).Draw(t, "id"), From: node(), To: node()}
	default:
		return EndOwner{owner(), connection()}
	}
}

// TestAgainstModel applies random commands in random batches and compares results, state, indexes and reported changes with
// the model; a second machine that gets the same log in other batches must end with the same bytes, and so must one that is
// restored half-way.
func TestAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		known := map[string]string{} // identity -> line, as told by changes
		discard := slog.New(slog.DiscardHandler)
		one := newFSM(discard, func(_, new *State, changes []Change) { follow(t, known, changes) })
		two := newFSM(discard, nil)
		var log []*raft.Log
		restoreAt := rapid.IntRange(0, 8).Draw(t, "restore at")
		for i := range rapid.IntRange(1, 8).Draw(t, "batches") {
			var batch []*raft.Log
			var want []string
			for range rapid.IntRange(1, 3).Draw(t, "entries") {
				commands := make([]Command, rapid.IntRange(1, 12).Draw(t, "commands"))
				for j := range commands {
					commands[j] = genCommand(t, m.lastQueue)
					if i+j+len(log) == 0 {
						commands[j] = PutVHost{VHost{Name: "/"}}
					}
					created, err := m.apply(commands[j])
					want = append(want, fmt.Sprint(created, err))
				}
				batch = append(batch, logEntry(t, uint64(len(log)+len(batch)+1), commands...))
			}
			log = append(log, batch...)
			var got []string
			for _, r := range one.ApplyBatch(batch) {
				for _, o := range r.([]outcome) {
					var named *NameError
					if errors.As(o.err, &named) {
						o.err = named.Err
					}
					got = append(got, fmt.Sprint(o.result.Created, o.err))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("results %q, want %q", got, want)
			}
			s := one.state.Load()
			if got, want := listState(s), m.list(); got != want {
				t.Fatalf("state:\n%s\nwant:\n%s", got, want)
			}
			checkIndexes(t, s)
			if got, want := strings.Join(slices.Sorted(maps.Values(known)), "\n"), m.list(); got != want {
				t.Fatalf("changes led to:\n%s\nwant:\n%s", got, want)
			}
			if i == restoreAt {
				if err := two.Restore(io.NopCloser(bytes.NewReader(snapshotBytes(t, s)))); err != nil {
					t.Fatal(err)
				}
			} else {
				for _, l := range batch {
					two.Apply(l)
				}
			}
			checkIndexes(t, two.state.Load())
		}
		if !bytes.Equal(snapshotBytes(t, one.state.Load()), snapshotBytes(t, two.state.Load())) {
			t.Fatalf("two machines differ:\n%s\nand:\n%s", listState(one.state.Load()), listState(two.state.Load()))
		}
	})
}

// follow applies changes to a list of entities by identity, and checks that each tells the truth about what was before.
func follow(t *rapid.T, known map[string]string, changes []Change) {
	for _, c := range changes {
		k := identity(c.Entity())
		before, there := known[k]
		if there == c.Created() || (there && before != strings.Replace(line(c.Before), " &{", " {", 1)) {
			t.Fatalf("change %+v of what was %q", c, before)
		}
		if c.Deleted() {
			delete(known, k)
		} else {
			known[k] = strings.Replace(line(c.After), " &{", " {", 1)
		}
	}
}

func identity(e Entity) string {
	switch e := e.(type) {
	case *VHost:
		return id("vhost", e.Name)
	case *User:
		return id("user", e.Name)
	case *Permission:
		return id("permission", e.VHost, e.User)
	case *TopicPermission:
		return id("topic permission", e.VHost, e.User, e.Exchange)
	case *Exchange:
		return id("exchange", e.VHost, e.Name)
	case *Queue:
		return id("queue", e.VHost, e.Name)
	case *Binding:
		return id("binding", bindingID(*e))
	case *Policy:
		return id("policy", e.VHost, e.Operator, e.Name)
	case *Parameter:
		return id("parameter", e.VHost, e.Component, e.Name)
	case *Node:
		return id("node", e.Name)
	default:
		panic(fmt.Sprintf("%T", e))
	}
}
