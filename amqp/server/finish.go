package server

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// refusal is an error of the handshake that the client is not told: the connection is closed after a pause.
type refusal struct{ err error }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func refuse(format string, args ...any) error { return &refusal{fmt.Errorf(format, args...)} }

// errGreeted: the client sent another protocol header and was told ours.
var errGreeted = errors.New("unsupported protocol")

// finish ends the connection for the given reason: it gives back everything the connection holds, and only then takes leave of
// the client, so that whoever reconnects after that finds exclusive queues gone.
func (c *conn) finish(err error) {
	c.stopMonitor()
	c.logEnd(err)
	c.reportRead()
	c.teardown()
	timeout := c.opts.CloseTimeout
	if c.heartbeat > 0 {
		timeout = min(timeout, c.heartbeat)
	}
	wireErr, isWire := errors.AsType[*wire.Error](err)
	var refused *refusal
	switch {
	case errors.Is(err, errClosedByClient):
		c.out.sendMethod(0, &wire.ConnectionCloseOk{})
		c.linger(timeout, false)
	case errors.As(err, &refused):
		if isWire {
			c.sendClose(wireErr)
			c.linger(c.opts.LoginDelay, true)
		} else {
			c.pause(c.opts.LoginDelay)
		}
	case isWire:
		c.sendClose(wireErr)
		c.linger(timeout, true)
	}
	c.out.close(flushTimeout)
	if c.tls != nil {
		_ = c.tls.Close() // says goodbye, which plain TCP does by itself
		c.records.release()
	}
	_ = c.nc.Close()
	c.in.release()
}

// flushTimeout bounds the wait for the last bytes to be written.
const flushTimeout = time.Second

func (c *conn) sendClose(e *wire.Error) {
	c.out.sendMethod(0, &wire.ConnectionClose{
		ReplyCode: e.Code, ReplyText: e.Text, ClassID: e.Method.Class(), MethodID: e.Method.Method(),
	})
}

// teardown closes all channels and deletes exclusive queues.
func (c *conn) teardown() {
	c.srv.closing(c)
	for _, ch := range c.channels {
		ch.wait()
		ch.release()
	}
	c.channels, c.last, c.dirty = nil, nil, nil
	if c.access != nil {
		c.access.Close()
	}
	c.srv.closed(c)
}

// linger reads and drops what the client still sends until it closes the socket, or until connection.close-ok when closeOk is
// set, but at most for timeout. Closing a socket at once could destroy what was written to it.
func (c *conn) linger(timeout time.Duration, closeOk bool) {
	c.mu.Lock()
	// The connection may have been ended from outside: that is what is being done. From here on only abort ends it earlier.
	_ = c.nc.SetReadDeadline(time.Now().Add(timeout))
	c.mu.Unlock()
	skip := len(c.direct.rest) // bytes of a frame that are still to come
	need := wire.FrameOverhead
	for {
		data := c.in.unread()
		used := 0
		for {
			n := min(skip, len(data)-used)
			skip -= n
			used += n
			rest := data[used:]
			if skip > 0 || len(rest) < wire.FrameHeaderLen {
				break
			}
			typ, channel, size := wire.ParseFrameHeader(rest)
			if typ != wire.FrameMethod || channel != 0 || size > maxCloseSize {
				skip = int(size) + wire.FrameOverhead
				continue
			}
			if len(rest) < int(size)+wire.FrameOverhead {
				need = int(size) + wire.FrameOverhead
				break
			}
			skip = int(size) + wire.FrameOverhead
			switch key, _ := wire.ParseMethodKey(rest[wire.FrameHeaderLen:][:size]); key {
			case wire.KeyConnectionCloseOk:
				if closeOk {
					return
				}
			case wire.KeyConnectionClose:
				c.out.sendMethod(0, &wire.ConnectionCloseOk{}) // both sides closed at the same time
			}
		}
		c.in.consume(used)
		if err := c.in.fill(need); err != nil {
			return
		}
		need = wire.FrameOverhead
	}
}

// maxCloseSize is more than the payload of a connection.close can take.
const maxCloseSize = 512

// pause waits without reading, so that a client that guesses passwords or talks nonsense costs nothing meanwhile.
func (c *conn) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.interrupt:
	}
}

// logEnd writes one line about the end of the connection. Clients that come and go are not worth a line in production.
func (c *conn) logEnd(err error) {
	log := c.log.With("user", c.userName(), "vhost", c.vhost, "name", c.name, "duration", time.Since(c.born).Round(time.Millisecond))
	switch {
	case errors.Is(err, errClosedByClient), errors.Is(err, errAborted), errors.Is(err, errGreeted), c.user == nil && isDisconnect(err):
		log.Debug("connection ended", "cause", err)
	case isDisconnect(err):
		log.Warn("client closed the connection without connection.close", "cause", err)
	default:
		log.Warn("connection closed", "cause", err)
	}
}

func (c *conn) userName() string {
	if c.user == nil {
		return ""
	}
	return c.user.Name
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
