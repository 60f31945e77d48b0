package cluster

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// sendDelayed publishes persistent messages with the given delays through an exchange, their numbers from first on in the bodies,
// and waits until they are safe.
func (n *testNode) sendDelayed(exchange, key string, first int, delays ...int) {
	n.t.Helper()
	v := n.routing.Load().VHost("/")
	done := make(chan struct{})
	p := posts{batch: &queue.Batch{First: 1, Last: 1, Complete: func(*queue.Batch) { close(done) }}}
	for i, delay := range delays {
		headers := table("x-delay", delay, "CC", wire.ArrayValue(wire.String("copy")), "BCC", wire.ArrayValue(wire.String("blind")))
		properties := wire.Properties{DeliveryMode: 2, Headers: headers}
		r := block.Record{Flags: block.Persistent, Arrived: time.Now().UnixMilli(), Exchange: []byte(exchange), RoutingKey: []byte(key),
			Properties: properties.Append(nil), Body: binary.BigEndian.AppendUint64(nil, uint64(first+i))}
		for _, q := range v.Route(nil, v.Exchange(exchange), r.RoutingKey, nil, headers.Encode()) {
			p.add(q, &r, 0, true)
		}
	}
	n.send(&p, &queue.Letters{})
	<-done
}

// take waits for the next message of a queue.
func (n *testNode) take(a *Access, name string) (number int, r block.Record) {
	n.t.Helper()
	h, err := a.QueueForRead(name)
	must(n.t, err)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		p, _, ok, err := h.Get(true)
		must(n.t, err)
		if !ok {
			continue
		}
		_, err = block.Parse(p.Records, p.Tail, &r)
		must(n.t, err)
		return int(binary.BigEndian.Uint64(r.Body)), r
	}
	n.t.Fatalf("no message in %s", name)
	return 0, r
}

// delayed declares a durable exchange "late" of the given inner type and a queue "q", bound with key "k".
func (n *testNode) delayed(a *Access, inner string) {
	n.t.Helper()
	must(n.t, a.DeclareExchange(ExchangeSpec{Name: "late", Type: "x-delayed-message", Durable: true,
		Arguments: table("x-delayed-type", inner)}))
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(n.t, err)
	must(n.t, a.BindQueue(BindingSpec{Source: "late", Destination: "q", RoutingKey: "k"}))
}

func (n *testNode) stores() (count int) {
	for q := range n.State().AllQueues() {
		if q.Type == meta.TypeStore {
			count++
		}
	}
	return count
}

func TestDeclareDelayedExchange(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	const none = "PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type"
	for _, c := range []struct {
		arguments wire.Table
		text      string
	}{
		{nil, none},
		{table("x-delayed-type", 5), none},
		{table("x-delayed-type", "nosuch"), none},
		{table("x-delayed-type", "x-delayed-message"), none},
		{table("x-delayed-type", "topic"), ""},
		{table("x-delayed-type", "topic"), ""},
		{table("x-delayed-type", "fanout"), "PRECONDITION_FAILED - inequivalent arg 'x-delayed-type' for exchange 'late' in vhost '/': " +
			"received 'fanout' but current is 'topic'"},
	} {
		want(t, a.DeclareExchange(ExchangeSpec{Name: "late", Type: "x-delayed-message", Arguments: c.arguments}), c.text)
	}
	// Bindings are those of the inner type.
	must(t, a.DeclareExchange(ExchangeSpec{Name: "hash", Type: "x-delayed-message", Arguments: table("x-delayed-type", "headers")}))
	if err := a.BindExchange(BindingSpec{Source: "hash", Destination: "amq.fanout", Arguments: table("x-match", "some")}); err == nil {
		t.Error("a binding with a wrong x-match was taken")
	}
}

// TestDelayStoreIsHidden checks that clients cannot reach the queue in which an exchange keeps messages.
func TestDelayStoreIsHidden(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "direct")
	name := "amq.delayed.late"
	if n.stores() != 1 {
		t.Fatalf("%d stores, want 1", n.stores())
	}
	const missing = "NOT_FOUND - no queue 'amq.delayed.late' in vhost '/'"
	_, err := a.DeclareQueue(QueueSpec{Name: name, Passive: true})
	want(t, err, missing)
	_, err = a.DeclareQueue(QueueSpec{Name: name, Durable: true})
	want(t, err, "ACCESS_REFUSED - queue name 'amq.delayed.late' contains reserved prefix 'amq.*'")
	_, err = a.QueueForRead(name)
	want(t, err, missing)
	_, err = a.PurgeQueue(name)
	want(t, err, missing)
	_, err = a.DeleteQueue(name, false, false)
	want(t, err, "")
	want(t, a.BindQueue(BindingSpec{Source: "amq.fanout", Destination: name}), missing)
	v := n.routing.Load().VHost("/")
	if to := v.Route(nil, v.Exchange(""), []byte(name), nil, nil); len(to) != 0 {
		t.Errorf("the default exchange leads to %s", name)
	}
	for q := range n.State().Queues() {
		if q.Name != "q" {
			t.Errorf("queue %s is listed", q.Name)
		}
	}
	must(t, a.DeleteExchange("late", false))
	if n.stores() != 0 {
		t.Error("the store stayed behind its exchange")
	}
}

func TestDelayedOrder(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "topic")
	n.sendDelayed("late", "k", 0, 150, 50, 100, 50, -1, 0)
	for _, want := range []int{4, 5, 1, 3, 2, 0} {
		got, r := n.take(a, "q")
		if got != want {
			t.Fatalf("got message %d, want %d", got, want)
		}
		p, err := wire.ParseProperties(r.Properties)
		must(t, err)
		delay, _ := p.Headers.Get("x-delay")
		if delay.Int > 0 || (want == 1 && delay.Int != -50) {
			t.Errorf("message %d has x-delay %d", want, delay.Int)
		}
		if _, ok := p.Headers.Get("BCC"); ok && want < 4 {
			t.Errorf("message %d has BCC", want)
		}
		if string(r.Exchange) != "late" || string(r.RoutingKey) != "k" || r.Deadline != 0 {
			t.Errorf("message %d: exchange %s, key %s, deadline %d", want, r.Exchange, r.RoutingKey, r.Deadline)
		}
	}
}

// TestDelayedCopies checks that CC and BCC, and bindings between exchanges, count when the delay is over.
func TestDelayedCopies(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "direct")
	for _, key := range []string{"copy", "blind"} {
		_, err := a.DeclareQueue(QueueSpec{Name: key})
		must(t, err)
		must(t, a.BindQueue(BindingSpec{Source: "late", Destination: key, RoutingKey: key}))
	}
	must(t, a.BindExchange(BindingSpec{Source: "amq.fanout", Destination: "late"}))
	n.sendDelayed("amq.fanout", "k", 7, 20)
	for _, name := range []string{"q", "copy", "blind"} {
		if got, r := n.take(a, name); got != 7 || string(r.Exchange) != "amq.fanout" {
			t.Errorf("%s: got message %d of exchange %s", name, got, r.Exchange)
		}
	}
}

// TestDelayedRestart checks that a restart keeps the delays and their order, and a crash too.
func TestDelayedRestart(t *testing.T) {
	for name, again := range map[string]func(*testNode){"restart": (*testNode).restart, "crash": (*testNode).crash} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			a := n.connect()
			n.delayed(a, "direct")
			start := time.Now().UnixMilli() // as the broker counts
			n.sendDelayed("late", "k", 0, 800, 300, 1000, 2, 300, 700)
			if got, _ := n.take(a, "q"); got != 3 {
				t.Fatalf("got message %d, want 3", got)
			}
			eventually(t, "the store is done with the message", func() bool {
				for _, e := range n.engines.all() {
					if s, err := e.queue.Status(); e.def.Type == meta.TypeStore && err == nil && s.Ready <= 5 {
						return true
					}
				}
				return false
			})
			again(n)
			a = n.connect()
			due := map[int]int{1: 300, 4: 300, 5: 700, 0: 800, 2: 1000}
			seen := map[int]bool{3: true}
			for _, want := range []int{1, 4, 5, 0, 2} {
				got, _ := n.take(a, "q")
				for seen[got] && name == "crash" { // what was not on disk yet may come again
					got, _ = n.take(a, "q")
				}
				seen[got] = true
				if got != want {
					t.Fatalf("got message %d, want %d", got, want)
				}
				if passed := time.Now().UnixMilli() - start; passed < int64(due[got]) {
					t.Errorf("message %d came after %d ms", got, passed)
				}
			}
		})
	}
}

// TestOverdue checks that what became due while the node was down is routed, in order, and not dropped because the routes are not
// there yet when its queue is: delayed messages, and those that expired in a queue with a dead-letter exchange.
func TestOverdue(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "direct")
	_, err := a.DeclareQueue(QueueSpec{Name: "dead", Durable: true})
	must(t, err)
	_, err = a.DeclareQueue(QueueSpec{Name: "short", Durable: true,
		Arguments: table("x-dead-letter-exchange", "", "x-dead-letter-routing-key", "dead", "x-message-ttl", 100)})
	must(t, err)
	for i := range 200 { // they take their time to become routes
		must(t, a.DeclareExchange(ExchangeSpec{Name: "x" + strconv.Itoa(i), Type: "topic", Durable: true}))
		must(t, a.BindExchange(BindingSpec{Source: "x" + strconv.Itoa(i), Destination: "amq.fanout", RoutingKey: "#.a.#"}))
	}
	n.sendDelayed("late", "k", 0, 120, 110, 100)
	n.sendDelayed("", "short", 10, 1)
	due := time.Now().UnixMilli() + 120
	n.stop()
	eventually(t, "everything is due", func() bool { return time.Now().UnixMilli() > due })
	n.start()
	a = n.connect()
	for _, want := range []int{2, 1, 0} {
		if got, _ := n.take(a, "q"); got != want {
			t.Errorf("got message %d, want %d", got, want)
		}
	}
	if got, _ := n.take(a, "dead"); got != 10 {
		t.Errorf("got message %d, want 10", got)
	}
}

// TestDueWhileStopping checks that what becomes due while the node goes down comes once: from the queue, or from the exchange after the
// next start.
func TestDueWhileStopping(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "direct")
	const count = 3000
	delays := make([]int, count)
	for i := range delays {
		delays[i] = 1 + 150*i/count
	}
	n.sendDelayed("late", "k", 0, delays...)
	n.restart()
	a = n.connect()
	seen := make(map[int]bool)
	for range count {
		got, _ := n.take(a, "q")
		if seen[got] {
			t.Fatalf("message %d came twice", got)
		}
		seen[got] = true
	}
}

// crash continues on a copy of what is on disk at this moment, as if the process had been killed.
func (n *testNode) crash() {
	n.t.Helper()
	dir := n.t.TempDir()
	must(n.t, filepath.WalkDir(n.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(n.dir, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(dir, rel), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, rel), content, 0o600)
	}))
	n.stop()
	n.dir = dir
	n.start()
}

// TestDeleteDelayedExchange checks that a deletion drops what is pending, also for an exchange of the same name.
func TestDeleteDelayedExchange(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "direct")
	n.sendDelayed("late", "k", 0, 100, 100)
	must(t, a.DeleteExchange("late", false))
	n.delayed(a, "direct")
	n.sendDelayed("late", "k", 10, 150)
	if got, _ := n.take(a, "q"); got != 10 {
		t.Errorf("got message %d of the deleted exchange", got)
	}
	// One that is not durable goes with the run of its node.
	must(t, a.DeclareExchange(ExchangeSpec{Name: "passing", Type: "x-delayed-message", Arguments: table("x-delayed-type", "direct")}))
	if n.stores() != 2 {
		t.Errorf("%d stores, want 2", n.stores())
	}
	n.restart()
	if n.stores() != 1 {
		t.Errorf("%d stores after a restart, want 1", n.stores())
	}
}

// TestDeadLetterToDelayed checks that what is dead-lettered to an exchange with delays waits there.
func TestDeadLetterToDelayed(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	n.delayed(a, "fanout")
	_, err := a.DeclareQueue(QueueSpec{Name: "short", Arguments: table("x-dead-letter-exchange", "late", "x-message-ttl", 1)})
	must(t, err)
	start := time.Now().UnixMilli() // as the broker counts
	n.sendDelayed("", "short", 3, 120)
	if got, _ := n.take(a, "q"); got != 3 || time.Now().UnixMilli()-start < 120 {
		t.Errorf("got message %d after %d ms", got, time.Now().UnixMilli()-start)
	}
}
