package perf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// sink is a listener that does as little as a broker can: it agrees to everything, discards what is published, and sends each
// consumer a number of prepared messages. It shows what the load generator can do by itself.
type sink struct {
	t          testing.TB
	listener   net.Listener
	wg         sync.WaitGroup
	deliveries int  // per consumer
	count      bool // parse and count publishes, so that confirms can be sent; else they are dropped unread
	refuse     uint64
	onOpen     func(send func([]byte)) // called when a connection has its first channel
}

func newSink(t testing.TB) *sink {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{t: t, listener: l}
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() { s.serve(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		s.wg.Wait()
	})
	return s
}

func (s *sink) uri() string { return "amqp://" + s.listener.Addr().String() }

// channelState is what the sink knows of a channel.
type channelState struct {
	confirm           bool
	published, lastOK uint64
}

func (s *sink) serve(socket net.Conn) {
	defer socket.Close()
	c := &conn{socket: socket, buf: make([]byte, 512<<10)}
	send := func(b []byte) { _ = c.send(b) }
	goodbyeFrame := wire.AppendMethod(nil, 0, goodbye())
	for c.end < len(wire.ProtocolHeader) {
		if c.fill() != nil {
			return
		}
	}
	c.start = len(wire.ProtocolHeader)
	send(wire.AppendMethod(nil, 0, &wire.ConnectionStart{VersionMinor: 9, Mechanisms: "PLAIN", Locales: "en_US"}))
	channels := make(map[uint16]*channelState)
	opened := false
	for {
		f, ok, err := c.next()
		if err != nil {
			s.t.Errorf("sink: %v", err)
			return
		}
		if !ok {
			for channel, st := range channels {
				if st.confirm && st.published > st.lastOK {
					s.confirm(send, channel, st)
				}
			}
			if c.fill() != nil {
				return
			}
			continue
		}
		if f.Type != wire.FrameMethod {
			continue
		}
		switch k, _ := wire.ParseMethodKey(f.Payload); k {
		case wire.KeyBasicPublish:
			if !s.count {
				s.discard(c, send, goodbyeFrame)
				return
			}
			channels[f.Channel].published++
		case wire.KeyBasicAck:
		case wire.KeyConnectionClose:
			send(wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{}))
			return
		default:
			m, err := wire.ParseMethod(f.Payload)
			if err != nil {
				s.t.Errorf("sink: %v", err)
				return
			}
			st := channels[f.Channel]
			if st == nil {
				st = new(channelState)
				channels[f.Channel] = st
			}
			s.answer(f.Channel, m, st, send)
			if m.Key() == wire.KeyChannelOpen && !opened && s.onOpen != nil {
				opened = true
				s.onOpen(send)
			}
		}
	}
}

func (s *sink) confirm(send func([]byte), channel uint16, st *channelState) {
	for s.refuse > 0 && st.lastOK < s.refuse && s.refuse <= st.published {
		if s.refuse-1 > st.lastOK {
			send(wire.AppendAck(nil, channel, s.refuse-1, true))
		}
		send(wire.AppendNack(nil, channel, s.refuse, false, false))
		st.lastOK = s.refuse
	}
	if st.published > st.lastOK {
		send(wire.AppendAck(nil, channel, st.published, true))
	}
	st.lastOK = st.published
}

// discard drops everything until a connection.close ends a chunk.
func (s *sink) discard(c *conn, send func([]byte), end []byte) {
	tail := slices.Clone(c.buf[max(c.end-len(end), 0):c.end])
	for !bytes.HasSuffix(tail, end) {
		n, err := c.socket.Read(c.buf)
		if err != nil {
			return
		}
		tail = append(tail, c.buf[max(n-len(end), 0):n]...)
		tail = tail[max(len(tail)-len(end), 0):]
	}
	send(wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{}))
}

func (s *sink) answer(channel uint16, m wire.Method, st *channelState, send func([]byte)) {
	reply := func(m wire.Method) { send(wire.AppendMethod(nil, channel, m)) }
	switch m := m.(type) {
	case *wire.ConnectionStartOk:
		reply(&wire.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60})
	case *wire.ConnectionTuneOk, *wire.ConnectionCloseOk:
	case *wire.ConnectionOpen:
		reply(&wire.ConnectionOpenOk{})
	case *wire.ChannelOpen:
		reply(&wire.ChannelOpenOk{})
	case *wire.ConfirmSelect:
		st.confirm = true
		reply(&wire.ConfirmSelectOk{})
	case *wire.QueueDeclare:
		reply(&wire.QueueDeclareOk{Queue: m.Queue})
	case *wire.BasicQos:
		reply(&wire.BasicQosOk{})
	case *wire.BasicConsume:
		reply(&wire.BasicConsumeOk{ConsumerTag: m.ConsumerTag})
		s.wg.Go(func() { deliver(send, channel, m.ConsumerTag, s.deliveries) })
	default:
		s.t.Errorf("sink: unexpected %s", m.Key())
	}
}

// deliver sends n messages of producer 0 of run 0, stamped with the time 1.
func deliver(send func([]byte), channel uint16, tag string, n int) {
	const block = 500
	one := delivery(channel, tag, 0, newMessageID(0, 0, 0), false)
	tagAt, idAt := wire.FrameHeaderLen+4+1+len(tag), len(one)-1-stampLen+timeLen
	b := bytes.Repeat(one, block)
	for i := 0; i < n; {
		k := min(block, n-i)
		for j := range k {
			m := b[j*len(one):]
			binary.BigEndian.PutUint64(m[tagAt:], uint64(i+1))
			binary.BigEndian.PutUint64(m[idAt:], uint64(newMessageID(0, 0, int64(i))))
			i++
		}
		send(b[:k*len(one)])
	}
}

// delivery returns the frames of one message.
func delivery(channel uint16, consumer string, tag uint64, id messageID, redelivered bool) []byte {
	b := wire.AppendDeliver(nil, channel, consumer, tag, redelivered, nil, []byte("perf-0"))
	b = wire.AppendContentHeader(b, channel, wire.ClassBasic, stampLen, nil)
	body := make([]byte, stampLen)
	putStamp(body, 1, id)
	return wire.AppendBody(b, channel, body, 0)
}

func sinkOptions(s *sink) Options {
	o := DefaultOptions()
	o.URIs = []string{s.uri()}
	return o
}

func TestRunConfirmsRefusalsAndBlockage(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	s.count, s.refuse = true, 7
	progress := noticeWriter{noticed: make(chan struct{})}
	s.onOpen = func(send func([]byte)) {
		send(wire.AppendMethod(nil, 0, &wire.ConnectionBlocked{Reason: "low on memory"}))
		s.wg.Go(func() {
			select {
			case <-progress.noticed:
			case <-t.Context().Done():
			}
			send(wire.AppendMethod(nil, 0, &wire.ConnectionUnblocked{}))
		})
	}
	o := sinkOptions(s)
	o.Producers, o.Channels, o.Consumers, o.Queues, o.Count, o.Confirm = 3, 2, 0, 2, 5000, 50
	o.Progress = &progress
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Published.Total != 15000 || r.Confirmed.Total != 15000-3 || r.Nacked != 3 || r.Unconfirmed != 0 {
		t.Errorf("published %d, confirmed %d, nacked %d, unconfirmed %d, want 15000, 14997, 3, 0",
			r.Published.Total, r.Confirmed.Total, r.Nacked, r.Unconfirmed)
	}
	if r.ConfirmLatency == nil || r.ConfirmLatency.Count != 14997 {
		t.Errorf("confirm latency %+v, want 14997 values", r.ConfirmLatency)
	}
	if r.Blocked.Count == 0 || !slices.Equal(r.Blocked.Reasons, []string{"low on memory"}) {
		t.Errorf("blocked %+v, want one connection at least, low on memory", r.Blocked)
	}
}

// noticeWriter closes noticed when a blockage is told.
type noticeWriter struct {
	noticed chan struct{}
	once    sync.Once
}

func (w *noticeWriter) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("is blocked by the broker: low on memory")) {
		w.once.Do(func() { close(w.noticed) })
	}
	return len(b), nil
}

func TestRunTellsWhyTheBrokerCloses(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	s.count = true
	var n atomic.Int32
	s.onOpen = func(send func([]byte)) {
		if n.Add(1) < 2 { // the control connection
			return
		}
		send(wire.AppendMethod(nil, 0, &wire.ConnectionClose{ReplyCode: wire.ConnectionForced, ReplyText: "CONNECTION_FORCED - bye"}))
	}
	o := sinkOptions(s)
	o.Consumers = 0
	_, err := Run(t.Context(), o)
	var r *refusal
	if !errors.As(err, &r) || r.code != wire.ConnectionForced {
		t.Fatalf("error %v, want the broker's CONNECTION_FORCED", err)
	}
}

func TestRunInterrupted(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	s.count = true
	o := sinkOptions(s)
	o.Consumers, o.Confirm = 0, 100
	ctx, cancel := context.WithCancel(t.Context())
	o.ReportInterval, o.Progress = 10*time.Millisecond, writerFunc(func(b []byte) (int, error) {
		cancel() // with the first interval
		return len(b), nil
	})
	r, err := Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Published.Total == 0 || r.Unconfirmed != 0 || r.ConnectionsCut != 0 {
		t.Errorf("interrupted %t, published %d, unconfirmed %d, cut %d, want an orderly end",
			r.Interrupted, r.Published.Total, r.Unconfirmed, r.ConnectionsCut)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestRunNoBroker(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	o.URIs = []string{"amqp://" + l.Addr().String()}
	l.Close()
	if r, err := Run(t.Context(), o); err == nil || r != nil {
		t.Fatalf("report %v, error %v, want an error only", r, err)
	}
}

func TestRunRate(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	o := sinkOptions(s)
	o.Consumers, o.Count, o.Rate = 0, 300, 2000
	begin := time.Now()
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// The last of 300 messages is due 299/2000 s after the first.
	if took := time.Since(begin); took < 149*time.Millisecond || r.Published.Total != 300 {
		t.Errorf("%d messages after %v, want 300 not before 149ms", r.Published.Total, took)
	}
}

func BenchmarkPublishToSink(b *testing.B) {
	for _, confirm := range []int{0, 10000} {
		name := "transient"
		if confirm > 0 {
			name = "confirmed"
		}
		b.Run(name, func(b *testing.B) {
			s := newSink(b)
			s.count = confirm > 0
			o := sinkOptions(s)
			o.Consumers, o.Count, o.Confirm = 0, int64(b.N), confirm
			b.ResetTimer()
			r, err := Run(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(r.Published.Average, "msg/s")
		})
	}
}

func BenchmarkConsumeFromSource(b *testing.B) {
	for _, verify := range []bool{false, true} {
		b.Run(fmt.Sprintf("verify=%t", verify), func(b *testing.B) {
			s := newSink(b)
			s.deliveries = b.N
			o := sinkOptions(s)
			o.Producers, o.Drain, o.Verify = 0, true, verify
			b.ResetTimer()
			r, err := Run(b.Context(), o)
			if err != nil {
				b.Fatal(err)
			}
			if r.Received.Total != int64(b.N) {
				b.Fatalf("received %d of %d", r.Received.Total, b.N)
			}
			b.ReportMetric(r.Received.Average, "msg/s")
		})
	}
}

func TestConsumeVerifiesWhatTheBrokerSends(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	s.deliveries = 100_000
	o := sinkOptions(s)
	o.Producers, o.Drain, o.Verify, o.Prefetch = 0, true, true, 100
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.Verification; r.Received.Total != 100_000 || !v.OK || v.Received != 100_000 {
		t.Errorf("received %d, verification %+v, want 100000 and ok", r.Received.Total, v)
	}
}
