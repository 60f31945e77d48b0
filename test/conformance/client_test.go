package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// How long a client waits for a frame: long, or short where the frame is known not to come; quiet where none may come.
const (
	long  = 10 * time.Second
	short = 300 * time.Millisecond
	quiet = 150 * time.Millisecond
)

// client is one connection that speaks raw frames. Its reader sorts what arrives by channel, because the order of frames of
// different channels is not defined.
type client struct {
	nc       net.Conn
	patience time.Duration
	done     chan struct{} // closed when the reader has ended

	mu     sync.Mutex
	queues map[uint16]chan string
	opened map[uint16]bool // channels that the script has opened
	ready  bool            // the connection is open
	hears  atomic.Bool     // heartbeats are shown as frames of channel 0
	bodies []int           // sizes of the body frames so far; the reader's until the frame after them has been taken
}

// login is what a client says of itself during the handshake.
type login struct {
	user, password, vhost string
	properties            wire.Table
	tune                  wire.ConnectionTuneOk
}

// eof is what a channel's queue yields once the peer has closed the socket.
const eof = "EOF"

// nothing is what it yields when no frame comes in time.
const nothing = "(nothing)"

func dial(addr string, patience time.Duration) (*client, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	c := &client{
		nc: nc, patience: patience, done: make(chan struct{}), queues: make(map[uint16]chan string), opened: make(map[uint16]bool),
	}
	go c.read()
	return c, nil
}

// begin sends the handshake up to connection.open and takes the answers up to connection.tune. A broker that refuses the login
// is no error.
func (c *client) begin(l login) error {
	if err := c.write([]byte(wire.ProtocolHeader)); err != nil {
		return err
	}
	if got := c.next(0); !strings.HasPrefix(got, "connection.start ") {
		return fmt.Errorf("the broker greets with %s", got)
	}
	c.send(0, &wire.ConnectionStartOk{
		ClientProperties: l.properties, Mechanism: "PLAIN", Response: []byte("\x00" + l.user + "\x00" + l.password), Locale: "en_US",
	})
	got := c.next(0)
	if !strings.HasPrefix(got, "connection.tune ") {
		c.queue(0) <- got // a refused login: the script says what it should be
		return nil
	}
	c.send(0, &l.tune)
	c.send(0, &wire.ConnectionOpen{VirtualHost: l.vhost})
	return nil
}

// write ignores a broken socket: what the peer said before it closed it is in the queues.
func (c *client) write(b []byte) error {
	_, err := c.nc.Write(b)
	return err
}

func (c *client) send(channel uint16, m wire.Method) { _ = c.write(wire.AppendMethod(nil, channel, m)) }

func (c *client) publish(channel uint16, m *wire.BasicPublish, p *wire.Properties, body []byte) {
	b := wire.AppendMethod(nil, channel, m)
	b = wire.AppendContentHeader(b, channel, wire.ClassBasic, uint64(len(body)), p.Append(nil))
	_ = c.write(wire.AppendBody(b, channel, body, 131072))
}

// queue returns the channel's frames in the order of arrival, as text.
func (c *client) queue(channel uint16) chan string {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[channel]
	if q == nil {
		q = make(chan string, 4096)
		c.queues[channel] = q
	}
	return q
}

// next returns the next frame of the channel as text. The end of the connection is a frame too: the connection.close if there
// was one, and eof.
func (c *client) next(channel uint16) string { return c.await(channel, c.patience) }

// await is next with another patience.
func (c *client) await(channel uint16, patience time.Duration) string {
	q := c.queue(channel)
	select {
	case s := <-q:
		return s
	default:
	}
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case s := <-q:
		return s
	case <-timeout.C:
		return nothing
	case <-c.done:
	}
	select {
	case s := <-q:
		return s
	default:
	}
	select {
	case s := <-c.queue(0): // what ended the connection ended the channel
		return s
	default:
		return eof
	}
}

// open opens the channel unless the script has done so.
func (c *client) open(channel uint16) error {
	if channel == 0 || !c.ready || c.opened[channel] {
		return nil
	}
	c.opened[channel] = true
	c.send(channel, &wire.ChannelOpen{})
	if got := c.next(channel); got != "channel.open-ok" {
		return fmt.Errorf("channel.open was answered with %s", got)
	}
	return nil
}

// close says goodbye and waits for the answer, so that what belongs to the connection is gone. A broker that does not
// read is not waited for longer than for any other frame.
func (c *client) close() {
	if !c.ready { // the broker would not answer
		c.abandon()
		return
	}
	c.hears.Store(false)
	c.send(0, &wire.ConnectionClose{ReplyCode: 200, ReplyText: "bye"})
	for got := ""; got != "connection.close-ok" && got != eof && got != nothing; {
		got = c.next(0)
	}
	c.abandon()
}

// abandon cuts the socket.
func (c *client) abandon() {
	_ = c.nc.Close()
	<-c.done
}

// content is a message of which parts are still to come.
type content struct {
	head       string
	properties wire.Properties
	left       uint64
	body       []byte
}

func (c *client) read() {
	defer close(c.done)
	partial := make(map[uint16]*content)
	var buf []byte
	chunk := make([]byte, 64<<10)
	for {
		n, err := c.nc.Read(chunk)
		buf = append(buf, chunk[:n]...)
		for {
			if len(buf) >= 8 && bytes.HasPrefix(buf, []byte("AMQP")) {
				c.queue(0) <- fmt.Sprintf("header %d %d %d %d", buf[4], buf[5], buf[6], buf[7])
				buf = buf[8:]
				continue
			}
			f, size, ferr := wire.ParseFrame(buf, 0)
			if ferr != nil {
				c.queue(0) <- "malformed frame: " + ferr.Error()
				return
			}
			if size == 0 {
				break
			}
			if f.Type == wire.FrameHeartbeat && c.hears.Load() {
				c.queue(0) <- "heartbeat"
			}
			if f.Type == wire.FrameBody {
				c.bodies = append(c.bodies, len(f.Payload))
			}
			if text := take(partial, f); text != "" {
				c.queue(f.Channel) <- text
			}
			buf = buf[size:]
			if f.Type == wire.FrameMethod && binary.BigEndian.Uint32(f.Payload) == uint32(wire.KeyConnectionClose) {
				c.send(0, &wire.ConnectionCloseOk{})
			}
		}
		if err != nil {
			return
		}
	}
}

// take returns the text of a frame, or of the message that it completes.
func take(partial map[uint16]*content, f wire.Frame) string {
	switch f.Type {
	case wire.FrameHeartbeat:
		return ""
	case wire.FrameMethod:
		m, err := wire.ParseMethod(f.Payload)
		if err != nil {
			return "undecodable method: " + err.Error()
		}
		if m.Key().HasContent() {
			partial[f.Channel] = &content{head: methodText(m)}
			return ""
		}
		return methodText(m)
	}
	p := partial[f.Channel]
	if p == nil {
		return "content without a method"
	}
	if err := p.add(f); err != nil {
		return err.Error()
	}
	if p.left > 0 {
		return ""
	}
	delete(partial, f.Channel)
	text := p.head
	if props := propertiesText(&p.properties); props != "" {
		text += " " + props
	}
	return text + " body=" + string(p.body)
}

func (p *content) add(f wire.Frame) error {
	if f.Type == wire.FrameBody {
		if uint64(len(f.Payload)) > p.left {
			return errors.New("body longer than announced")
		}
		p.left -= uint64(len(f.Payload))
		p.body = append(p.body, f.Payload...)
		return nil
	}
	_, _, size, raw, err := wire.ParseContentHeader(f.Payload)
	if err != nil {
		return err
	}
	p.left = size
	p.properties, err = wire.ParseProperties(raw)
	return err
}

// expectConfirms checks that every one of the first count publishes is answered once, and that nacked is the one that is refused.
func expectConfirms(c *client, count, nacked uint64) error {
	answered := make(map[uint64]string)
	for uint64(len(answered)) < count {
		got := c.next(1)
		var tag uint64
		word, rest, _ := strings.Cut(got, " ")
		if _, err := fmt.Sscanf(rest, "delivery-tag=%d", &tag); err != nil || tag > count {
			return fmt.Errorf("answered %v, then %s", answered, got)
		}
		first := tag
		if strings.HasSuffix(rest, " multiple") {
			first = 1
		}
		for ; first <= tag; first++ {
			if was := answered[first]; was != "" && first == tag {
				return fmt.Errorf("%d was answered twice: %s and %s", first, was, got)
			} else if was == "" {
				answered[first] = word
			}
		}
	}
	for tag, word := range answered {
		if (word == "basic.nack") != (tag == nacked) {
			return fmt.Errorf("%d was answered with %s", tag, word)
		}
	}
	return nil
}
