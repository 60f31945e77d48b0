package perf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Sizes of a connection's buffers in bytes.
const (
	maxFrame      = 128 << 10 // what is negotiated at most, RabbitMQ's default
	maxReadBuffer = 512 << 10
	minReadBuffer = 2 * wire.FrameMinSize
	readBudget    = 256 << 20 // of all connections together
)

// handshakeTimeout bounds connecting and each method call.
const handshakeTimeout = 30 * time.Second

// conn is a client connection. One goroutine reads; writes may come from any, each in one call of send.
type conn struct {
	socket   net.Conn
	name     string // for messages: what it is and where it goes
	frameMax uint32
	channels uint16 // channel-max

	blocked *wire.ConnectionBlocked // came during call and was not taken back; nil if none did

	buf        []byte // what was read; frames are parsed in place
	start, end int    // unparsed part of buf
}

// bufferSizes returns the read buffer and the frame-max for a connection when there are n of them.
func bufferSizes(n int) (read int, frameMax uint32) {
	read = max(min(readBudget/max(n, 1), maxReadBuffer), minReadBuffer)
	return read, uint32(min(read/2, maxFrame))
}

// dial connects, logs in and opens the virtual host. The agreed frame-max is at most frameMax. There are no heartbeats: a
// load generator is either moving messages or about to end.
func dial(ctx context.Context, e endpoint, name string, read int, frameMax uint32) (*conn, error) {
	name = name + " to " + e.address
	d := net.Dialer{Timeout: handshakeTimeout}
	socket, err := d.DialContext(ctx, "tcp", e.address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c := &conn{socket: socket, name: name, buf: make([]byte, read)}
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.handshake(e, frameMax); err != nil {
		socket.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

func (c *conn) handshake(e endpoint, frameMax uint32) error {
	if err := c.send([]byte(wire.ProtocolHeader)); err != nil {
		return err
	}
	if _, err := c.expect(0, wire.KeyConnectionStart); err != nil {
		return fmt.Errorf("no AMQP 0-9-1 broker: %w", err)
	}
	m, err := c.call(0, &wire.ConnectionStartOk{
		ClientProperties: wire.Table{}.
			Set("product", wire.String("brokerctl perf")).
			Set("connection_name", wire.String(c.name)).
			Set("capabilities", wire.TableValue(wire.Table{}.
				Set("authentication_failure_close", wire.Bool(true)).
				Set("basic.nack", wire.Bool(true)).
				Set("connection.blocked", wire.Bool(true)).
				Set("consumer_cancel_notify", wire.Bool(true)).
				Set("publisher_confirms", wire.Bool(true)))),
		Mechanism: "PLAIN",
		Response:  []byte("\x00" + e.user + "\x00" + e.password),
		Locale:    "en_US",
	}, wire.KeyConnectionTune)
	if err != nil {
		return fmt.Errorf("logging in as %q: %w", e.user, err)
	}
	tune := m.(*wire.ConnectionTune)
	if tune.FrameMax != 0 {
		frameMax = min(frameMax, tune.FrameMax)
	}
	c.frameMax, c.channels = frameMax, tune.ChannelMax
	if c.channels == 0 {
		c.channels = 65535
	}
	out := wire.AppendMethod(nil, 0, &wire.ConnectionTuneOk{ChannelMax: c.channels, FrameMax: frameMax})
	out = wire.AppendMethod(out, 0, &wire.ConnectionOpen{VirtualHost: e.vhost})
	if err := c.send(out); err != nil {
		return err
	}
	if _, err := c.expect(0, wire.KeyConnectionOpenOk); err != nil {
		return fmt.Errorf("opening the virtual host %q: %w", e.vhost, err)
	}
	return nil
}

// send writes b as a whole.
func (c *conn) send(b []byte) error {
	_, err := c.socket.Write(b)
	return err
}

// next returns the next frame that is in the buffer, ok false if there is none: then fill has to be called. The payload is
// valid until then.
func (c *conn) next() (f wire.Frame, ok bool, err error) {
	f, n, err := wire.ParseFrame(c.buf[c.start:c.end], c.frameMax)
	c.start += n
	return f, n > 0, err
}

// fill reads once. A frame always fits into the buffer, for that is twice as large as frame-max.
func (c *conn) fill() error {
	if c.start > 0 {
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
	}
	n, err := c.socket.Read(c.buf[c.end:])
	c.end += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the broker closed the socket")
	}
	return err
}

// call sends a method and waits for the answer. Only while nothing else is read from the connection.
func (c *conn) call(channel uint16, m wire.Method, answer wire.MethodKey) (wire.Method, error) {
	if err := c.send(wire.AppendMethod(nil, channel, m)); err != nil {
		return nil, err
	}
	return c.expect(channel, answer)
}

// expect reads until the method answer comes on the channel. A close from the broker is an error, see closeError.
func (c *conn) expect(channel uint16, answer wire.MethodKey) (wire.Method, error) {
	if err := c.socket.SetReadDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	defer func() { _ = c.socket.SetReadDeadline(time.Time{}) }()
	for {
		f, ok, err := c.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			if err := c.fill(); err != nil {
				return nil, fmt.Errorf("waiting for %s: %w", answer, err)
			}
			continue
		}
		if f.Type != wire.FrameMethod {
			continue
		}
		m, err := wire.ParseMethod(f.Payload)
		if err != nil {
			return nil, err
		}
		if err := closeError(m); err != nil {
			c.acceptClose(f.Channel, m)
			return nil, err
		}
		switch m := m.(type) {
		case *wire.ConnectionBlocked:
			c.blocked = m
		case *wire.ConnectionUnblocked:
			c.blocked = nil
		default:
			if f.Channel == channel && m.Key() == answer {
				return m, nil
			}
		}
	}
}

// acceptClose answers a close from the broker; that the answer may not arrive any more does not matter.
func (c *conn) acceptClose(channel uint16, m wire.Method) {
	if m.Key() == wire.KeyChannelClose {
		_ = c.send(wire.AppendMethod(nil, channel, &wire.ChannelCloseOk{}))
	} else {
		_ = c.send(wire.AppendMethod(nil, 0, &wire.ConnectionCloseOk{}))
	}
}

// refusal is the close of a channel or connection by the broker.
type refusal struct {
	what string
	code wire.ReplyCode
	text string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the broker closed the %s: %d %s", r.what, r.code, r.text)
}

// closeError returns a refusal if m closes a channel or the connection.
func closeError(m wire.Method) error {
	switch m := m.(type) {
	case *wire.ChannelClose:
		return &refusal{"channel", m.ReplyCode, m.ReplyText}
	case *wire.ConnectionClose:
		return &refusal{"connection", m.ReplyCode, m.ReplyText}
	}
	return nil
}

func (c *conn) openChannel(channel uint16) error {
	if channel > c.channels {
		return fmt.Errorf("%s: the broker allows %d channels per connection", c.name, c.channels)
	}
	if _, err := c.call(channel, &wire.ChannelOpen{}, wire.KeyChannelOpenOk); err != nil {
		return fmt.Errorf("%s: opening a channel: %w", c.name, err)
	}
	return nil
}

// close ends the connection in order, within the time that the broker has for it. Only while nothing else reads.
func (c *conn) close(limit time.Duration) error {
	defer c.socket.Close()
	deadline := time.Now().Add(limit)
	if err := c.socket.SetDeadline(deadline); err != nil {
		return err
	}
	if err := c.send(wire.AppendMethod(nil, 0, goodbye())); err != nil {
		return err
	}
	for {
		f, ok, err := c.next()
		if err != nil {
			return err
		}
		if !ok {
			if err := c.fill(); err != nil {
				return err
			}
			continue
		}
		if k, _ := wire.ParseMethodKey(f.Payload); f.Type == wire.FrameMethod && k == wire.KeyConnectionCloseOk {
			return nil
		}
	}
}

func goodbye() *wire.ConnectionClose {
	return &wire.ConnectionClose{ReplyCode: wire.ReplySuccess, ReplyText: "Goodbye"}
}
