package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// instantLog is a log that has everything at once and keeps nothing.
type instantLog struct{}

func (instantLog) Submit(op *block.Op) {
	if op.Owner != nil && op.Owner.Claim(op) {
		op.Owner.Done(op, nil)
	}
}
func (instantLog) Load(uint64, block.Desc) ([]byte, error) { return nil, errors.New("nothing is kept") }
func (instantLog) DropQueue(uint64)                        {}

// leader is a node that leads queues.
type leader struct {
	clueless error // what await says when a queue has not come; set before it is used
	t        testing.TB
	addr     string
	svc      *Service
	server   *grpc.Server

	mu      sync.Mutex
	queues  map[uint64]*queue.Queue
	notices []string
	changed chan struct{} // closed when queues changes
}

func newLeader(t testing.TB, change ...func(*ServiceOptions)) *leader {
	l := &leader{t: t, queues: make(map[uint64]*queue.Queue), changed: make(chan struct{})}
	o := ServiceOptions{
		Queue: func(id uint64) queue.Handle {
			if q := l.queue(id); q != nil {
				return q
			}
			return nil
		},
		Await: l.await,
		OnNotice: func(node string, n *peerv1.Notice) {
			l.mu.Lock()
			l.notices = append(l.notices, node+": "+string(n.Event))
			l.mu.Unlock()
		},
		LinkTimeout: 2 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	l.svc = NewService(o)
	l.server = grpc.NewServer(ServerOptions()...)
	peerv1.RegisterQueuesServer(l.server, l.svc)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() { _ = l.server.Serve(ln); close(served) }()
	t.Cleanup(func() {
		l.svc.Close()
		l.server.Stop()
		<-served
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, q := range l.queues {
			q.Stop()
		}
	})
	return l
}

func (l *leader) queue(id uint64) *queue.Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queues[id]
}

func (l *leader) await(ctx context.Context, id uint64) (queue.Handle, error) {
	for {
		l.mu.Lock()
		q, changed := l.queues[id], l.changed
		l.mu.Unlock()
		if q != nil {
			return q, nil
		}
		select {
		case <-ctx.Done():
			return nil, l.clueless
		case <-changed:
		}
	}
}

func (l *leader) declare(o queue.Options) *queue.Queue {
	if o.Log == nil {
		o.Log = instantLog{}
		o.Memory = queue.NewMemory(1<<40, 1<<40) // the log could not give anything back
	}
	q := queue.New(o)
	l.mu.Lock()
	l.queues[o.ID] = q
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	return q
}

// user is a node that uses queues of a leader, over a connection that can be cut.
type user struct {
	t     testing.TB
	links *Links
	proxy *proxy

	mu      sync.Mutex
	changes []bool // of the link
}

const leaderName = "leader"

func newUser(t testing.TB, l *leader, name string, change ...func(*Options)) *user {
	p := newProxy(t, l.addr)
	u := newUserAt(t, p.addr, name, change...)
	u.proxy = p
	return u
}

// newUserAt returns a user without a proxy.
func newUserAt(t testing.TB, addr, name string, change ...func(*Options)) *user {
	u := &user{t: t}
	conn, err := grpc.NewClient("passthrough:///"+addr,
		append(DialOptions(), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{
		Node: name,
		Conn: func(string) (grpc.ClientConnInterface, error) { return conn, nil },
		OnLink: func(_ string, up bool) {
			u.mu.Lock()
			u.changes = append(u.changes, up)
			u.mu.Unlock()
		},
		LinkTimeout: 2 * time.Second,
	}
	for _, c := range change {
		c(&o)
	}
	u.links = NewLinks(o)
	t.Cleanup(func() {
		u.links.Close()
		_ = conn.Close()
	})
	u.links.Connect(leaderName)
	u.wait()
	return u
}

// wait waits until the link is up.
func (u *user) wait() {
	until(u.t, "link", func() bool { return u.links.Up(leaderName) })
}

func (u *user) queue(id uint64) queue.Handle { return u.links.Queue(leaderName, id) }

// cut breaks the connection when the link is up and waits until everything over it is answered.
func (u *user) cut() {
	told := func() (n int) {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.changes)
	}
	until(u.t, "link", func() bool { return told()%2 == 1 })
	n := told()
	u.proxy.cut()
	until(u.t, "loss of the link", func() bool { return told() > n })
}

// proxy forwards connections.
type proxy struct {
	addr, to string
	mu       sync.Mutex
	conns    map[net.Conn]bool
	stalled  chan struct{} // not nil while nothing is forwarded
	work     sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: ln.Addr().String(), to: to, conns: make(map[net.Conn]bool)}
	p.work.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			d, err := net.Dial("tcp", to)
			if err != nil {
				_ = c.Close()
				continue
			}
			p.mu.Lock()
			p.conns[c], p.conns[d] = true, true
			p.mu.Unlock()
			p.work.Go(func() { p.forward(c, d) })
			p.work.Go(func() { p.forward(d, c) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) forward(from, to net.Conn) {
	defer func() {
		_ = from.Close()
		_ = to.Close()
		p.mu.Lock()
		delete(p.conns, from)
		p.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		stalled := p.stalled
		p.mu.Unlock()
		if stalled != nil {
			<-stalled
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stalled != nil {
		close(p.stalled)
		p.stalled = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
}

// resume ends stall.
func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stalled)
	p.stalled = nil
}

// stall lets the connections be, but forwards nothing until cut.
func (p *proxy) stall() {
	p.mu.Lock()
	p.stalled = make(chan struct{})
	p.mu.Unlock()
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for wait := 50 * time.Microsecond; !ok(); wait = min(2*wait, 5*time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		time.Sleep(wait)
	}
}

// rec makes a record whose body begins with id.
func rec(id uint64, size int, persistent bool) *block.Record {
	body := make([]byte, max(size, 8))
	binary.BigEndian.PutUint64(body, id)
	r := &block.Record{Arrived: 1, RoutingKey: []byte("key"), Properties: []byte{0, 0}, Body: body}
	if persistent {
		r.Flags = block.Persistent
	}
	return r
}

// ids returns the ids of the messages in p.
func ids(p queue.Piece) (list []uint64) {
	rest := p.Records
	for range p.Count {
		var r block.Record
		n, err := block.Parse(rest, p.Tail, &r)
		if err != nil {
			panic(err)
		}
		list = append(list, binary.BigEndian.Uint64(r.Body))
		rest = rest[min(n, len(rest)):]
	}
	return list
}

// budget counts the bytes that were published and not given back.
type budget struct {
	mu sync.Mutex
	n  int
}

func (f *budget) add(n int) {
	f.mu.Lock()
	f.n += n
	f.mu.Unlock()
}

func (f *budget) Done(n int) { f.add(-n) }

func (f *budget) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// publish gives the messages [from, to) as one block; answered is closed when the batch is complete.
func publish(h queue.Handle, from, to uint64, size int, persistent bool, flow *budget) (b *queue.Batch, answered chan struct{}) {
	answered = make(chan struct{})
	b = &queue.Batch{First: from, Last: to - 1, Complete: func(*queue.Batch) { close(answered) }}
	p := &queue.Publication{Batch: b}
	for id := from; id < to; id++ {
		p.Block.Append(rec(id, size, persistent))
	}
	if flow != nil {
		p.Flow = flow
		flow.add(p.Block.Size())
	}
	b.Add()
	h.Publish(p)
	return b, answered
}

func within(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("still waiting for: %s", what)
	}
}

// sink is a consumer with a limit that keeps what it gets.
type sink struct {
	queue.Consumer
	h  queue.Handle
	mu sync.Mutex

	room      int // what Reserve has left to grant; -1: no limit
	got       []uint64
	offsets   []uint64
	again     []bool
	sizes     int
	short     bool // Reserve has refused
	cancelled int
}

func newSink(h queue.Handle, room int) *sink {
	s := &sink{h: h, room: room}
	s.Receiver = s
	return s
}

func (s *sink) Reserve(_ *queue.Consumer, n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room >= 0 {
		s.short = s.room < n
		n = min(n, s.room)
		s.room -= n
	}
	return n
}

func (s *sink) Unreserve(_ *queue.Consumer, n int) { s.give(n) }

func (s *sink) give(n int) {
	s.mu.Lock()
	if s.room >= 0 {
		s.room += n
	}
	wake := s.short
	s.short = false
	s.mu.Unlock()
	if wake {
		s.h.Wake(&s.Consumer)
	}
}

func (s *sink) Deliver(_ *queue.Consumer, pieces []queue.Piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range pieces {
		s.got = append(s.got, ids(p)...)
		s.sizes += p.Bytes
		for i := range p.Count {
			s.offsets = append(s.offsets, p.First+uint64(i))
			s.again = append(s.again, p.Redelivered)
		}
	}
}

func (s *sink) Cancelled(*queue.Consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cancelled++
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got)
}

func (s *sink) settle(o queue.Outcome, from, to int) {
	s.mu.Lock()
	v := &queue.Settlement{Handle: s.h, Consumer: &s.Consumer, Outcome: o}
	for _, off := range s.offsets[from:to] {
		v.Ranges = append(v.Ranges, queue.Range{First: off, Last: off})
	}
	s.mu.Unlock()
	s.h.Settle(v)
}

func (s *sink) consume(t testing.TB) {
	t.Helper()
	if err := s.h.Consume(&s.Consumer); err != nil {
		t.Fatalf("consume: %v", err)
	}
}
