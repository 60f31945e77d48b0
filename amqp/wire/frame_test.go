package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// wantError checks that err is an *Error with this text, method and scope.
func wantError(t *testing.T, err error, code ReplyCode, text string, method MethodKey) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %q", err, text)
	}
	if e.Code != code || e.Text != text || e.Method != method {
		t.Fatalf("got %d %q of %v, want %d %q of %v", e.Code, e.Text, e.Method, code, text, method)
	}
}

func TestParseFrameHeader(t *testing.T) {
	b := []byte{1, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0xff}
	for _, n := range []int{7, 8} {
		typ, channel, size := ParseFrameHeader(b[:n])
		if typ != 1 || channel != 0x1234 || size != 0x01020304 {
			t.Errorf("%d bytes: got %d %#x %#x", n, typ, channel, size)
		}
	}
}

func TestParseFrame(t *testing.T) {
	frame := AppendMethod(nil, 3, &BasicQos{PrefetchCount: 7})
	for n := range frame {
		if _, got, err := ParseFrame(frame[:n], FrameMinSize); got != 0 || err != nil {
			t.Fatalf("%d of %d bytes: got length %d, error %v", n, len(frame), got, err)
		}
	}
	f, n, err := ParseFrame(append(frame, "rest"...), FrameMinSize)
	if err != nil || n != len(frame) || f.Type != FrameMethod || f.Channel != 3 || cap(f.Payload) != len(f.Payload) {
		t.Fatalf("got %+v, length %d, error %v", f, n, err)
	}
	if f, n, err := ParseFrame(AppendHeartbeat(nil), FrameMinSize); err != nil || n != FrameOverhead || f.Type != FrameHeartbeat {
		t.Fatalf("heartbeat: got %+v, length %d, error %v", f, n, err)
	}
}

// The texts are RabbitMQ's, as seen on the wire.
func TestParseFrameErrors(t *testing.T) {
	frame := func(typ byte, channel uint16, payload string, end byte) []byte {
		b := AppendFrameHeader(nil, typ, channel, uint32(len(payload)))
		return append(append(b, payload...), end)
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		text  string
	}{
		{
			"frame end", frame(1, 1, "\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x00\x00", 0),
			"FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>: {invalid_frame_end_marker,0}",
		},
		{"unknown type", frame(7, 1, "abc", FrameEnd), `FRAME_ERROR - type 7, all octets = <<"abc">>: unknown_frame`},
		{"unknown type, empty", frame(4, 0, "", FrameEnd), "FRAME_ERROR - type 4, all octets = <<>>: unknown_frame"},
		{"heartbeat with payload", frame(8, 0, "\x01", FrameEnd), "FRAME_ERROR - type 8, all octets = <<1>>: unknown_frame"},
		{
			"long payload", frame(9, 0, "0123456789abcdefg", FrameEnd),
			`FRAME_ERROR - type 9, first 16 octets = <<"0123456789abcdef">>: unknown_frame`,
		},
		{
			"too large", AppendFrameHeader(nil, 3, 1, 140000),
			"FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,140000,131064}",
		},
		{
			"huge", AppendFrameHeader(nil, 3, 1, 1<<32-1),
			"FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,4294967295,131064}",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, n, err := ParseFrame(c.bytes, 131072)
			if n != 0 {
				t.Errorf("got length %d with an error", n)
			}
			wantError(t, err, FrameError, c.text, 0)
		})
	}
}

func TestParseFrameSlack(t *testing.T) {
	for _, c := range []struct {
		size uint32
		ok   bool
	}{{131064, true}, {131065, true}, {131072, true}, {131073, false}} {
		_, _, err := ParseFrame(AppendFrameHeader(nil, FrameBody, 1, c.size), 131072)
		if (err == nil) != c.ok {
			t.Errorf("payload of %d bytes: got error %v", c.size, err)
		}
	}
	if _, _, err := ParseFrame(AppendFrameHeader(nil, FrameBody, 1, 1<<32-1), 0); err != nil {
		t.Errorf("without limit: got error %v", err)
	}
}

func TestAppendBody(t *testing.T) {
	body := []byte("0123456789")
	for _, c := range []struct {
		name     string
		body     []byte
		frameMax uint32
		want     []string
	}{
		{"empty", nil, 4096, nil},
		{"no limit", body, 0, []string{"0123456789"}},
		{"exact", body, 18, []string{"0123456789"}},
		{"two exact", body, 13, []string{"01234", "56789"}},
		{"rest", body, 12, []string{"0123", "4567", "89"}},
		{"smallest", body[:2], 3, []string{"0", "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := AppendBody([]byte("x"), 5, c.body, c.frameMax)[1:]
			var got []string
			for len(out) > 0 {
				f, n, err := ParseFrame(out, 0)
				if err != nil || n == 0 || f.Type != FrameBody || f.Channel != 5 {
					t.Fatalf("got %+v, length %d, error %v", f, n, err)
				}
				got = append(got, string(f.Payload))
				out = out[n:]
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestContentHeader(t *testing.T) {
	props := []byte{0x10, 0, 2}
	f, _, err := ParseFrame(AppendContentHeader(nil, 9, ClassBasic, 1<<40, props), 0)
	if err != nil {
		t.Fatal(err)
	}
	class, weight, size, got, err := ParseContentHeader(f.Payload)
	if class != ClassBasic || weight != 0 || size != 1<<40 || !bytes.Equal(got, props) || err != nil {
		t.Fatalf("got class %d, weight %d, size %d, properties %x, error %v", class, weight, size, got, err)
	}
	f, _, _ = ParseFrame(AppendContentHeader(nil, 9, ClassBasic, 0, nil), 0)
	if _, _, _, got, _ = ParseContentHeader(f.Payload); !bytes.Equal(got, []byte{0, 0}) {
		t.Errorf("no properties: got %x", got)
	}
	_, _, _, _, err = ParseContentHeader([]byte{0, 60, 0, 0})
	wantError(t, err, FrameError, "FRAME_ERROR - type 2, all octets = <<0,60,0,0>>: unknown_frame", 0)
}

func TestErrors(t *testing.T) {
	e := Errorf(NotFound, "no queue '%s' in vhost '/'", "q")
	wantError(t, e, NotFound, "NOT_FOUND - no queue 'q' in vhost '/'", 0)
	if e.Hard() {
		t.Error("404 is hard")
	}
	w := e.WithMethod(KeyQueueDeclare)
	if e.Method != 0 || w.Method != KeyQueueDeclare {
		t.Errorf("WithMethod changed the original or not the copy: %v, %v", e, w)
	}
	if got, want := w.Error(), "404 NOT_FOUND - no queue 'q' in vhost '/' (queue.declare)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	w.Connection = true
	if !w.Hard() {
		t.Error("connection scope is not hard")
	}
	for pad := range 4 {
		long := Errorf(NotFound, "%s%s", strings.Repeat("x", pad), strings.Repeat("\U0001F407", 80))
		if n := len(long.Text); n > 255 || n < 252 || !strings.HasSuffix(long.Text, "...") || !utf8.ValidString(long.Text) {
			t.Errorf("long text is cut to %d bytes, valid %v: %q", n, utf8.ValidString(long.Text), long.Text)
		}
	}
}

func TestReplyCodes(t *testing.T) {
	soft := "NO_ROUTE NO_CONSUMERS CONTENT_TOO_LARGE ACCESS_REFUSED NOT_FOUND RESOURCE_LOCKED PRECONDITION_FAILED REPLY_SUCCESS"
	hard := "CONNECTION_FORCED INVALID_PATH FRAME_ERROR SYNTAX_ERROR COMMAND_INVALID CHANNEL_ERROR UNEXPECTED_FRAME " +
		"RESOURCE_ERROR NOT_ALLOWED NOT_IMPLEMENTED INTERNAL_ERROR"
	found := map[string]bool{}
	for c := ReplyCode(0); c < 1000; c++ {
		name := c.String()
		if strings.HasPrefix(name, "REPLY_CODE_") {
			continue
		}
		found[name] = c.Hard()
	}
	for _, name := range strings.Fields(soft) {
		if h, ok := found[name]; !ok || h {
			t.Errorf("%s: found %v, hard %v", name, ok, h)
		}
	}
	for _, name := range strings.Fields(hard) {
		if h, ok := found[name]; !ok || !h {
			t.Errorf("%s: found %v, hard %v", name, ok, h)
		}
	}
	if len(found) != 19 {
		t.Errorf("got %d reply codes, want 19", len(found))
	}
}

func TestErlangBytes(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "<<>>"},
		{"abc", `<<"abc">>`},
		{"\x01\x02", "<<1,2>>"},
		{"ab\x00", "<<97,98,0>>"},
		{"a\"\\\n\t\x1b", `<<"a\"\\\n\t\e">>`},
		{"\xff\xfe", `<<"ÿþ">>`},
		{"\x7f", "<<127>>"},
		{"\x80", "<<128>>"},
	} {
		if got := ErlangBytes([]byte(c.in)); got != c.want {
			t.Errorf("%q: got %s, want %s", c.in, got, c.want)
		}
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(AppendHeartbeat(nil), uint32(4096))
	f.Add(AppendMethod(nil, 1, &QueueDeclare{Queue: "q"}), uint32(131072))
	f.Add(AppendContentHeader(nil, 1, ClassBasic, 5, []byte{0x10, 0, 2}), uint32(4096))
	f.Add(AppendBody(nil, 1, []byte("hello"), 0), uint32(4096))
	f.Add([]byte("GET / HTTP/1.1\r\n"), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, frameMax uint32) {
		fr, n, err := ParseFrame(b, frameMax)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code != FrameError || !utf8.ValidString(e.Text) || len(e.Text) > 255 {
				t.Fatalf("bad error %v", err)
			}
			return
		}
		if n == 0 {
			return
		}
		out := AppendFrameHeader(nil, fr.Type, fr.Channel, uint32(len(fr.Payload)))
		out = append(append(out, fr.Payload...), FrameEnd)
		if !bytes.Equal(out, b[:n]) {
			t.Fatalf("encoded again: %x, was %x", out, b[:n])
		}
		if fr.Type == FrameHeader {
			class, weight, size, props, err := ParseContentHeader(fr.Payload)
			if err == nil && weight == 0 && len(props) > 0 {
				if again := AppendContentHeader(nil, fr.Channel, class, size, props); !bytes.Equal(again, b[:n]) {
					t.Fatalf("header encoded again: %x, was %x", again, b[:n])
				}
			}
		}
	})
}
