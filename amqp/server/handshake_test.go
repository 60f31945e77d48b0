package server

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

func TestServerProperties(t *testing.T) {
	s := startServer(t, Options{Product: "RabbitMQ", Version: "4.1.0"})
	c := s.dial()
	c.raw([]byte(wire.ProtocolHeader))
	m := expect[*wire.ConnectionStart](c, 0)
	if m.VersionMajor != 0 || m.VersionMinor != 9 || m.Mechanisms != "AMQPLAIN PLAIN" || m.Locales != "en_US" {
		t.Errorf("connection.start %+v", m)
	}
	for name, want := range map[string]string{"product": "RabbitMQ", "version": "4.1.0", "cluster_name": "test"} {
		if v, _ := m.ServerProperties.Get(name); v.Kind != wire.KindString || v.Str != want {
			t.Errorf("%s = %+v, want %q", name, v, want)
		}
	}
	caps, _ := m.ServerProperties.Get("capabilities")
	if len(caps.Table) != 9 {
		t.Errorf("%d capabilities, want 9", len(caps.Table))
	}
	if v, ok := caps.Table.Get("connection.blocked"); !ok || v.Kind != wire.KindBool || v.Int != 1 {
		t.Errorf("connection.blocked = %+v", v)
	}
}

func TestProtocolHeader(t *testing.T) {
	s := startServer(t, Options{HandshakeTimeout: 100 * time.Millisecond})
	for _, tc := range []struct {
		header  string
		version [2]byte
		served  bool
	}{
		{"AMQP\x00\x00\x09\x01", [2]byte{0, 9}, true},
		{"AMQP\x01\x01\x00\x09", [2]byte{0, 9}, true},
		{"AMQP\x01\x01\x08\x00", [2]byte{8, 0}, true},
		{"AMQP\x00\x01\x00\x00", [2]byte{}, false},
		{"AMQP\x03\x01\x00\x00", [2]byte{}, false},
		{"AMQP\x00\x00\x09\x02", [2]byte{}, false},
		{"AMQP\x00\x00\x08\x00", [2]byte{}, false},
		{"GET / HT", [2]byte{}, false},
		{"\x16\x03\x01\x02\x00\x01\x00\x01", [2]byte{}, false},
	} {
		c := s.dial()
		c.raw([]byte(tc.header))
		if tc.served {
			if m := expect[*wire.ConnectionStart](c, 0); m.VersionMajor != tc.version[0] || m.VersionMinor != tc.version[1] {
				t.Errorf("%q: version %d-%d, want %v", tc.header, m.VersionMajor, m.VersionMinor, tc.version)
			}
			continue
		}
		answer, err := io.ReadAll(c.nc)
		if err != nil && !isReset(err) || !bytes.Equal(answer, []byte(wire.ProtocolHeader)) {
			t.Errorf("%q: answer %q, %v", tc.header, answer, err)
		}
	}
	t.Run("half a header", func(t *testing.T) {
		c := s.dial()
		c.raw([]byte("AMQP\x00"))
		c.expectEnd()
	})
	t.Run("silence after start", func(t *testing.T) {
		c := s.dial()
		c.raw([]byte(wire.ProtocolHeader))
		expect[*wire.ConnectionStart](c, 0)
		c.expectEnd()
	})
}

func TestLogin(t *testing.T) {
	s := startServer(t, Options{})
	amqplain := func(user, password string) []byte {
		return wire.Table{{Name: "LOGIN", Value: wire.String(user)}, {Name: "PASSWORD", Value: wire.String(password)}}.Encode()
	}
	refusedPlain := "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile."
	refusedAmqplain := "ACCESS_REFUSED - Login was refused using authentication mechanism AMQPLAIN. For details see the broker logfile."
	for _, tc := range []struct {
		name, mechanism string
		response        []byte
		properties      wire.Table
		text            string // of connection.close; "ok": tune; "": the socket is closed
	}{
		{"plain", "PLAIN", []byte("\x00guest\x00guest"), nil, "ok"},
		{"plain with authorization identity", "PLAIN", []byte("someone\x00guest\x00guest"), nil, "ok"},
		{"amqplain", "AMQPLAIN", amqplain("guest", "guest"), nil, "ok"},
		{"wrong password", "PLAIN", []byte("\x00guest\x00wrong"), allCapabilities, refusedPlain},
		{"unknown user", "PLAIN", []byte("\x00nobody\x00guest"), allCapabilities, refusedPlain},
		{"amqplain, wrong password", "AMQPLAIN", amqplain("guest", "no"), allCapabilities, refusedAmqplain},
		{"wrong password without the capability", "PLAIN", []byte("\x00guest\x00wrong"), nil, ""},
		{"unknown mechanism", "FOO", []byte("\x00guest\x00guest"), allCapabilities, ""},
		{"no NULs", "PLAIN", []byte("guest"), allCapabilities, ""},
		{"empty amqplain", "AMQPLAIN", nil, allCapabilities, ""},
		{"amqplain that is no table", "AMQPLAIN", []byte("\x05LOGIN?"), allCapabilities, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := s.dial()
			c.t = t
			c.raw([]byte(wire.ProtocolHeader))
			expect[*wire.ConnectionStart](c, 0)
			c.send(0, &wire.ConnectionStartOk{ClientProperties: tc.properties, Mechanism: tc.mechanism, Response: tc.response})
			switch tc.text {
			case "ok":
				m := expect[*wire.ConnectionTune](c, 0)
				if *m != (wire.ConnectionTune{ChannelMax: 2047, FrameMax: 131072, Heartbeat: 60}) {
					t.Errorf("tune %+v", *m)
				}
			case "":
				c.expectEnd()
			default:
				c.expectClose(0, tc.text, 0)
				c.expectEnd()
			}
		})
	}
}

func TestTune(t *testing.T) {
	s := startServer(t, Options{})
	for _, tc := range []struct {
		channelMax uint16
		frameMax   uint32
		ok         bool
	}{
		{2047, 131072, true}, {1, 4096, true}, {0, 131072, false}, {2048, 131072, false}, {2047, 0, false},
		{2047, 131073, false}, {2047, 4095, false},
	} {
		c := s.dial()
		c.raw([]byte(wire.ProtocolHeader))
		expect[*wire.ConnectionStart](c, 0)
		c.send(0, startOk())
		expect[*wire.ConnectionTune](c, 0)
		c.send(0, &wire.ConnectionTuneOk{ChannelMax: tc.channelMax, FrameMax: tc.frameMax})
		c.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
		if tc.ok {
			expect[*wire.ConnectionOpenOk](c, 0)
		} else {
			c.expectEnd()
		}
	}
}

func TestOpen(t *testing.T) {
	s := startServer(t, Options{})
	tuned := func() *client {
		c := s.dial()
		c.raw([]byte(wire.ProtocolHeader))
		expect[*wire.ConnectionStart](c, 0)
		c.send(0, startOk())
		expect[*wire.ConnectionTune](c, 0)
		return c
	}
	c := tuned()
	c.send(0, &wire.ConnectionOpen{VirtualHost: "/"}) // before tune-ok
	c.expectEnd()

	c = tuned()
	c.send(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
	c.send(1, &wire.ChannelOpen{})
	c.expectClose(0, "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>", 0)

	c = tuned()
	c.send(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
	c.send(0, &wire.ConnectionOpen{VirtualHost: "nope"})
	c.expectClose(0, "NOT_ALLOWED - vhost nope not found", wire.KeyConnectionOpen)
	c.send(0, &wire.ConnectionCloseOk{})
	c.expectEnd()
}

func TestPipelinedHandshake(t *testing.T) {
	s := startServer(t, Options{})
	c := s.dial()
	b := []byte(wire.ProtocolHeader)
	b = wire.AppendMethod(b, 0, startOk())
	b = wire.AppendMethod(b, 0, &wire.ConnectionTuneOk{ChannelMax: 2047, FrameMax: 131072})
	b = wire.AppendMethod(b, 0, &wire.ConnectionOpen{VirtualHost: "/"})
	b = wire.AppendMethod(b, 1, &wire.ChannelOpen{})
	c.raw(b)
	expect[*wire.ConnectionStart](c, 0)
	expect[*wire.ConnectionTune](c, 0)
	expect[*wire.ConnectionOpenOk](c, 0)
	expect[*wire.ChannelOpenOk](c, 1)
}

func TestConnectionLimit(t *testing.T) {
	s := startServer(t, Options{MaxConnections: 2})
	first := s.open()
	s.open()
	third := func() *client {
		c := s.dial()
		c.raw([]byte(wire.ProtocolHeader))
		expect[*wire.ConnectionStart](c, 0)
		c.send(0, startOk())
		expect[*wire.ConnectionTune](c, 0)
		c.send(0, &wire.ConnectionTuneOk{ChannelMax: 10, FrameMax: 4096})
		c.send(0, &wire.ConnectionOpen{VirtualHost: "/"})
		return c
	}
	third().expectClose(0, "NOT_ALLOWED - connection refused: node connection limit (2) is reached", wire.KeyConnectionOpen)
	first.send(0, &wire.ConnectionClose{ReplyCode: 200})
	expect[*wire.ConnectionCloseOk](first, 0)
	expect[*wire.ConnectionOpenOk](third(), 0)
}

func TestHandshakeLimit(t *testing.T) {
	s := startServer(t, Options{MaxHandshakes: 1})
	held := s.dial()
	held.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](held, 0)
	s.dial().expectEnd()
	_ = held.nc.Close()
	eventually(t, "free again", func() bool {
		nc, err := net.Dial("tcp", s.Addrs()[0].String())
		check(err)
		defer nc.Close()
		_, _ = nc.Write([]byte(wire.ProtocolHeader))
		b := make([]byte, 1)
		n, _ := nc.Read(b)
		return n == 1
	})
}

func TestOptionsOutOfRange(t *testing.T) {
	for _, o := range []Options{
		{FrameMax: 4095}, {FrameMax: 1 << 31}, {Heartbeat: 70000 * time.Second}, {MaxMessageSize: 1 << 30}, {MaxConnections: -1},
	} {
		if _, err := New(o, nil, nil); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}
