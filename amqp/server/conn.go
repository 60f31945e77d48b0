package server

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// conn is one client connection. Its reader, the goroutine in serve, owns everything that is not marked otherwise. Once the
// connection is open the fields set by the handshake do not change and may be read by all.
type conn struct {
	srv  *Server
	opts *Options
	id   uint64   // unique on this run of the node
	nc   net.Conn // the socket: deadlines are set and connections are broken here, below TLS
	in   *input
	out  *outbox // safe for all
	log  *slog.Logger
	born time.Time

	proxied bool      // a trusted proxy announces the client
	tls     *tls.Conn // nil: plain
	records *records  // below tls

	// Set by the handshake.
	peer, local net.Addr // of the client's connection, which may be one to a proxy
	loopback    bool     // the client is on this machine
	session     *session // nil: plain
	mechanism   string   // of SASL
	user        *cluster.User
	vhost       string
	access      Access
	caps        capabilities
	name        string // connection_name of the client, for display
	properties  []byte // of the client, encoded; nil if they were too long to keep
	frameMax    uint32
	channelMax  uint16
	heartbeat   time.Duration // 0: none

	channels map[uint16]*channel
	last     *channel // of the frame before, so that a run of frames of one channel needs no lookup
	direct   directFrame
	dirty    []*channel // channels that handled frames since the last flush
	counted  bool       // as an open connection
	sample   sampler    // of dispatching
	reported uint64     // of in.total, what is in the server's counters

	flow         flow // safe for all
	openChannels atomic.Int32
	lastRead     atomic.Int64  // Unix nanoseconds
	received     atomic.Uint64 // bytes
	paused       atomic.Int32  // how many hold up the reader or a channel: while any does, silence means nothing
	blocked      atomic.Bool   // by an alarm
	blockDue     atomic.Bool   // something was published during an alarm

	// interrupt is closed when cause is set. Whatever waits on behalf of the connection waits for this, too.
	interrupt chan struct{}

	mu        sync.Mutex
	isOpen    bool           // the handshake is complete
	cause     error          // why the connection ends, when that does not come from its reader
	attention []*channel     // failed or closed channels the reader should look at
	listed    []*openChannel // channels that are open, for those who look
	past      Counts         // of the channels that were closed
	monitor   *time.Timer
	traffic   traffic
}

// capabilities are what a client says it understands.
type capabilities struct {
	consumerCancelNotify       bool
	connectionBlocked          bool
	authenticationFailureClose bool
	basicNack                  bool
}

var (
	// errClosedByClient: the client sent connection.close.
	errClosedByClient = errors.New("closed by client")
	// errAborted: the connection is given up without a word to the client.
	errAborted = errors.New("aborted")
)

// newConn returns a connection on nc, with TLS if secure is not nil.
func newConn(srv *Server, nc net.Conn, id uint64, secure *tls.Config) *conn {
	c := &conn{
		srv:       srv,
		opts:      srv.opts,
		id:        id,
		nc:        nc,
		proxied:   srv.opts.trusts(nc.RemoteAddr()),
		peer:      nc.RemoteAddr(),
		local:     nc.LocalAddr(),
		loopback:  isLoopback(nc.RemoteAddr()),
		log:       srv.log.With("connection", id, "peer", nc.RemoteAddr().String()),
		born:      time.Now(),
		frameMax:  initialFrameMax,
		channels:  make(map[uint16]*channel),
		flow:      flow{limit: srv.opts.InflightBytes},
		interrupt: make(chan struct{}),
	}
	frameMax := func() uint32 { return c.frameMax }
	if secure == nil {
		c.in = newInput(nc)
		c.out = newOutbox(nc, frameMax, srv.opts.OutboxBytes)
	} else {
		c.records = newRecords(nc)
		c.tls = tls.Server(c.records, secure)
		c.in = newSecureInput(c.tls, c.records)
		c.out = newOutbox(c.tls, frameMax, srv.opts.OutboxBytes)
		c.out.tls = c.records
	}
	c.in.sample = newSampler(&srv.stats.readLatency, id)
	c.out.stats, c.out.sample = &srv.stats, newSampler(&srv.stats.writeLatency, id)
	c.sample = newSampler(&srv.stats.dispatchLatency, id)
	return c
}

// serve runs the connection to its end and releases everything it has.
func (c *conn) serve() {
	pprof.SetGoroutineLabels(readerLabels)
	err := c.handshake()
	if err == nil {
		c.srv.shook()
		c.srv.stats.connectionsOpened.Add(1)
		err = c.read()
		// Channels that wait for the client to read need not hope for long.
		hurry := time.AfterFunc(c.opts.CloseTimeout, func() { c.end(errAborted) })
		c.flush()
		c.finish(err)
		c.srv.stats.connectionsClosed.Add(1)
		hurry.Stop()
		return
	}
	c.srv.stats.handshakesFailed.Add(1)
	c.finish(err)
	c.srv.shook() // only now, as a refused client is kept waiting
}

// read handles frames until the connection ends and returns why.
func (c *conn) read() error {
	for {
		// The client may have sent frames right behind its connection.open.
		begin := c.sample.begin()
		need, err := c.chunk()
		if err != nil {
			return err
		}
		c.flush()
		c.sample.end(begin)
		c.srv.stats.reads.Add(1)
		c.reportRead()
		if c.blockDue.Load() {
			c.waitForAlarm()
		}
		if err := c.receive(need); err != nil {
			return err
		}
	}
}

// reportRead counts the bytes that were read since the last call.
func (c *conn) reportRead() {
	c.srv.stats.bytesRead.Add(c.in.total - c.reported)
	c.reported = c.in.total
}

// receive waits for more bytes, need unread ones or those of the direct frame, and does meanwhile what other goroutines ask for.
func (c *conn) receive(need int) error {
	for {
		if err := c.attend(); err != nil {
			return err
		}
		var err error
		if len(c.direct.rest) > 0 {
			var n int
			n, err = c.in.readTo(c.direct.rest)
			c.direct.rest = c.direct.rest[n:]
		} else {
			err = c.in.fill(need)
		}
		if err == nil {
			c.lastRead.Store(time.Now().UnixNano())
			c.received.Store(c.in.total)
			return nil
		}
		if cause := c.attend(); cause != nil {
			return cause
		}
		if !isTimeout(err) {
			return err
		}
	}
}

// chunk handles the frames in the read buffer and returns how long the incomplete one behind them will be.
func (c *conn) chunk() (need int, err error) {
	if c.direct.ch != nil {
		if len(c.direct.rest) > 0 {
			return 0, nil
		}
		if err := c.endDirect(); err != nil {
			return 0, err
		}
	}
	data := c.in.unread()
	handled := 0
	for {
		rest := data[handled:]
		f, n, err := wire.ParseFrame(rest, c.frameMax)
		if n == 0 {
			if err == nil && c.startDirect(rest) {
				c.in.consume(len(data))
				return 0, nil
			}
			// A frame that is wrong stays unread: finish skips it by its length.
			c.in.consume(handled)
			return frameNeed(rest), err
		}
		handled += n
		if err := c.frame(f, rest[:n]); err != nil {
			c.in.consume(handled)
			return 0, err
		}
	}
}

// frameNeed returns the length of the frame that starts with b, as far as it can be told.
func frameNeed(b []byte) int {
	if len(b) < wire.FrameHeaderLen {
		return wire.FrameOverhead
	}
	_, _, size := wire.ParseFrameHeader(b)
	return int(size) + wire.FrameOverhead
}

// frame handles one frame; whole is the frame with its header and end. An error ends the connection.
func (c *conn) frame(f wire.Frame, whole []byte) error {
	if f.Channel == 0 {
		return c.control(f)
	}
	ch := c.last
	if ch == nil || ch.id != f.Channel {
		if ch = c.channels[f.Channel]; ch == nil {
			ch = newChannel(c, f.Channel)
			c.channels[f.Channel] = ch
		}
		c.last = ch
	}
	if ch.busy.Load() && ch.keep(whole) {
		return nil
	}
	c.touch(ch)
	wait, err := ch.frame(f)
	return c.handled(ch, wait, err)
}

// touch has ch flushed at the end of the read chunk.
func (c *conn) touch(ch *channel) {
	if !ch.dirty {
		ch.dirty = true
		c.dirty = append(c.dirty, ch)
	}
}

// handled does what a frame of ch left to be done: a method that may wait, or an error. It returns an error that ends the connection.
func (c *conn) handled(ch *channel, wait wire.Method, err error) error {
	if wait == nil && err == nil {
		return nil
	}
	if err != nil {
		soft, ok := softError(err)
		if !ok {
			return c.classify(err)
		}
		ch.start(nil, soft)
		return nil
	}
	ch.start(wait, nil)
	return nil
}

// control handles a frame of channel 0.
func (c *conn) control(f wire.Frame) error {
	switch f.Type {
	case wire.FrameHeartbeat:
		return nil
	case wire.FrameMethod:
	default:
		return unexpectedFrame(f)
	}
	m, err := parseMethod(f.Payload)
	if err != nil {
		return err
	}
	switch m.(type) {
	case *wire.ConnectionClose:
		return errClosedByClient
	case *wire.ConnectionUpdateSecret:
		// Passwords are checked at login only, so there is nothing to renew.
		c.out.sendMethod(0, &wire.ConnectionUpdateSecretOk{})
		return nil
	}
	return wire.Errorf(wire.ChannelError, "unexpected method in connection state running").WithMethod(m.Key())
}

// flush ends a read chunk: what channels gathered goes to their queues.
func (c *conn) flush() {
	for i, ch := range c.dirty {
		ch.dirty = false
		c.dirty[i] = nil
		// A busy channel was flushed before its goroutine began, and by that since.
		if !ch.busy.Load() {
			ch.flush()
		}
	}
	c.dirty = c.dirty[:0]
}

// attend looks after what other goroutines asked the reader for and returns why the connection must end, if it must.
func (c *conn) attend() error {
	c.mu.Lock()
	cause, list := c.cause, c.attention
	c.attention = nil
	if cause == nil && len(list) > 0 {
		// Whoever calls wake from here on sets it again.
		_ = c.nc.SetReadDeadline(time.Time{})
	}
	c.mu.Unlock()
	if cause != nil {
		return cause
	}
	for _, ch := range list {
		c.settle(ch)
	}
	return nil
}

// settle closes a failed channel, or forgets a closed one.
func (c *conn) settle(ch *channel) {
	if ch.busy.Load() {
		return // its goroutine sees to it, or asks again
	}
	if e := ch.failure.Load(); e != nil && ch.state == channelOpen {
		ch.start(nil, e)
		return
	}
	if ch.state == channelClosed && c.channels[ch.id] == ch {
		delete(c.channels, ch.id)
		if c.last == ch {
			c.last = nil
		}
	}
}

// ask makes the reader look at ch, at once when wake is set.
func (c *conn) ask(ch *channel, wake bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attention = append(c.attention, ch)
	if wake && c.cause == nil {
		_ = c.nc.SetReadDeadline(past)
	}
}

// past is a read deadline that wakes up the reader.
var past = time.Unix(1, 0)

// fail ends the connection with connection.close, unless it is ending already. It never waits.
func (c *conn) fail(e *wire.Error) { c.end(e) }

// abort ends the connection without a word to the client, even if it waits for the client's part of closing. It never waits.
func (c *conn) abort() {
	c.end(errAborted)
	_ = c.nc.Close()
}

func (c *conn) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return
	}
	c.cause = cause
	close(c.interrupt)
	_ = c.nc.SetReadDeadline(past)
}

// interrupted reports whether the connection is being ended from outside its reader.
func (c *conn) interrupted() bool {
	select {
	case <-c.interrupt:
		return true
	default:
		return false
	}
}

// published tells the connection that a message is being published on it, which matters during an alarm.
func (c *conn) published() {
	if c.srv.alarm.Load() != nil {
		c.blockDue.Store(true)
	}
}

// waitForAlarm stops reading until the alarm is over. The rest of the read chunk was handled, so at most one buffer of messages
// gets in after an alarm.
func (c *conn) waitForAlarm() {
	c.blockDue.Store(false)
	alarm := c.srv.alarm.Load()
	if alarm == nil {
		return
	}
	if c.caps.connectionBlocked {
		c.out.sendMethod(0, &wire.ConnectionBlocked{Reason: alarm.reason})
	}
	c.log.Info("publishing connection blocked", "reason", alarm.reason)
	c.blocked.Store(true)
	c.suspend()
	select {
	case <-alarm.cleared:
		if c.caps.connectionBlocked {
			c.out.sendMethod(0, &wire.ConnectionUnblocked{})
		}
	case <-c.interrupt:
	}
	c.resume()
	c.blocked.Store(false)
}

// suspend says that the connection is being held up, so that the peer's heartbeats may wait unread in the socket. resume ends that.
func (c *conn) suspend() { c.paused.Add(1) }

func (c *conn) resume() {
	c.lastRead.Store(time.Now().UnixNano())
	c.paused.Add(-1)
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// isDisconnect reports whether err is just the end of the byte stream.
func isDisconnect(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) || isReset(err)
}
