package perf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

const (
	// writeBuffer is how many bytes are encoded for one write. It bounds how old a stamp can be when it is written.
	writeBuffer = 64 << 10
	// minSleep is the shortest sleep of a producer with a rate. Messages that fall due meanwhile go out together; without it,
	// high rates would cost a wake-up and a system call per message.
	minSleep = 200 * time.Microsecond
	// settleLimit is how long the end of a run waits for outstanding confirms and for the broker to read what was written.
	settleLimit = 15 * time.Second
	// blockedLimit is the same for a broker that blocks the connection, and hence reads nothing.
	blockedLimit = 2 * time.Second
	// maxSleepers is with how many connections each may hold a thread for its short sleeps.
	maxSleepers = 64
)

// publishing is a connection with producers.
type publishing struct {
	run       *run
	c         *conn
	producers []*producer // channel 1, 2, ...
	counters  counters
	latency   *recorderShard // of confirms

	wake    chan struct{} // the reader has settled messages, or the blockage has changed
	blocked atomic.Bool
	closed  chan struct{} // the reader has ended
	cut     atomic.Bool   // the connection could not be ended in order
}

func openPublishing(ctx context.Context, r *run, first, n int, e endpoint) (*publishing, error) {
	c, err := dial(ctx, e, fmt.Sprintf("connection of producer %d", first), r.readBuffer, r.frameMax)
	if err != nil {
		return nil, err
	}
	b := &publishing{
		run: r, c: c, latency: r.confirms.shard(first), wake: make(chan struct{}, 1), closed: make(chan struct{}),
	}
	for i := range n {
		p := newProducer(r, first+i, uint16(i+1), c.frameMax)
		if err := p.open(c); err != nil {
			c.socket.Close()
			return nil, err
		}
		b.producers = append(b.producers, p)
	}
	if c.blocked != nil {
		b.block(c.blocked.Reason)
	}
	return b, nil
}

// write publishes until stop is closed or all producers have published their count, waits for confirms and closes the
// connection. It returns when the reader has ended too.
func (b *publishing) write(stop <-chan struct{}) {
	err := b.publish(stop)
	if err == nil {
		err = b.end()
	}
	if err != nil {
		if !b.ended() {
			b.run.fail(fmt.Errorf("%s: %w", b.c.name, err))
		}
		b.c.socket.Close()
	}
	<-b.closed // the reader waits for connection.close-ok, as long as end allows
	b.c.socket.Close()
}

// ended reports whether the reader has ended, which then has told why, so that a failed write is no news.
func (b *publishing) ended() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

func (b *publishing) publish(stop <-chan struct{}) error {
	out := make([]byte, 0, writeBuffer)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	size := 1
	for _, p := range b.producers {
		size = max(size, len(p.templates[0].frames))
	}
	precise := len(b.run.publishing) <= maxSleepers
	batch := int64(max(writeBuffer/size/len(b.producers), 1))
	for {
		select {
		case <-stop:
			return nil
		case <-b.closed:
			return nil
		default:
		}
		now, wake, left, full := b.run.clock.now(), int64(math.MaxInt64), false, false
		var published int64
		out = out[:0]
		if !b.blocked.Load() {
			for _, p := range b.producers {
				n, at := p.ready(now, batch)
				wake = min(wake, at)
				if n == 0 {
					continue
				}
				if size > writeBuffer/2 {
					if err := b.c.send(p.patch(now)); err != nil {
						return b.late(err, stop)
					}
					b.count(1, now)
					published++
					continue
				}
				out = p.append(out, n, now)
				published += n
			}
		}
		for _, p := range b.producers {
			left = left || p.sent < p.count
			full = full || p.window != nil && p.window.room() <= 0
		}
		if len(out) > 0 {
			if err := b.c.send(out); err != nil {
				return b.late(err, stop)
			}
			b.count(published, now)
		}
		if !left {
			return nil
		}
		if published > 0 {
			continue
		}
		var due <-chan time.Time
		if wake != math.MaxInt64 {
			d := max(time.Duration(wake-now), minSleep)
			if precise && !full {
				if d <= shortSleep {
					sleepShort(d)
					continue
				}
				d -= shortSleep * 3 / 4
			}
			timer.Reset(d)
			due = timer.C
		}
		select {
		case <-due:
		case <-b.wake:
		case <-b.closed:
		case <-stop:
		}
	}
}

// limitWrites is called when the run is over: the broker then has a limited time for what is being written.
func (b *publishing) limitWrites() { _ = b.c.socket.SetWriteDeadline(time.Now().Add(b.limit())) }

func (b *publishing) limit() time.Duration {
	if b.blocked.Load() {
		return blockedLimit
	}
	return settleLimit
}

func (b *publishing) count(n, now int64) {
	b.counters.published.Add(n)
	b.counters.lastPublished.Store(now)
}

// late forgives a write that the broker did not take in time after the run was over: it blocks its publishers.
func (b *publishing) late(err error, stop <-chan struct{}) error {
	select {
	case <-stop:
		b.cut.Store(true)
		b.c.socket.Close()
		return nil
	default:
		return err
	}
}

// end waits until the reader has got all confirms and the broker's agreement to close, so that all messages are known to have
// reached the broker.
func (b *publishing) end() error {
	limit := time.NewTimer(b.limit())
	defer limit.Stop()
	for b.outstanding() {
		select {
		case <-b.wake:
			continue
		case <-b.closed:
			return nil
		case <-limit.C:
		}
		break
	}
	if b.blocked.Load() || b.cut.Load() {
		// A blocked broker does not read connection.close.
		b.cut.Store(true)
		b.c.socket.Close()
		return nil
	}
	if err := b.c.socket.SetDeadline(time.Now().Add(settleLimit)); err != nil {
		return err
	}
	return b.c.send(wire.AppendMethod(nil, 0, goodbye()))
}

func (b *publishing) outstanding() bool {
	for _, p := range b.producers {
		if p.window != nil && p.window.settled.Load() < p.sent {
			return true
		}
	}
	return false
}

// read handles what the broker sends until the connection ends.
func (b *publishing) read() {
	defer close(b.closed)
	var runs []sentRun
	for {
		var confirmed, nacked, returned int64
		for {
			f, ok, err := b.c.next()
			if err != nil {
				b.run.fail(fmt.Errorf("%s: %w", b.c.name, err))
				return
			}
			if !ok {
				break
			}
			if f.Type == wire.FrameMethod {
				switch k, _ := wire.ParseMethodKey(f.Payload); k {
				case wire.KeyBasicAck:
					n := int64(0)
					if runs, n, err = b.settled(f, runs); err == nil {
						confirmed += n
						continue
					}
				case wire.KeyBasicNack:
					n := int64(0)
					if n, err = b.refused(f); err == nil {
						nacked += n
						continue
					}
				case wire.KeyConnectionCloseOk:
					// Before this, the end of what was written may have waited in socket buffers.
					b.counters.lastPublished.Store(b.run.clock.now())
					return
				default:
					err = b.other(f)
				}
			} else {
				var complete bool
				complete, err = b.returned(f)
				if complete {
					returned++
				}
			}
			if err != nil {
				b.run.fail(fmt.Errorf("%s: %w", b.c.name, err))
				return
			}
		}
		if confirmed > 0 {
			now := b.run.clock.now()
			b.latency.record(now, runs)
			b.counters.confirmed.Add(confirmed)
			b.counters.lastConfirmed.Store(now)
			runs = runs[:0]
		}
		if nacked > 0 {
			b.counters.nacked.Add(nacked)
		}
		if returned > 0 {
			b.counters.returned.Add(returned)
		}
		if confirmed+nacked > 0 {
			b.signal()
		}
		if err := b.c.fill(); err != nil {
			if !b.cut.Load() {
				b.run.fail(fmt.Errorf("%s: %w", b.c.name, err))
			}
			return
		}
	}
}

func (b *publishing) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// of returns the producer of a frame.
func (b *publishing) of(f wire.Frame) (*producer, error) {
	if f.Channel == 0 || int(f.Channel) > len(b.producers) {
		return nil, errUnexpectedFrame
	}
	return b.producers[f.Channel-1], nil
}

func (b *publishing) confirming(f wire.Frame) (*producer, error) {
	p, err := b.of(f)
	if err == nil && p.window == nil {
		err = errors.New("the broker confirms on a channel without confirms")
	}
	return p, err
}

// settled handles basic.ack. n is the number of newly confirmed messages.
func (b *publishing) settled(f wire.Frame, runs []sentRun) (more []sentRun, n int64, err error) {
	p, err := b.confirming(f)
	if err != nil {
		return runs, 0, err
	}
	tag, multiple, err := wire.ParseAck(f.Payload[4:])
	if err != nil {
		return runs, 0, err
	}
	before := p.window.settled.Load()
	runs, err = p.window.settle(tag, multiple, runs)
	return runs, p.window.settled.Load() - before, err
}

// refused handles basic.nack. n is the number of newly refused messages.
func (b *publishing) refused(f wire.Frame) (n int64, err error) {
	p, err := b.confirming(f)
	if err != nil {
		return 0, err
	}
	tag, multiple, _, err := wire.ParseNack(f.Payload[4:])
	if err != nil {
		return 0, err
	}
	last := min(tag, uint64(p.window.published.Load()))
	from := last
	if multiple {
		from = uint64(p.window.low.Load()) + 1
		if tag == 0 {
			last = uint64(p.window.published.Load())
		}
	}
	for t := from; t <= last; t++ {
		if p.window.outstanding(int64(t)) {
			p.excuse(int64(t))
		}
	}
	before := p.window.settled.Load()
	_, err = p.window.settle(tag, multiple, nil)
	return p.window.settled.Load() - before, err
}

// returned handles header and body of a returned message.
func (b *publishing) returned(f wire.Frame) (complete bool, err error) {
	if f.Type == wire.FrameHeartbeat {
		return false, nil
	}
	p, err := b.of(f)
	if err != nil {
		return false, err
	}
	if f.Type == wire.FrameHeader {
		complete, err = p.answer.header(f.Payload)
	} else {
		complete, err = p.answer.body(f.Payload)
	}
	if complete {
		p.excuseReturned(b.run.topology, p.returnedKey)
	}
	return complete, err
}

// other handles the methods that are not per message.
func (b *publishing) other(f wire.Frame) error {
	m, err := wire.ParseMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.BasicReturn:
		p, err := b.of(f)
		if err != nil {
			return err
		}
		p.answer.begin()
		p.returnedKey = m.RoutingKey
	case *wire.ConnectionBlocked:
		b.block(m.Reason)
	case *wire.ConnectionUnblocked:
		b.unblock()
	case *wire.ChannelClose, *wire.ConnectionClose:
		b.c.acceptClose(f.Channel, m)
		return closeError(m)
	}
	return nil
}

func (b *publishing) block(reason string) {
	if b.blocked.Swap(true) {
		return
	}
	b.counters.blockages.Add(1)
	b.counters.blockedSince.Store(b.run.clock.now())
	b.run.blocked(b.c.name, reason)
}

func (b *publishing) unblock() {
	if !b.blocked.Swap(false) {
		return
	}
	b.counters.blockedFor.Add(b.run.clock.now() - b.counters.blockedSince.Swap(0))
	b.signal()
}
