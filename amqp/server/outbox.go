package server

import (
	"errors"
	"net"
	"runtime"
	"runtime/pprof"
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
	// shareBody is the length in bytes of a frame's part of a body from which it is not copied to a chunk but written from the
	// block itself.
	shareBody = 16 << 10
	// maxOwed is how many bytes of confirms and returned messages may wait for a client that publishes and does not read, before
	// it is not read from either.
	maxOwed = 16 << 20
	// keptSegments bounds the memory that the writer keeps from one write to the next.
	keptSegments = 256
)

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// outbox is the sending side of a connection. Whoever sends encodes its frames under mu, so the order of the calls is the order
// on the wire; a writer goroutine, which exists only while there is something to write, writes all that has gathered with one
// system call. Senders never wait. Consumers are held back by Reserve while limit bytes wait.
type outbox struct {
	nc       net.Conn
	tls      *records // below nc when that is TLS, nil otherwise
	frameMax func() uint32
	limit    int

	mu      sync.Mutex
	chunk   []byte    // frames are appended here; nil when there are none
	from    int       // chunk[:from] is in sealed already
	sealed  []segment // before the rest of chunk, in order: parts of chunks and shared bodies
	pending int       // bytes in sealed and chunk and in the write under way
	owed    int       // of them, bytes of confirms and returns
	fresh   int       // of owed, those that are not in the write under way
	writing bool      // a writer goroutine exists
	written uint64    // bytes that were handed to the socket
	stopped bool      // nothing more is taken
	idle    chan struct{}
	held    []*consumer // to be woken when there is room

	failed    chan struct{}
	failOnce  sync.Once
	broken    atomic.Bool
	lastNanos atomic.Int64 // end of the last write, Unix nanoseconds

	stats  *stats // nil: nobody counts
	sample sampler

	// The writer's:
	taken []segment
	parts net.Buffers
	rest  net.Buffers // what is left of parts during a write
}

// segment is a part of what is to be written: some of a chunk, or of a body that belongs to a queue, too.
type segment struct {
	b     []byte
	chunk []byte // the chunk that is not needed any more once b is written; nil if there is none
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
	if len(b) == 0 {
		return
	}
	o.mu.Lock()
	o.appendFrames(func(c []byte) []byte { return append(c, b...) })
	o.unlockAndWrite()
}

// appendFrames lets fn append to the chunk. What outgrows a chunk becomes a buffer of its own. It returns the number of bytes
// that were appended. mu is held.
func (o *outbox) appendFrames(fn func([]byte) []byte) int {
	if o.stopped {
		return 0
	}
	b := o.room(512)
	n := len(b)
	o.chunk = fn(b)
	n = len(o.chunk) - n
	o.pending += n
	return n
}

// appendOwed is appendFrames for what a client causes by publishing: confirms and returns. mu is held.
func (o *outbox) appendOwed(fn func([]byte) []byte) {
	n := o.appendFrames(fn)
	o.owed += n
	o.fresh += n
}

// crowded reports whether a client has to read before it may publish more.
func (o *outbox) crowded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.owed > maxOwed
}

// room returns the chunk with room for n more bytes, n at most chunkSize. mu is held.
func (o *outbox) room(n int) []byte {
	if o.chunk != nil && cap(o.chunk)-len(o.chunk) >= n {
		return o.chunk
	}
	if o.chunk != nil {
		o.seal(true)
	}
	o.chunk = chunks.Get().(*[chunkSize]byte)[:0]
	return o.chunk
}

// seal puts in line what was appended to the chunk since it was sealed last. done says that nothing more will be appended to it.
func (o *outbox) seal(done bool) {
	s := segment{b: o.chunk[o.from:]}
	o.from = len(o.chunk)
	if done {
		s.chunk = o.chunk
		o.chunk, o.from = nil, 0
	}
	o.sealed = append(o.sealed, s)
}

// appendContent appends the content header and body of a message. mu is held.
func (o *outbox) appendContent(channel uint16, properties, body []byte) {
	start := o.room(min(chunkSize, len(properties)+32+min(len(body)+wire.FrameOverhead, shareBody)))
	b := wire.AppendContentHeader(start, channel, basicClass, uint64(len(body)), properties)
	limit := int(o.frameMax()) - wire.FrameOverhead
	if n := len(body); 0 < n && n < shareBody && n <= limit {
		b = wire.AppendFrameHeader(b, wire.FrameBody, channel, uint32(n))
		b = append(append(b, body...), wire.FrameEnd)
		body = nil
	}
	o.pending += len(b) - len(start)
	o.chunk = b
	for len(body) > 0 {
		n := min(limit, len(body))
		if n < shareBody {
			b = wire.AppendFrameHeader(o.room(n+wire.FrameOverhead), wire.FrameBody, channel, uint32(n))
			o.chunk = append(append(b, body[:n]...), wire.FrameEnd)
		} else {
			o.chunk = wire.AppendFrameHeader(o.room(wire.FrameOverhead), wire.FrameBody, channel, uint32(n))
			o.seal(false)
			o.sealed = append(o.sealed, segment{b: body[:n:n]})
			o.chunk = append(o.chunk, wire.FrameEnd)
		}
		o.pending += n + wire.FrameOverhead
		body = body[n:]
	}
}

// appendDeliver appends a whole delivery. mu is held.
func (o *outbox) appendDeliver(channel uint16, tag string, deliveryTag uint64, redelivered bool, r *block.Record) {
	start := o.room(len(tag) + len(r.Exchange) + len(r.RoutingKey) + 32)
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
	pprof.SetGoroutineLabels(writerLabels)
	for o.takeAll() {
		size := 0
		for _, s := range o.taken {
			size += len(s.b)
		}
		if !o.broken.Load() {
			begin := o.sample.begin()
			err := o.writeTaken()
			o.sample.end(begin)
			if o.stats != nil {
				o.stats.bytesWritten.Add(uint64(size))
				o.stats.writes.Add(1)
			}
			if err != nil {
				o.fault()
			} else {
				o.lastNanos.Store(time.Now().UnixNano())
			}
		}
		for _, s := range o.taken {
			if cap(s.chunk) == chunkSize {
				chunks.Put((*[chunkSize]byte)(s.chunk[:chunkSize]))
			}
		}
		clear(o.taken)
		o.mu.Lock()
		o.pending -= size
		o.written += uint64(size)
		o.owed = o.fresh
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

// takeAll moves everything that has gathered to taken. It returns false when there is nothing; then there is no writer any more.
func (o *outbox) takeAll() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.chunk == nil && len(o.sealed) == 0 {
		// Others may be about to send more: one chance for them, then the goroutine ends.
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if o.chunk == nil && len(o.sealed) == 0 {
			if cap(o.taken) > keptSegments {
				o.taken, o.parts = nil, nil
			}
			if cap(o.sealed) > keptSegments {
				o.sealed = nil
			}
			o.writing = false
			if o.idle != nil {
				close(o.idle)
				o.idle = nil
			}
			return false
		}
	}
	if o.chunk != nil {
		o.seal(true)
	}
	o.taken, o.sealed = o.sealed, o.taken[:0]
	o.fresh = 0
	return true
}

// writeTaken writes taken with as few system calls as possible.
func (o *outbox) writeTaken() error {
	if o.tls != nil {
		return o.writeSecure()
	}
	if len(o.taken) == 1 {
		_, err := o.nc.Write(o.taken[0].b)
		return err
	}
	o.parts = o.parts[:0]
	for _, s := range o.taken {
		if len(s.b) > 0 {
			o.parts = append(o.parts, s.b)
		}
	}
	o.rest = o.parts
	_, err := o.rest.WriteTo(o.nc)
	clear(o.parts)
	o.rest = nil
	return err
}

// writeSecure is writeTaken for TLS, where all segments become records before the socket sees them.
func (o *outbox) writeSecure() error {
	o.tls.cork()
	var err error
	for _, s := range o.taken {
		if len(s.b) > 0 && err == nil {
			_, err = o.nc.Write(s.b)
		}
	}
	return errors.Join(err, o.tls.uncork())
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
		if p.Failures > 0 {
			r.Properties = withDeliveryCount(r.Properties, p.Failures)
		}
		o.appendDeliver(channel, tag, first+uint64(i), p.Redelivered, &r)
		if i+1 < p.Count {
			records = records[n:]
		}
	}
}

// withDeliveryCount returns the properties with the header x-delivery-count (SEMANTICS 11.11).
func withDeliveryCount(properties []byte, n uint32) []byte {
	p, err := wire.ParseProperties(properties)
	if err != nil {
		return properties // cannot be: they were checked when the message came in
	}
	p.Headers = p.Headers.Set("x-delivery-count", wire.Int64(int64(n)))
	p.Flags |= wire.FlagHeaders
	return p.Append(nil)
}
