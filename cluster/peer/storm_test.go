package peer

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/queue"
)

// storm is a few nodes that use the same queues at once, some of them over links that are cut. It knows of each message what its
// publisher was told and what consumers did with it.
type storm struct {
	t      testing.TB
	leader *leader
	users  []*user        // nil for the leader's own use
	cuts   []atomic.Int64 // by node: odd while the link is being cut
	end    chan struct{}
	// cutting says that links will be cut. Then consumers without acknowledgement are local: what is on its way to others is lost.
	cutting bool
	work    sync.WaitGroup
	flow    budget
	purged  atomic.Int64
	lost    atomic.Bool // a purge whose answer was lost

	mu       sync.Mutex
	failures []string
	next     uint64
	msgs     map[uint64]*stormMsg
	batches  int // not answered
}

type stormMsg struct {
	queue, origin int
	confirmed     bool
	handed        int   // times that a receiver had it
	acked         bool  // or dropped, or taken without acknowledgement
	at, epoch     int64 // node where it was acked, and how often its link had been cut when it came
}

func (w *storm) handle(node int, id uint64) queue.Handle {
	if u := w.users[node]; u != nil {
		return u.queue(id)
	}
	return w.leader.queue(id)
}

// took notes what a receiver or Get has got. mu is held.
func (w *storm) took(node int, id uint64, again bool) *stormMsg {
	m := w.msgs[id]
	// The leader may notice before this node that a link is cut, and requeue what is on its way.
	late := w.cuts[node].Load()%2 == 1
	switch {
	case m == nil:
		w.failures = append(w.failures, fmt.Sprintf("message %d was never published", id))
		return &stormMsg{}
	case m.handed > 0 && !again && !late:
		w.failures = append(w.failures, fmt.Sprintf("message %d came a second time, not marked as redelivered", id))
	case m.acked && w.sure(m) && !late:
		w.failures = append(w.failures, fmt.Sprintf("message %d came at node %d, it was acknowledged at node %d", id, node, m.at))
	}
	m.handed++
	return m
}

// sure reports whether an acknowledgement has got to the queue: its link was not cut since the delivery came. mu is held.
func (w *storm) sure(m *stormMsg) bool { return w.cuts[m.at].Load() == m.epoch && m.epoch%2 == 0 }

func (w *storm) publisher(node int, id uint64, r *rand.Rand, persistent bool) {
	h := w.handle(node, id)
	inFlight := make(chan struct{}, 8)
	for range 4000 { // more would take much memory where consumers are slow
		select {
		case <-w.end:
			return
		case inFlight <- struct{}{}:
		}
		n := 1 + r.Uint64N(20)
		if r.IntN(3) == 0 {
			n = 1
		}
		size := 16
		if r.IntN(200) == 0 {
			n, size = 1, 2*chunkBytes+100
		}
		w.mu.Lock()
		first := w.next
		w.next += n
		for i := first; i < w.next; i++ {
			w.msgs[i] = &stormMsg{queue: int(id), origin: node}
		}
		w.batches++
		w.mu.Unlock()
		b := &queue.Batch{First: first, Last: first + n - 1}
		b.Complete = func(b *queue.Batch) {
			w.mu.Lock()
			for i := b.First; i <= b.Last; i++ {
				w.msgs[i].confirmed = true
			}
			for _, i := range b.Refused() {
				w.msgs[i].confirmed = false
			}
			w.batches--
			w.mu.Unlock()
			<-inFlight
		}
		p := &queue.Publication{Batch: b, Flow: &w.flow}
		for i := first; i < first+n; i++ {
			p.Block.Append(rec(i, size, persistent))
		}
		w.flow.add(p.Block.Size())
		b.Add()
		h.Publish(p)
		if r.IntN(20) == 0 {
			time.Sleep(time.Duration(r.IntN(300)) * time.Microsecond)
		}
	}
}

// stormConsumer is a receiver with little room at times.
type stormConsumer struct {
	queue.Consumer
	w    *storm
	h    queue.Handle
	node int

	mu        sync.Mutex
	room      int
	short     bool
	open      []stormDelivery
	cancelled bool
	over      bool // Cancel has returned
}

type stormDelivery struct {
	id, offset uint64
	epoch      int64
}

func (c *stormConsumer) Reserve(_ *queue.Consumer, n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	granted := min(n, c.room)
	c.room -= granted
	c.short = c.short || granted < n
	return granted
}

func (c *stormConsumer) Unreserve(_ *queue.Consumer, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.room += n
}

func (c *stormConsumer) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	epoch := c.w.cuts[c.node].Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if c.cancelled || c.over {
		c.w.failures = append(c.w.failures, "a delivery after the end of its consumer")
	}
	for _, p := range pieces {
		for i, id := range ids(p) {
			m := c.w.took(c.node, id, p.Redelivered)
			if c.NoAck {
				m.acked, m.at, m.epoch = true, int64(c.node), epoch
				continue
			}
			c.open = append(c.open, stormDelivery{id, p.First + uint64(i), epoch})
		}
	}
}

func (c *stormConsumer) Cancelled(*queue.Consumer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled = true
}

func (c *stormConsumer) give(n int) {
	c.mu.Lock()
	c.room += n
	wake := c.short
	c.short = false
	c.mu.Unlock()
	if wake {
		c.h.Wake(&c.Consumer)
	}
}

// settle settles up to n deliveries, all from the oldest or each third.
func (c *stormConsumer) settle(n int, o queue.Outcome, third bool) {
	c.mu.Lock()
	var rest, list []stormDelivery
	for i, d := range c.open {
		if len(list) >= n || third && i%3 != 0 {
			rest = append(rest, d)
		} else {
			list = append(list, d)
		}
	}
	c.open = rest
	c.mu.Unlock()
	if len(list) == 0 {
		return
	}
	v := &queue.Settlement{Handle: c.h, Consumer: &c.Consumer, Outcome: o}
	c.w.mu.Lock()
	for _, d := range list {
		v.Ranges = append(v.Ranges, queue.Range{First: d.offset, Last: d.offset})
		if m := c.w.msgs[d.id]; m != nil && o <= queue.Drop && (!m.acked || !c.w.sure(m)) {
			m.acked, m.at, m.epoch = true, int64(c.node), d.epoch
		}
	}
	c.w.mu.Unlock()
	c.h.Settle(v)
}

func (w *storm) consumer(node int, id uint64, r *rand.Rand) {
	h := w.handle(node, id)
	for {
		c := &stormConsumer{w: w, h: h, node: node, room: r.IntN(100)}
		c.Receiver = c
		c.Prefetch = []int{0, 1, 10, 300}[r.IntN(4)]
		c.NoAck = r.IntN(6) == 0 && (node == 0 || !w.cutting)
		if err := h.Consume(&c.Consumer); err == nil {
			for range 5 + r.IntN(60) {
				c.give(r.IntN(200))
				c.settle(r.IntN(200), []queue.Outcome{queue.Ack, queue.Ack, queue.Ack, queue.Drop, queue.Requeue}[r.IntN(5)], r.IntN(4) == 0)
				c.mu.Lock()
				cancelled := c.cancelled
				c.mu.Unlock()
				if cancelled {
					break
				}
				time.Sleep(time.Duration(r.IntN(1500)) * time.Microsecond)
			}
			h.Cancel(&c.Consumer)
			c.mu.Lock()
			c.over = true
			c.mu.Unlock()
			c.settle(1<<30, queue.Requeue, false)
		} else {
			time.Sleep(time.Millisecond)
		}
		select {
		case <-w.end:
			return
		default:
		}
	}
}

func (w *storm) getter(node int, id uint64, r *rand.Rand, purges bool) {
	h := w.handle(node, id)
	for {
		select {
		case <-w.end:
			return
		default:
		}
		if purges && r.IntN(40) == 0 {
			n, err := h.Purge()
			w.purged.Add(int64(n))
			if err != nil {
				w.lost.Store(true)
			}
		}
		epoch := w.cuts[node].Load()
		p, _, ok, err := h.Get(false)
		if err != nil || !ok {
			time.Sleep(time.Millisecond)
			continue
		}
		o := []queue.Outcome{queue.Ack, queue.Requeue}[r.IntN(2)]
		w.mu.Lock()
		for _, id := range ids(p) {
			if m := w.took(node, id, p.Redelivered); o == queue.Ack && (!m.acked || !w.sure(m)) {
				m.acked, m.at, m.epoch = true, int64(node), epoch
			}
		}
		w.mu.Unlock()
		h.Settle(&queue.Settlement{Handle: h, Outcome: o, Ranges: []queue.Range{{First: p.First, Last: p.First}}})
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(500)) * time.Microsecond)
		}
	}
}

// run lets everything happen for a while and then looks whether something is missing or too much.
func (w *storm) run(seed uint64, cuts int, purges bool) {
	const queues = 2
	for id := range uint64(queues) {
		w.leader.declare(queue.Options{ID: id + 1, Durable: id == 0})
	}
	source := func(stream int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(stream))) }
	for node := range w.users {
		for id := uint64(1); id <= queues; id++ {
			k := node*100 + int(id)*10
			w.work.Go(func() { w.publisher(node, id, source(k), id == 1) })
			for i := range 2 {
				w.work.Go(func() { w.consumer(node, id, source(k+1+i)) })
			}
			w.work.Go(func() { w.getter(node, id, source(k+5), purges) })
		}
	}
	r := source(1000)
	for range cuts {
		time.Sleep(time.Duration(10+r.IntN(60)) * time.Millisecond)
		node := 1 + r.IntN(len(w.users)-1)
		w.cuts[node].Add(1)
		w.users[node].cut()
		w.cuts[node].Add(1)
		if r.IntN(2) == 0 {
			w.users[node].wait()
		}
	}
	time.Sleep(30 * time.Millisecond)
	close(w.end)
	w.work.Wait()
	w.check(queues)
}

func (w *storm) check(queues uint64) {
	t := w.t
	until(t, "answers to all publications", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.batches == 0 })
	until(t, "flow", func() bool { return w.flow.left() == 0 })
	for id := uint64(1); id <= queues; id++ {
		for _, u := range w.users[1:] { // what was sent is handled
			u.wait()
			if _, err := u.queue(id).Status(); err != nil {
				t.Fatalf("status: %v", err)
			}
		}
		q := w.leader.queue(id)
		until(t, "end of all consumers and deliveries", func() bool {
			s, err := q.Status()
			return err == nil && s.Unacked == 0 && s.Consumers == 0
		})
		for {
			p, _, ok, err := q.Get(true)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			w.mu.Lock()
			for _, id := range ids(p) {
				m := w.took(0, id, p.Redelivered)
				m.acked, m.at, m.epoch = true, 0, 0
			}
			w.mu.Unlock()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	missing, confirmed := 0, 0
	for _, m := range w.msgs {
		if m.confirmed {
			confirmed++
		}
		if m.confirmed && !m.acked {
			missing++
		}
	}
	if missing > int(w.purged.Load()) && !w.lost.Load() {
		w.failures = append(w.failures, fmt.Sprintf("%d messages are missing, %d were purged", missing, w.purged.Load()))
	}
	if len(w.failures) > 0 {
		t.Fatalf("%d failures, first: %s", len(w.failures), w.failures[0])
	}
	if len(w.users) > 1 && confirmed == 0 {
		t.Fatal("nothing was confirmed")
	}
	t.Logf("%d messages, %d confirmed, %d purged or missing", len(w.msgs), confirmed, missing)
}

var stormSeed = flag.Uint64("storm.seed", 0, "seed of TestStorm, 0 for a new one each time")

// TestStorm checks that nothing is lost, invented or kept, whatever happens to the links.
func TestStorm(t *testing.T) {
	for _, v := range []struct {
		name   string
		cuts   int
		purges bool
	}{{"calm", 0, false}, {"purges", 0, true}, {"cuts", 8, false}, {"cuts and purges", 6, true}} {
		t.Run(v.name, func(t *testing.T) {
			seed := *stormSeed
			if seed == 0 {
				seed = rand.Uint64()
			}
			t.Logf("again with -storm.seed %d", seed)
			l := newLeader(t)
			w := &storm{t: t, leader: l, users: []*user{nil, newUser(t, l, "a"), newUser(t, l, "b")}, end: make(chan struct{}),
				cutting: v.cuts > 0, msgs: make(map[uint64]*stormMsg), cuts: make([]atomic.Int64, 3), next: 1}
			w.run(seed, v.cuts, v.purges)
		})
	}
}
