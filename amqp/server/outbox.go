package server

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
)

const (
	// chunkSize is the size in bytes of the buffers in which frames are gathered for one write.
	chunkSize = 64 << 10
	// shareBody is the body size in bytes from which a body is not copied to a chunk but written from the block itself.
	shareBody = 16 << 10
)

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// outbox is the sending side of a connection. Whoever sends encodes its frames under mu, so the order of the calls is the order
// on the wire; a writer goroutine, which exists only while there is something to write, writes all that has gathered with one
// system call. Senders never wait. Consumers are held back by Reserve while limit bytes wait.
type outbox struct {
	nc       net.Conn
	frameMax func() uint32
	limit    int

	mu      sync.Mutex
	chunk   []byte    // frames are appended here; nil when there are none
	sealed  []segment // before chunk, in order: full chunks and shared bodies
	pending int       // bytes in sealed and chunk and in the write under way
	writing bool      // a writer goroutine exists
	stopped bool      // nothing more is taken
	idle    chan struct{}
	held    []*consumer // to be woken when there is room

	failed    chan struct{}
	failOnce  sync.Once
	broken    atomic.Bool
	lastNanos atomic.Int64 // end of the last write, Unix nanoseconds
}

// segment is a part of what is to be written.
type segment struct {
	b      []byte
	shared bool // a body that belongs to a queue, too
}

func newOutbox(nc net.Conn, frameMax func() uint32, limit int) *outbox {
	o := &outbox{nc: nc, frameMax: frameMax, limit: limit, failed: make(chan struct{})}
	o.lastNanos.Store(time.Now().UnixNano())
	return o
}

// sendMethod sends a method frame.
func (o *outbox) sendMethod(channel uint16, m wire.Method) {
	o.mu.Lock()
	o.appendFrames(func(b []byte) []byte { return wire.AppendMethod(b, channel, m) })
	o.unlockAndWrite()
}

// sendHeartbeat sends a heartbeat frame.
func (o *outbox) sendHeartbeat() { o.sendRaw(heartbeatFrame) }

var heartbeatFrame = wire.AppendHeartbeat(nil)

// sendRaw sends bytes, which are copied.
func (o *outbox) sendRaw(b []byte) {
	o.mu.Lock()
	o.appendFrames(func(c []byte) []byte { return append(c, b...) })
	o.unlockAndWrite()
}

// appendFrames lets fn append to the chunk. What outgrows a chunk becomes a buffer of its own. mu is held.
func (o *outbox) appendFrames(fn func([]byte) []byte) {
	if o.stopped {
		return
	}
	b := o.room(512)
	n := len(b)
	b = fn(b)
	o.pending += len(b) - n
	o.chunk = b
}

// room returns the chunk with room for n more bytes, n at most chunkSize. mu is held.
func (o *outbox) room(n int) []byte {
	if o.chunk != nil && cap(o.chunk)-len(o.chunk) >= n {
		return o.chunk
	}
	if o.chunk != nil {
		o.sealed = append(o.sealed, segment{b: o.chunk})
	}
	o.chunk = chunks.Get().(*[chunkSize]byte)[:0]
	return o.chunk
}

// appendContent appends the content header and body of a message. mu is held.
func (o *outbox) appendContent(channel uint16, properties, body []byte) {
	max := o.frameMax()
	start := o.room(min(chunkSize, len(properties)+64+min(len(body)+16, shareBody+64)))
	b := wire.AppendContentHeader(start, channel, basicClass, uint64(len(body)), properties)
	if len(body) < shareBody {
		b = wire.AppendBody(b, channel, body, max)
		o.pending += len(b) - len(start)
		o.chunk = b
		return
	}
	o.pending += len(b) - len(start)
	o.chunk = b
	for payload := int(max) - wire.FrameOverhead; len(body) > 0; {
		n := min(payload, len(body))
		b = wire.AppendFrameHeader(o.room(wire.FrameHeaderLen+1), wire.FrameBody, channel, uint32(n))
		// The shared part goes between two chunks; the second one starts with the frame end.
		o.sealed = append(o.sealed, segment{b: b}, segment{b: body[:n:n], shared: true})
		o.chunk = append(chunks.Get().(*[chunkSize]byte)[:0], wire.FrameEnd)
		o.pending += wire.FrameOverhead + n
		body = body[n:]
	}
}

// appendDeliver appends a whole delivery. mu is held.
func (o *outbox) appendDeliver(channel uint16, tag string, deliveryTag uint64, redelivered bool, r *block.Record) {
	start := o.room(len(tag) + len(r.Exchange) + len(r.RoutingKey) + 64)
	b := wire.AppendDeliver(start, channel, tag, deliveryTag, redelivered, r.Exchange, r.RoutingKey)
	o.pending += len(b) - len(start)
	o.chunk = b
	o.appendContent(channel, r.Properties, r.Body)
}

const basicClass = 60

// unlockAndWrite releases mu and sees that somebody writes.
func (o *outbox) unlockAndWrite() {
	start := !o.writing && o.pending > 0 && !o.stopped
	if start {
		o.writing = true
	}
	o.mu.Unlock()
	if start {
		go o.write()
	}
}

// write is the writer goroutine.
func (o *outbox) write() {
	var all net.Buffers
	var taken []segment
	for {
		o.mu.Lock()
		if o.chunk == nil && len(o.sealed) == 0 {
			// Others may be about to send more: one chance for them, then the goroutine ends.
			o.mu.Unlock()
			runtime.Gosched()
			o.mu.Lock()
			if o.chunk == nil && len(o.sealed) == 0 {
				o.writing = false
				if o.idle != nil {
					close(o.idle)
					o.idle = nil
				}
				o.mu.Unlock()
				return
			}
		}
		taken = append(taken[:0], o.sealed...)
		if o.chunk != nil {
			taken = append(taken, segment{b: o.chunk})
		}
		clear(o.sealed)
		o.sealed, o.chunk = o.sealed[:0], nil
		o.mu.Unlock()

		size := 0
		for _, s := range taken {
			size += len(s.b)
		}
		if !o.broken.Load() {
			var err error
			if len(taken) == 1 {
				_, err = o.nc.Write(taken[0].b)
			} else {
				all = all[:0]
				for _, s := range taken {
					all = append(all, s.b)
				}
				buffers := all
				_, err = buffers.WriteTo(o.nc) // consumes the slice it is called on
				clear(all)
			}
			if err != nil {
				o.fault()
			} else {
				o.lastNanos.Store(time.Now().UnixNano())
			}
		}
		for i, s := range taken {
			if !s.shared && cap(s.b) == chunkSize {
				chunks.Put((*[chunkSize]byte)(s.b[:chunkSize]))
			}
			taken[i] = segment{}
		}
		o.mu.Lock()
		o.pending -= size
		var wake []*consumer
		if len(o.held) > 0 && o.pending <= o.limit/2 {
			wake = o.held
			o.held = nil
		}
		o.mu.Unlock()
		for _, c := range wake {
			c.handle.Wake(&c.Consumer)
		}
	}
}

// hasRoom reports whether a consumer may be given more; if not, it is woken later.
func (o *outbox) hasRoom(c *consumer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pending < o.limit && !o.stopped {
		return true
	}
	o.held = append(o.held, c)
	return false
}

// fault notes that the socket is broken: what is queued from now on is dropped.
func (o *outbox) fault() {
	o.failOnce.Do(func() {
		o.broken.Store(true)
		close(o.failed)
	})
}

// fail is closed when a write has failed.
func (o *outbox) fail() <-chan struct{} { return o.failed }

// lastWrite returns when the last write ended.
func (o *outbox) lastWrite() time.Time { return time.Unix(0, o.lastNanos.Load()) }

// close takes nothing more, waits at most timeout for what is queued to be written, and for the writer to end. It does not
// close the socket, but breaks a write that takes longer than timeout.
func (o *outbox) close(timeout time.Duration) {
	o.mu.Lock()
	o.stopped = true
	o.held = nil
	if !o.writing {
		o.mu.Unlock()
		return
	}
	idle := make(chan struct{})
	o.idle = idle
	o.mu.Unlock()
	timer := time.AfterFunc(timeout, func() { _ = o.nc.SetWriteDeadline(past) })
	<-idle
	timer.Stop()
}

// queuePiece appends the deliveries of one piece. mu is held.
func (o *outbox) queuePiece(channel uint16, tag string, first uint64, p *queue.Piece) {
	if o.stopped {
		return
	}
	var r block.Record
	records := p.Records
	for i := range p.Count {
		n, err := block.Parse(records, p.Tail, &r)
		if err != nil {
			return // cannot be: the queue has checked it
		}
		o.appendDeliver(channel, tag, first+uint64(i), p.Redelivered, &r)
		if i+1 < p.Count {
			records = records[n:]
		}
	}
}
