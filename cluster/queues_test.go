package cluster

import (
	"fmt"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

func lockedText(name string) string {
	return "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + name + "' in vhost '/'. It could be originally " +
		"declared on another connection or the exclusive property value does not match that of the original declaration."
}

func TestRedeclareQueue(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	for _, s := range []QueueSpec{
		{Name: "k3"},
		{Name: "k4", Arguments: table("x-message-ttl", 1000, "x-dead-letter-exchange", "a", "x-max-priority", 5,
			"x-overflow", "drop-head", "foo", 1)},
		{Name: "k5", Durable: true},
		{Name: "k6", Durable: true, Arguments: table("x-queue-type", "classic")},
	} {
		_, err := a.DeclareQueue(s)
		must(t, err)
	}
	k4 := func(change ...any) wire.Table {
		all := table("x-message-ttl", 1000, "x-dead-letter-exchange", "a", "x-max-priority", 5, "x-overflow", "drop-head", "foo", 1)
		for _, f := range table(change...) {
			all = all.Set(f.Name, f.Value)
		}
		return all
	}
	inequivalent := func(arg, q, received, current string) string {
		return fmt.Sprintf("PRECONDITION_FAILED - inequivalent arg '%s' for queue '%s' in vhost '/': received %s but current is %s",
			arg, q, received, current)
	}
	for _, c := range []struct {
		name string
		s    QueueSpec
		text string
	}{
		{"durable", QueueSpec{Name: "k3", Durable: true}, inequivalent("durable", "k3", "'true'", "'false'")},
		{"auto-delete", QueueSpec{Name: "k3", AutoDelete: true}, inequivalent("auto_delete", "k3", "'true'", "'false'")},
		{"exclusive", QueueSpec{Name: "k3", Exclusive: true}, lockedText("k3")},
		{"ttl", QueueSpec{Name: "k3", Arguments: table("x-message-ttl", 1000)},
			inequivalent("x-message-ttl", "k3", "the value '1000' of type 'signedint'", "none")},
		{"max-length", QueueSpec{Name: "k3", Arguments: table("x-max-length", 10)},
			inequivalent("x-max-length", "k3", "the value '10' of type 'signedint'", "none")},
		{"dlx", QueueSpec{Name: "k3", Arguments: table("x-dead-letter-exchange", "a")},
			inequivalent("x-dead-letter-exchange", "k3", "the value 'a' of type 'longstr'", "none")},
		{"classic", QueueSpec{Name: "k3", Arguments: table("x-queue-type", "classic")}, ""},
		{"lazy", QueueSpec{Name: "k3", Arguments: table("x-queue-mode", "lazy")},
			inequivalent("x-queue-mode", "k3", "the value 'lazy' of type 'longstr'", "none")},
		{"max-priority", QueueSpec{Name: "k3", Arguments: table("x-max-priority", 5)},
			inequivalent("x-max-priority", "k3", "the value '5' of type 'signedint'", "none")},
		{"unknown argument", QueueSpec{Name: "k3", Arguments: table("foo", "bar")}, ""},
		{"single active consumer", QueueSpec{Name: "k3", Arguments: table("x-single-active-consumer", true)},
			inequivalent("x-single-active-consumer", "k3", "the value 'true' of type 'bool'", "none")},
		{"expires", QueueSpec{Name: "k3", Arguments: table("x-expires", 100000)},
			inequivalent("x-expires", "k3", "the value '100000' of type 'signedint'", "none")},
		{"overflow", QueueSpec{Name: "k3", Arguments: table("x-overflow", "reject-publish")},
			inequivalent("x-overflow", "k3", "the value 'reject-publish' of type 'longstr'", "none")},
		{"same", QueueSpec{Name: "k4", Arguments: k4()}, ""},
		{"other width", QueueSpec{Name: "k4", Arguments: k4("x-message-ttl", wire.Int64(1000))}, ""},
		{"ttl changed", QueueSpec{Name: "k4", Arguments: k4("x-message-ttl", 2000)},
			inequivalent("x-message-ttl", "k4", "'2000'", "'1000'")},
		{"all dropped", QueueSpec{Name: "k4"},
			inequivalent("x-message-ttl", "k4", "none", "the value '1000' of type 'signedint'")},
		{"dlx changed", QueueSpec{Name: "k4", Arguments: k4("x-dead-letter-exchange", "b")},
			inequivalent("x-dead-letter-exchange", "k4", "'b'", "'a'")},
		{"max-priority changed", QueueSpec{Name: "k4", Arguments: k4("x-max-priority", 10)},
			inequivalent("x-max-priority", "k4", "'10'", "'5'")},
		{"overflow changed", QueueSpec{Name: "k4", Arguments: k4("x-overflow", "reject-publish")},
			inequivalent("x-overflow", "k4", "'reject-publish'", "'drop-head'")},
		{"float", QueueSpec{Name: "k4", Arguments: k4("x-message-ttl", 1000.0)},
			inequivalent("x-message-ttl", "k4", "'1.0e3'", "'1000'")},
		{"unknown argument changed", QueueSpec{Name: "k4", Arguments: k4("foo", 2)}, ""},
		{"to transient", QueueSpec{Name: "k5"}, inequivalent("durable", "k5", "'false'", "'true'")},
		{"to quorum", QueueSpec{Name: "k6", Durable: true, Arguments: table("x-queue-type", "quorum")},
			inequivalent("x-queue-type", "k6", "'quorum'", "'classic'")},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := a.DeclareQueue(c.s)
			want(t, err, c.text)
		})
	}
}

func TestQueueNames(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	generated := regexp.MustCompile(`^amq\.gen-[A-Za-z0-9_-]{22}$`)
	first, err := a.DeclareQueue(QueueSpec{Exclusive: true})
	must(t, err)
	second, err := a.DeclareQueue(QueueSpec{Exclusive: true})
	must(t, err)
	if !generated.MatchString(first.Name) || !generated.MatchString(second.Name) || first.Name == second.Name {
		t.Errorf("generated names %q and %q", first.Name, second.Name)
	}
	prefixed, err := a.DeclareQueue(QueueSpec{Arguments: table("x-name-prefix", "my.app")})
	must(t, err)
	if !regexp.MustCompile(`^my\.app-[A-Za-z0-9_-]{22}$`).MatchString(prefixed.Name) {
		t.Errorf("name with prefix %q", prefixed.Name)
	}
	if q := n.State().Queue("/", prefixed.Name); q == nil || q.Arguments != nil {
		t.Errorf("stored as %+v, want no arguments", q)
	}
	long := fmt.Sprintf("%065d", 0)
	for _, c := range []struct {
		name string
		s    QueueSpec
		text string
	}{
		{"reserved", QueueSpec{Name: "amq.foo"}, "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'"},
		{"reserved passive", QueueSpec{Name: "amq.foo", Passive: true}, "NOT_FOUND - no queue 'amq.foo' in vhost '/'"},
		{"reserved but there", QueueSpec{Name: first.Name, Exclusive: true}, ""},
		{"passive without a name", QueueSpec{Passive: true}, "NOT_FOUND - no queue '' in vhost '/'"},
		{"passive, missing", QueueSpec{Name: "missing", Passive: true}, "NOT_FOUND - no queue 'missing' in vhost '/'"},
		{"passive ignores the rest", QueueSpec{Name: prefixed.Name, Passive: true, Durable: true, AutoDelete: true,
			Arguments: table("x-message-ttl", 5)}, ""},
		{"long prefix", QueueSpec{Arguments: table("x-name-prefix", long)},
			"PRECONDITION_FAILED - Queue name prefix '" + long + "' exceeds the 64-byte limit"},
		{"reserved prefix", QueueSpec{Arguments: table("x-name-prefix", "amq.x")},
			"ACCESS_REFUSED - queue name 'amq.x' contains reserved prefix 'amq.*'"},
		{"quorum", QueueSpec{Arguments: table("x-queue-type", "quorum")},
			"PRECONDITION_FAILED - Cannot declare a server-named queue for type quorum"},
		{"255 bytes", QueueSpec{Name: fmt.Sprintf("%0255d", 0)}, ""},
		{"line break", QueueSpec{Name: "a\nb"}, ""},
		{"line break stripped", QueueSpec{Name: "ab", Passive: true}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := a.DeclareQueue(c.s)
			want(t, err, c.text)
		})
	}
}

func TestExclusiveQueue(t *testing.T) {
	n := startNode(t)
	owner, other := n.connect(), n.connect()
	_, err := owner.DeclareQueue(QueueSpec{Name: "kx", Exclusive: true, Durable: true})
	must(t, err)
	if q := n.State().Queue("/", "kx"); q.Durable {
		t.Error("an exclusive queue is durable")
	}
	h, err := owner.QueueForRead("kx")
	must(t, err)
	locked := lockedText("kx")
	for _, c := range []struct {
		name string
		do   func() error
	}{
		{"declare exclusive", func() error { _, err := other.DeclareQueue(QueueSpec{Name: "kx", Exclusive: true}); return err }},
		{"declare", func() error { _, err := other.DeclareQueue(QueueSpec{Name: "kx"}); return err }},
		{"passive", func() error { _, err := other.DeclareQueue(QueueSpec{Name: "kx", Passive: true}); return err }},
		{"bind", func() error {
			return other.BindQueue(BindingSpec{Source: "amq.direct", Destination: "kx", RoutingKey: "k"})
		}},
		{"purge", func() error { _, err := other.PurgeQueue("kx"); return err }},
		{"delete", func() error { _, err := other.DeleteQueue("kx", false, false); return err }},
		{"read", func() error { _, err := other.QueueForRead("kx"); return err }},
		{"owner, not exclusive", func() error { _, err := owner.DeclareQueue(QueueSpec{Name: "kx"}); return err }},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.do(), locked) })
	}
	_, err = owner.DeclareQueue(QueueSpec{Name: "kx", Exclusive: true})
	want(t, err, "")

	before := n.Meta().State().Index()
	other.Close()
	if n.Meta().State().Index() != before {
		t.Error("closing a connection without exclusive queues changed the metadata")
	}
	owner.Close()
	_, err = n.connect().DeclareQueue(QueueSpec{Name: "kx", Passive: true})
	want(t, err, "NOT_FOUND - no queue 'kx' in vhost '/'")
	if _, err := h.Status(); err != queue.ErrGone {
		t.Errorf("status of the old handle: %v, want ErrGone", err)
	}
	if _, err := owner.DeclareQueue(QueueSpec{Name: "kx", Exclusive: true}); err == nil {
		t.Error("a closed connection declared an exclusive queue")
	}
}

// publish puts count persistent messages into q and waits until they are safe.
func publish(t *testing.T, h queue.Handle, count int) {
	t.Helper()
	var b block.Block
	for range count {
		b.Append(&block.Record{Flags: block.Persistent, RoutingKey: []byte("k"), Body: []byte("body")})
	}
	done := make(chan struct{})
	batch := &queue.Batch{First: 1, Last: uint64(count), Complete: func(*queue.Batch) { close(done) }}
	batch.Add()
	h.Publish(&queue.Publication{Block: b, Batch: batch})
	<-done
	if r := batch.Refused(); len(r) != 0 {
		t.Fatalf("refused %v", r)
	}
}

func TestDeleteAndPurgeQueue(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	declare := func(name string, messages int) queue.Handle {
		_, err := a.DeclareQueue(QueueSpec{Name: name, Durable: true})
		must(t, err)
		h, err := a.QueueForRead(name)
		must(t, err)
		if messages > 0 {
			publish(t, h, messages)
		}
		return h
	}
	declare("full", 2)
	used := declare("used", 0)
	r := new(receiver)
	must(t, used.Consume(&queue.Consumer{Tag: "c", Receiver: r}))

	_, err := a.DeleteQueue("full", false, true)
	want(t, err, "PRECONDITION_FAILED - queue 'full' in vhost '/' not empty")
	_, err = a.DeleteQueue("used", true, false)
	want(t, err, "PRECONDITION_FAILED - queue 'used' in vhost '/' in use")
	_, err = a.PurgeQueue("missing")
	want(t, err, "NOT_FOUND - no queue 'missing' in vhost '/'")
	_, err = a.QueueForRead("missing")
	want(t, err, "NOT_FOUND - no queue 'missing' in vhost '/'")

	info, err := a.DeclareQueue(QueueSpec{Name: "used", Passive: true})
	must(t, err)
	if info != (QueueInfo{Name: "used", Consumers: 1}) {
		t.Errorf("declare-ok %+v", info)
	}
	if info, err = a.DeclareQueue(QueueSpec{Name: "full", Durable: true}); err != nil || info.Messages != 2 {
		t.Errorf("declare-ok %+v, %v; want 2 messages", info, err)
	}
	if got, err := a.PurgeQueue("full"); err != nil || got != 2 {
		t.Errorf("purged %d, %v; want 2", got, err)
	}
	h, err := a.QueueForRead("full")
	must(t, err)
	publish(t, h, 3)
	for _, c := range []struct {
		name     string
		messages int
	}{{"full", 3}, {"used", 0}, {"missing", 0}, {"full", 0}} {
		got, err := a.DeleteQueue(c.name, false, false)
		if err != nil || got != c.messages {
			t.Errorf("delete %s: %d, %v; want %d", c.name, got, err, c.messages)
		}
	}
	eventually(t, "the consumer is told", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.cancelled
	})
}

func TestAutoDeleteQueue(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	for round := range 20 {
		name := fmt.Sprintf("kad%d", round)
		_, err := a.DeclareQueue(QueueSpec{Name: name, AutoDelete: true})
		must(t, err)
		h, err := a.QueueForRead(name)
		must(t, err)
		_, _, _, err = h.Get(true)
		must(t, err)
		_, err = a.DeclareQueue(QueueSpec{Name: name, Passive: true})
		want(t, err, "") // never had a consumer
		c := &queue.Consumer{Tag: "a", Receiver: new(receiver)}
		must(t, h.Consume(c))
		h.Cancel(c)
		// It is gone for whoever asks after the cancel, though the deletion is under way.
		_, err = a.DeclareQueue(QueueSpec{Name: name, Passive: true})
		want(t, err, "NOT_FOUND - no queue '"+name+"' in vhost '/'")
	}
}

// A queue whose deletion the cluster did not agree to in time is as it was.
func TestDeleteWithoutAgreement(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(t, err)
	h, err := a.QueueForRead("q")
	must(t, err)
	publish(t, h, 2)
	q, _ := n.find(resource{kindQueue, "q", "/"})
	timeout := n.opts.CommitTimeout
	n.opts.CommitTimeout = 1
	_, err = n.deleteQueue("", q, h, false, false)
	n.opts.CommitTimeout = timeout
	if err == nil {
		t.Fatal("deleted within a nanosecond")
	}
	// Whether the change was committed is not known; either way the queue is whole or gone.
	must(t, n.Meta().Barrier(t.Context()))
	if info, err := a.DeclareQueue(QueueSpec{Name: "q", Passive: true}); err == nil && info.Messages != 2 {
		t.Errorf("%d messages left, want 2", info.Messages)
	} else if err == nil {
		publish(t, h, 1)
		if got, err := a.DeleteQueue("q", false, false); err != nil || got != 3 {
			t.Errorf("second delete: %d, %v; want 3", got, err)
		}
	}
}

// A delete that finds the engine of its queue gone is no delete as long as the metadata has the queue: the engine is gone, too, when
// its node is going down.
func TestDeleteWhileNodeEnds(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(t, err)
	q, _ := n.find(resource{kindQueue, "q", "/"})
	n.engines.drop(q.ID)
	_, err = a.DeleteQueue("q", false, false)
	want(t, err, "NOT_FOUND - home node '"+n.nodeName(q.Leader)+"' of durable queue 'q' in vhost '/' is down or inaccessible")
	if n.State().Queue("/", "q") == nil {
		t.Error("the queue is gone all the same")
	}
}

func TestConcurrentDeclares(t *testing.T) {
	n := startNode(t)
	const clients = 64
	var wg sync.WaitGroup
	for range clients {
		a := n.connect()
		wg.Go(func() {
			for i := range 4 {
				if _, err := a.DeclareQueue(QueueSpec{Name: fmt.Sprint("q", i), Durable: true}); err != nil {
					t.Errorf("declare: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if got := n.State().NumQueues(); got != 4 {
		t.Errorf("%d queues, want 4", got)
	}
	if got := len(n.engines.all()); got != 4 {
		t.Errorf("%d engines, want 4", got)
	}
	// Declares and deletes of one name by many: every declare finds or makes the queue.
	for range clients {
		a := n.connect()
		wg.Go(func() {
			for range 5 {
				if _, err := a.DeclareQueue(QueueSpec{Name: "flapping"}); err != nil {
					t.Errorf("declare: %v", err)
				}
				if _, err := a.DeleteQueue("flapping", false, false); err != nil {
					t.Errorf("delete: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRestart(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	for _, s := range []QueueSpec{
		{Name: "durable", Durable: true}, {Name: "transient"}, {Name: "exclusive", Exclusive: true},
		{Name: "auto", Durable: true, AutoDelete: true}, {Name: "doomed", Durable: true},
	} {
		_, err := a.DeclareQueue(s)
		must(t, err)
	}
	must(t, a.DeclareExchange(ExchangeSpec{Name: "xd", Type: "topic", Durable: true}))
	must(t, a.DeclareExchange(ExchangeSpec{Name: "xt", Type: "topic"}))
	must(t, a.BindQueue(BindingSpec{Source: "xd", Destination: "durable", RoutingKey: "a.*"}))
	must(t, a.BindQueue(BindingSpec{Source: "xd", Destination: "transient", RoutingKey: "a.*"}))
	for _, name := range []string{"durable", "doomed"} {
		h, err := a.QueueForRead(name)
		must(t, err)
		publish(t, h, 3)
	}
	doomed := n.State().Queue("/", "doomed")
	_, err := a.DeleteQueue("doomed", false, false)
	must(t, err)
	owner := n.run()

	n.restart()
	if n.run().Incarnation <= owner.Incarnation {
		t.Errorf("run %d after run %d", n.run().Incarnation, owner.Incarnation)
	}
	a = n.connect()
	for name, text := range map[string]string{
		"durable": "", "auto": "",
		"transient": "NOT_FOUND - no queue 'transient' in vhost '/'",
		"exclusive": "NOT_FOUND - no queue 'exclusive' in vhost '/'",
		"doomed":    "NOT_FOUND - no queue 'doomed' in vhost '/'",
	} {
		_, err := a.DeclareQueue(QueueSpec{Name: name, Passive: true})
		want(t, err, text)
	}
	want(t, a.DeclareExchange(ExchangeSpec{Name: "xd", Passive: true}), "")
	want(t, a.DeclareExchange(ExchangeSpec{Name: "xt", Passive: true}), "NOT_FOUND - no exchange 'xt' in vhost '/'")
	info, err := a.DeclareQueue(QueueSpec{Name: "durable", Durable: true})
	must(t, err)
	if info.Messages != 3 {
		t.Errorf("%d messages after the restart, want 3", info.Messages)
	}
	if n.store.Recovered()[doomed.ID] != nil {
		t.Error("the store kept a deleted queue")
	}
	r := a.Routes()
	got := r.Route(nil, r.Exchange("xd"), []byte("a.b"), nil, nil)
	if len(got) != 1 || got[0].Def.Name != "durable" {
		t.Errorf("routed to %d queues, want durable alone", len(got))
	}
}

// Closing the broker right after the last consumer left does not keep the queue from going.
func TestCloseFinishesAutoDelete(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	const queues = 50
	for i := range queues {
		name := fmt.Sprint("auto", i)
		_, err := a.DeclareQueue(QueueSpec{Name: name, Durable: true, AutoDelete: true})
		must(t, err)
		h, err := a.QueueForRead(name)
		must(t, err)
		c := &queue.Consumer{Tag: "a", Receiver: new(receiver)}
		must(t, h.Consume(c))
		h.Cancel(c)
	}
	n.restart()
	if got := n.State().NumQueues(); got != 0 {
		t.Errorf("%d of %d auto-delete queues are left", got, queues)
	}
}

func TestAbsentQueue(t *testing.T) {
	n := startNode(t)
	n.propose(meta.DeclareQueue{Queue: meta.Queue{VHost: "/", Name: "far", Type: typeClassic, Durable: true, Leader: "n2"}})
	a := n.connect()
	const down = "NOT_FOUND - home node 'n2' of durable queue 'far' in vhost '/' is down or inaccessible"
	_, err := a.DeclareQueue(QueueSpec{Name: "far", Durable: true})
	want(t, err, down)
	_, err = a.PurgeQueue("far")
	want(t, err, down)
	_, err = a.DeleteQueue("far", false, false)
	want(t, err, down)
	h := a.Routes().Queue("far").Handle
	want(t, a.QueueError(h.Consume(nil), "far"), down)
	var b block.Block
	b.Append(&block.Record{})
	b.Append(&block.Record{})
	completed := false
	batch := &queue.Batch{First: 7, Last: 8, Complete: func(*queue.Batch) { completed = true }}
	batch.Add()
	h.Publish(&queue.Publication{Block: b, Batch: batch})
	if got := fmt.Sprint(batch.Refused()); !completed || got != "[7 8]" {
		t.Errorf("completed %v, refused %s; want [7 8]", completed, got)
	}
}

// BenchmarkDeclareQueue declares new durable queues from 100 clients at once.
func BenchmarkDeclareQueue(b *testing.B) {
	n := startNode(b)
	a := n.connect()
	var next atomic.Int64
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := a.DeclareQueue(QueueSpec{Name: fmt.Sprint("q", next.Add(1)), Durable: true}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "declares/s")
}

// BenchmarkRedeclareQueue declares what is there.
func BenchmarkRedeclareQueue(b *testing.B) {
	n := startNode(b)
	a := n.connect()
	s := QueueSpec{Name: "q", Durable: true, Arguments: table("x-message-ttl", 60000, "x-max-length", 1000)}
	for b.Loop() {
		if _, err := a.DeclareQueue(s); err != nil {
			b.Fatal(err)
		}
	}
}

// A crash leaves the queues and messages of the log behind; the metadata decides what counts.
func TestStartDropsWhatMetadataDoesNotKnow(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	_, err := a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(t, err)
	h, err := a.QueueForRead("q")
	must(t, err)
	publish(t, h, 1)
	id := h.ID()
	// As if the node went down between the commit of the deletion and the drop of the messages.
	n.mu.Lock()
	n.running = false
	n.mu.Unlock()
	n.propose(meta.DeleteQueue{VHost: "/", Name: "q", ID: id})
	n.restart()
	if n.store.Recovered()[id] != nil {
		t.Error("the store kept a queue that the metadata does not know")
	}
	if n.engines.get(id) != nil {
		t.Error("a deleted queue has an engine")
	}
}
