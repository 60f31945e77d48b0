package server

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// initialFrameMax bounds frames until frame-max is negotiated. Tokens in credentials can be longer than the 4096 bytes that AMQP
// grants.
const initialFrameMax = 8192

// handshake brings the connection from its protocol header to connection.open-ok. A *refusal closes the socket after a pause,
// another *wire.Error is sent to the client, anything else closes the socket at once.
func (c *conn) handshake() error {
	if err := c.nc.SetReadDeadline(time.Now().Add(c.opts.HandshakeTimeout)); err != nil {
		return err
	}
	if c.interrupted() { // the deadline may have replaced the one that end has set
		return errAborted
	}
	if c.proxied {
		if err := c.proxyHeader(); err != nil {
			return err
		}
	}
	if c.tls != nil {
		if err := c.secure(); err != nil {
			return err
		}
	}
	version, err := c.protocolHeader()
	if err != nil {
		return err
	}
	if err := c.login(version); err != nil {
		return err
	}
	if err := c.tune(); err != nil {
		return err
	}
	if err := c.openVHost(); err != nil {
		return err
	}
	if err := c.opened(); err != nil {
		return err
	}
	// Whoever ends the connections of a vhost or user sees this one from now on. It may have come too late for that.
	if err := c.access.Revoked(); err != nil {
		return err
	}
	c.access.Announce(c.announcement)
	return nil
}

// opened notes that the handshake is complete.
func (c *conn) opened() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return c.cause
	}
	c.isOpen = true
	return c.nc.SetReadDeadline(time.Time{})
}

// title names the connection to people, as RabbitMQ does.
func (c *conn) title() string { return c.peer.String() + " -> " + c.local.String() }

// announcement is what the event of an open connection says beside user and vhost, by RabbitMQ's names.
func (c *conn) announcement() wire.Table {
	peer, local := c.peer.String(), c.local.String()
	t := wire.Table{
		{Name: "name", Value: wire.String(c.title())},
		{Name: "protocol", Value: wire.String("{0,9,1}")},
		{Name: "channel_max", Value: wire.Int64(int64(c.channelMax))},
		{Name: "frame_max", Value: wire.Int64(int64(c.frameMax))},
		{Name: "timeout", Value: wire.Int64(int64(c.heartbeat / time.Second))},
	}
	t = append(t, wire.Field{Name: "ssl", Value: wire.Bool(c.session != nil)},
		wire.Field{Name: "auth_mechanism", Value: wire.String(c.mechanism)})
	if c.session != nil {
		t = append(t, wire.Field{Name: "ssl_protocol", Value: wire.String(c.session.version)},
			wire.Field{Name: "ssl_cipher", Value: wire.String(c.session.cipher)},
			wire.Field{Name: "peer_cert_subject", Value: wire.String(c.session.subject())})
	}
	if c.name != "" {
		t = append(t, wire.Field{Name: "user_provided_name", Value: wire.String(c.name)})
	}
	for _, end := range []struct{ prefix, address string }{{"peer_", peer}, {"", local}} {
		if host, port, err := net.SplitHostPort(end.address); err == nil {
			n, _ := strconv.ParseInt(port, 10, 64)
			t = append(t, wire.Field{Name: end.prefix + "host", Value: wire.String(host)},
				wire.Field{Name: end.prefix + "port", Value: wire.Int64(n)})
		}
	}
	return t
}

// protocolHeader reads the protocol header and answers it with connection.start, or with the header of the version that is
// spoken here. It returns the version that the client asked for.
func (c *conn) protocolHeader() (version [2]byte, err error) {
	for len(c.in.unread()) < len(wire.ProtocolHeader) {
		if err := c.in.fill(len(wire.ProtocolHeader)); err != nil {
			return version, err
		}
	}
	header := c.in.unread()[:len(wire.ProtocolHeader)]
	switch string(header) {
	case wire.ProtocolHeader, "AMQP\x01\x01\x00\x09":
		version = [2]byte{0, 9}
	case "AMQP\x01\x01\x08\x00":
		// RabbitMQ greets clients of AMQP 0-8 in kind. They get this far, and as long as they use what 0-9-1 did not change.
		version = [2]byte{8, 0}
	default:
		c.log.Warn("client does not speak AMQP 0-9-1", "header", fmt.Sprintf("%q", header), "looks like", foreign(header))
		c.out.sendRaw([]byte(wire.ProtocolHeader))
		return version, errGreeted
	}
	c.in.consume(len(wire.ProtocolHeader))
	c.out.sendMethod(0, &wire.ConnectionStart{
		VersionMajor: version[0], VersionMinor: version[1],
		ServerProperties: c.opts.serverProperties(c.srv.broker.ClusterName(), version == [2]byte{0, 9}),
		Mechanisms:       c.mechanisms(),
		Locales:          "en_US",
	})
	return version, nil
}

// foreign names the protocols that are often sent to the AMQP port by mistake.
func foreign(header []byte) string {
	switch {
	case bytes.HasPrefix(header, []byte("GET ")), bytes.HasPrefix(header, []byte("POST ")), bytes.HasPrefix(header, []byte("HEAD ")):
		return "HTTP"
	case header[0] == 0x16 && header[1] == 3:
		return "TLS"
	case bytes.HasPrefix(header, []byte("AMQP\x03\x01")), bytes.HasPrefix(header, []byte("AMQP\x00\x01")):
		return "AMQP 1.0"
	case bytes.HasPrefix(header, []byte("AMQP")):
		return "AMQP"
	case bytes.HasPrefix(header, []byte("PROXY")), bytes.HasPrefix(header, []byte("\r\n\r\n\x00")):
		return "PROXY protocol from an address that is not trusted"
	}
	return "unknown"
}

// next reads one frame, heartbeats aside. Its payload is valid until the next read.
func (c *conn) next() (wire.Frame, error) {
	for {
		data := c.in.unread()
		f, n, err := wire.ParseFrame(data, c.frameMax)
		if err != nil {
			return f, err
		}
		if n == 0 {
			if err := c.in.fill(frameNeed(data)); err != nil {
				return f, err
			}
			continue
		}
		c.in.consume(n)
		if f.Type == wire.FrameHeartbeat && f.Channel == 0 {
			continue
		}
		return f, nil
	}
}

// expect reads a method of channel 0.
func (c *conn) expect() (wire.Method, error) {
	f, err := c.next()
	if err != nil {
		return nil, err
	}
	if f.Channel != 0 || f.Type != wire.FrameMethod {
		return nil, unexpectedFrame(f)
	}
	return parseMethod(f.Payload)
}

// expectBeforeLogin reads a method as long as nothing a client does wrong is answered.
func expectBeforeLogin[M wire.Method](c *conn) (M, error) {
	var none M
	m, err := c.expect()
	if err != nil {
		if _, ok := errors.AsType[*wire.Error](err); ok {
			return none, refuse("%w", silent(err))
		}
		return none, err
	}
	want, ok := m.(M)
	if !ok {
		return none, refuse("%v where %v is due", m.Key(), none.Key())
	}
	return want, nil
}

// silent hides that err is an AMQP error, which would be sent to the client.
func silent(err error) error { return errors.New(err.Error()) }

// login answers connection.start-ok: it authenticates the client.
func (c *conn) login(version [2]byte) error {
	m, err := expectBeforeLogin[*wire.ConnectionStartOk](c)
	if err != nil {
		return err
	}
	c.caps = clientCapabilities(m.ClientProperties)
	if name, ok := m.ClientProperties.Get("connection_name"); ok {
		c.name = name.Str
	}
	if encoded := m.ClientProperties.Encode(); len(encoded) <= maxClientProperties {
		c.properties = encoded
	}
	c.mechanism = m.Mechanism
	var user string
	if c.user, user, err = c.authenticate(m.Mechanism, m.Response); err != nil {
		if refused, ok := errors.AsType[*refusal](err); ok {
			return refused
		}
		c.srv.stats.loginsRefused.Add(1)
		c.log.Warn("login refused", "user", user, "mechanism", m.Mechanism, "cause", err)
		if !c.caps.authenticationFailureClose {
			return refuse("login refused")
		}
		return &refusal{wire.Errorf(wire.AccessRefused,
			"Login was refused using authentication mechanism %s. For details see the broker logfile.", m.Mechanism)}
	}
	c.out.sendMethod(0, &wire.ConnectionTune{
		ChannelMax: c.opts.ChannelMax, FrameMax: c.opts.FrameMax, Heartbeat: c.opts.heartbeatSeconds(),
	})
	return nil
}

func clientCapabilities(properties wire.Table) capabilities {
	v, _ := properties.Get("capabilities")
	has := func(name string) bool {
		b, ok := v.Table.Get(name)
		return ok && b.Kind == wire.KindBool && b.Int != 0
	}
	return capabilities{
		consumerCancelNotify:       has("consumer_cancel_notify"),
		connectionBlocked:          has("connection.blocked"),
		authenticationFailureClose: has("authentication_failure_close"),
		basicNack:                  has("basic.nack"),
	}
}

// tune reads connection.tune-ok. The client may lower limits, not raise or remove them.
func (c *conn) tune() error {
	m, err := expectBeforeLogin[*wire.ConnectionTuneOk](c)
	if err != nil {
		return err
	}
	if err := negotiated("channel_max", uint32(m.ChannelMax), 1, uint32(c.opts.ChannelMax)); err != nil {
		return err
	}
	if err := negotiated("frame_max", m.FrameMax, wire.FrameMinSize, c.opts.FrameMax); err != nil {
		return err
	}
	c.channelMax, c.frameMax = m.ChannelMax, m.FrameMax
	c.heartbeat = time.Duration(m.Heartbeat) * time.Second
	c.startMonitor()
	return nil
}

func negotiated(name string, v, low, high uint32) error {
	switch {
	case v == 0:
		return refuse("negotiated %s = 0 (no limit) is higher than the maximum allowed value (%d)", name, high)
	case v > high:
		return refuse("negotiated %s = %d is higher than the maximum allowed value (%d)", name, v, high)
	case v < low:
		return refuse("negotiated %s = %d is lower than the minimum allowed value (%d)", name, v, low)
	}
	return nil
}

// openVHost reads connection.open and answers it.
func (c *conn) openVHost() error {
	m, err := c.expect()
	if err != nil {
		return err
	}
	var open *wire.ConnectionOpen
	switch m := m.(type) {
	case *wire.ConnectionOpen:
		open = m
	case *wire.ConnectionClose:
		return errClosedByClient
	default:
		return wire.Errorf(wire.ChannelError, "unexpected method in connection state opening").WithMethod(m.Key())
	}
	c.counted = c.srv.admit()
	if !c.counted {
		return wire.Errorf(wire.NotAllowed, "connection refused: node connection limit (%d) is reached", c.opts.MaxConnections).
			WithMethod(open.Key())
	}
	access, err := c.srv.broker.Open(c.user, open.VirtualHost, c.id)
	if err != nil {
		return named(c.internal(err), open.Key())
	}
	c.access, c.vhost = access, open.VirtualHost
	c.out.sendMethod(0, &wire.ConnectionOpenOk{})
	c.log.Debug("connection open", "user", c.user.Name, "vhost", c.vhost, "name", c.name)
	return nil
}
