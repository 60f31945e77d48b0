package server

import (
	"log/slog"
	"net"
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// rig is a connection without a reader, for tests that play the reader: they feed it frames as if they had come in one read.
// Routing is real; queues are what the test puts there, so that it decides when they answer.
type rig struct {
	t       tester
	c       *conn
	builder *routing.Builder
	table   routing.Table
	nextID  uint64

	mu     sync.Mutex
	denied map[string]bool // exchanges
	checks int             // of write permissions
}

// rigAccess is the rig's way to the broker.
type rigAccess struct {
	Access
	r *rig
}

func (a rigAccess) Elsewhere(queue.Handle) bool { return false }

func (a rigAccess) Routes() *routing.VHost { return a.r.table.Load().VHost("/") }

func (a rigAccess) CheckPublish(exchange string) error {
	a.r.mu.Lock()
	defer a.r.mu.Unlock()
	a.r.checks++
	if a.r.denied[exchange] {
		return wire.Errorf(wire.AccessRefused, "write access to exchange '%s' refused", exchange)
	}
	return nil
}

func (a rigAccess) CheckTopicWrite(string, []byte) error { return nil }
func (a rigAccess) OpenChannel() error                   { return nil }
func (a rigAccess) CloseChannel()                        {}
func (a rigAccess) ConsumerTimeout(uint64) (int64, bool) { return 0, false }

func (a rigAccess) CheckUserID(id []byte) error {
	if string(id) != "guest" {
		return wire.Errorf(wire.PreconditionFailed, "user_id property set to '%s' but authenticated user was 'guest'", id)
	}
	return nil
}

func newRig(t tester, nc net.Conn) *rig {
	t.Helper()
	srv, err := New(Options{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, builder: routing.NewBuilder(), denied: make(map[string]bool)}
	r.builder.PutVHost(&meta.VHost{Name: "/"})
	r.commit()
	r.c = newConn(srv, nc, 1, nil)
	r.c.access = rigAccess{r: r}
	r.c.vhost, r.c.frameMax, r.c.channelMax = "/", 131072, 2047
	r.c.caps = capabilities{consumerCancelNotify: true, basicNack: true}
	t.Cleanup(func() { r.c.out.close(flushTimeout) })
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) commit() { r.table.Store(r.builder.Commit()) }

// queue adds a queue, or gives it another handle.
func (r *rig) queue(name string, h queue.Handle) {
	r.t.Helper()
	r.nextID++
	r.must(r.builder.PutQueue(&meta.Queue{ID: r.nextID, VHost: "/", Name: name, Type: "classic"}, h))
	r.commit()
}

// exchange adds an exchange. arguments are a field table.
func (r *rig) exchange(name, typ string, arguments ...wire.Field) {
	r.t.Helper()
	r.must(r.builder.PutExchange(&meta.Exchange{VHost: "/", Name: name, Type: typ, Arguments: tableContent(arguments)}))
	r.commit()
}

func (r *rig) bind(source, queue, key string, arguments ...wire.Field) {
	r.t.Helper()
	r.must(r.builder.PutBinding(meta.Binding{VHost: "/", Source: source, Destination: queue, RoutingKey: key,
		Arguments: tableContent(arguments)}))
	r.commit()
}

// tableContent returns an encoded table without its length.
func tableContent(t wire.Table) []byte {
	if len(t) == 0 {
		return nil
	}
	return t.Append(nil)[4:]
}

// open opens a channel.
func (r *rig) open(id uint16) *channel {
	r.t.Helper()
	r.feed(wire.AppendMethod(nil, id, &wire.ChannelOpen{}))
	return r.c.channels[id]
}

// feed handles frames as one read chunk.
func (r *rig) feed(frames []byte) {
	r.t.Helper()
	r.c.in.buf, r.c.in.r, r.c.in.w = frames, 0, len(frames)
	_, err := r.c.chunk()
	r.must(err)
	r.c.flush()
	if n := len(r.c.in.unread()); n > 0 {
		r.t.Fatalf("%d bytes left", n)
	}
	r.c.in.buf = nil
}

// takingQueue takes what is published and forgets it.
type takingQueue struct {
	queue.Handle
	messages, settled int
}

func (q *takingQueue) Publish(p *queue.Publication) {
	q.messages += p.Block.Count
	size := p.Block.Size()
	block.PutArena(p.Block.Records)
	if p.Batch != nil {
		p.Batch.Done()
	}
	if p.Flow != nil {
		p.Flow.Done(size)
	}
}

func (q *takingQueue) Settle(s *queue.Settlement) {
	for _, r := range s.Ranges {
		q.settled += int(r.Last-r.First) + 1
	}
	if s.Done != nil {
		s.Done()
	}
}

func (q *takingQueue) ID() uint64                    { return 1 }
func (q *takingQueue) Wake(*queue.Consumer)          {}
func (q *takingQueue) Consume(*queue.Consumer) error { return nil }
func (q *takingQueue) Cancel(*queue.Consumer)        {}

// tester is what testing.TB and rapid.T have in common.
type tester interface {
	fataler
	Fatal(args ...any)
	Cleanup(func())
}
