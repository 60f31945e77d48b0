package network

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func newParty(t testing.TB, node, cluster, secret string) *party {
	t.Helper()
	key, err := deriveKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return &party{
		id:       Identity{Node: node, Name: "name-" + node, Cluster: cluster, Address: node + ":7672", Release: "1.0", Protocol: 1},
		versions: versions{1, 1}, secret: secret != "", key: key,
	}
}

func admitAll(kind) code { return codeOK }

// result is what both sides of a handshake made of it.
type result struct {
	dialer, listener       Identity // as the other side saw them
	kind                   kind
	dialerErr, listenerErr error
}

// shake does a handshake over d and l, and closes them.
func shake(dialer, listener *party, d, l net.Conn, want string, admit func(kind) code) (r result) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		r.dialer, r.kind, r.listenerErr = listener.accept(l, admit)
	}()
	r.listener, r.dialerErr = dialer.dial(d, kindGRPC, want)
	d.Close()
	<-done
	return r
}

// pair is a connection over loopback, both ends of which give up in the end.
func pair(t testing.TB, patience time.Duration) (net.Conn, net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{a, b} {
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	return a, b
}

func TestHandshakeTellsBothWhoTheOtherIs(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "secret"} {
		d, l := pair(t, patience)
		a, b := newParty(t, "a", "", secret), newParty(t, "b", "c1", secret)
		r := shake(a, b, d, l, "b", admitAll)
		if r.dialerErr != nil || r.listenerErr != nil {
			t.Fatalf("secret %q: dialer %v, listener %v", secret, r.dialerErr, r.listenerErr)
		}
		if r.dialer != a.id || r.listener != b.id || r.kind != kindGRPC {
			t.Errorf("secret %q: got %+v", secret, r)
		}
	}
}

func TestHandshakeFailuresAreClearOnBothSides(t *testing.T) {
	t.Parallel()
	old := func(p *party) { p.versions = versions{1, 2} }
	newer := func(p *party) { p.versions = versions{4, 6} }
	for _, c := range []struct {
		name             string
		dialer, listener *party
		change           func(dialer, listener *party)
		want             string
		admit            func(kind) code
		err              error
		dialerTexts      []string
		listenerTexts    []string
	}{
		{name: "other secret", dialer: newParty(t, "a", "", "one"), listener: newParty(t, "b", "", "two"), err: ErrWrongSecret,
			dialerTexts: []string{"cluster.secret differs"}, listenerTexts: []string{"cluster.secret differs"}},
		{name: "dialer without secret", dialer: newParty(t, "a", "", ""), listener: newParty(t, "b", "", "two"), err: ErrWrongSecret,
			dialerTexts: []string{"this one has none"}, listenerTexts: []string{"the other node has no cluster.secret"}},
		{name: "listener without secret", dialer: newParty(t, "a", "", "one"), listener: newParty(t, "b", "", ""), err: ErrWrongSecret,
			dialerTexts: []string{"the other node has no cluster.secret"}, listenerTexts: []string{"this one has none"}},
		{name: "other cluster", dialer: newParty(t, "a", "c1", "s"), listener: newParty(t, "b", "c2", "s"), err: ErrForeignCluster,
			dialerTexts: []string{"name-b (b)", `"c1"`, `"c2"`}, listenerTexts: []string{"name-a (a)", `"c1"`, `"c2"`}},
		{name: "newer dialer", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "b", "", "s"), err: ErrVersion,
			change:      func(d, l *party) { newer(d); old(l) },
			dialerTexts: []string{"protocol 4 to 6", "1 to 2"}, listenerTexts: []string{"protocol 1 to 2", "4 to 6"}},
		{name: "older dialer, other secret", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "b", "", "x"), err: ErrVersion,
			change:      func(d, l *party) { old(d); newer(l) },
			dialerTexts: []string{"protocol 1 to 2", "4 to 6"}, listenerTexts: []string{"protocol 4 to 6", "1 to 2"}},
		{name: "other node", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "b", "", "s"), want: "z", err: ErrWrongNode,
			dialerTexts: []string{"looked for node z", "found name-b (b)"}, listenerTexts: []string{"name-a (a) looked for node z", "name-b (b)"}},
		{name: "itself", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "a", "", "s"), err: ErrSelf,
			dialerTexts: []string{"node a too"}, listenerTexts: []string{"node a too"}},
		{name: "not ready", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "b", "", "s"), err: ErrNotReady,
			admit:       func(kind) code { return codeNotReady },
			dialerTexts: []string{"name-b (b) takes no stream of grpc"}, listenerTexts: []string{"name-a (a) asked for a stream of grpc"}},
		{name: "busy", dialer: newParty(t, "a", "", "s"), listener: newParty(t, "b", "", "s"), err: ErrBusy,
			admit:       func(kind) code { return codeBusy },
			dialerTexts: []string{"name-b (b) takes no more"}, listenerTexts: []string{"name-a (a) asked for one more"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(c.dialer, c.listener)
			}
			if c.admit == nil {
				c.admit = admitAll
			}
			d, l := pair(t, patience)
			r := shake(c.dialer, c.listener, d, l, c.want, c.admit)
			check := func(side string, err error, texts []string) {
				t.Helper()
				if !errors.Is(err, c.err) {
					t.Errorf("%s: want %v, got %v", side, c.err, err)
					return
				}
				for _, text := range texts {
					if !strings.Contains(err.Error(), text) {
						t.Errorf("%s: no %q in %q", side, text, err)
					}
				}
			}
			check("dialer", r.dialerErr, c.dialerTexts)
			check("listener", r.listenerErr, c.listenerTexts)
		})
	}
}

// tap counts what is written through it, keeps it, and changes one byte of it.
type tap struct {
	net.Conn
	sent bytes.Buffer // as it was meant
	flip int          // index of the byte to change, -1 for none
	mask byte
}

func (c *tap) Write(b []byte) (int, error) {
	out := bytes.Clone(b)
	if i := c.flip - c.sent.Len(); i >= 0 && i < len(out) {
		out[i] ^= c.mask
	}
	c.sent.Write(b)
	if n, err := c.Conn.Write(out); err != nil {
		return n, err
	}
	return len(b), nil
}

// Every byte that is changed on the way makes the handshake fail, wherever it is.
func TestTamperedHandshakeNeverSucceeds(t *testing.T) {
	t.Parallel()
	a, b := newParty(t, "a", "c1", "secret"), newParty(t, "b", "c1", "secret")
	run := func(flipDialer, flipListener int, mask byte) (result, int, int) {
		// A changed length leaves one side waiting for what never comes.
		patience := 100 * time.Millisecond
		if flipDialer < 0 && flipListener < 0 {
			patience = 20 * time.Second
		}
		dc, lc := net.Pipe()
		for _, c := range []net.Conn{dc, lc} {
			if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
		}
		d, l := &tap{Conn: dc, flip: flipDialer, mask: mask}, &tap{Conn: lc, flip: flipListener, mask: mask}
		r := shake(a, b, d, l, "b", admitAll)
		return r, d.sent.Len(), l.sent.Len()
	}
	r, fromDialer, fromListener := run(-1, -1, 0)
	if r.dialerErr != nil || r.listenerErr != nil {
		t.Fatalf("untouched: dialer %v, listener %v", r.dialerErr, r.listenerErr)
	}
	final := headerSize + 1 + 32
	for _, mask := range []byte{0x01, 0x80} {
		for i := range fromDialer {
			r, _, _ := run(i, -1, mask)
			if r.listenerErr == nil {
				t.Errorf("byte %d of the dialer changed by %#x: the listener is content", i, mask)
			}
			if r.dialerErr == nil && i < fromDialer-final { // nothing answers the last message
				t.Errorf("byte %d of the dialer changed by %#x: the dialer is content", i, mask)
			}
		}
		for i := range fromListener {
			r, _, _ := run(-1, i, mask)
			if r.listenerErr == nil || r.dialerErr == nil {
				t.Errorf("byte %d of the listener changed by %#x: dialer %v, listener %v", i, mask, r.dialerErr, r.listenerErr)
			}
		}
	}
}

func TestReplayedHandshakeFails(t *testing.T) {
	t.Parallel()
	a, b := newParty(t, "a", "c1", "secret"), newParty(t, "b", "c1", "secret")
	dc, lc := pair(t, patience)
	d := &tap{Conn: dc, flip: -1}
	if r := shake(a, b, d, lc, "b", admitAll); r.dialerErr != nil || r.listenerErr != nil {
		t.Fatalf("first: dialer %v, listener %v", r.dialerErr, r.listenerErr)
	}
	again, l := pair(t, patience)
	defer again.Close()
	defer l.Close()
	if _, err := again.Write(d.sent.Bytes()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.accept(l, admitAll); !errors.Is(err, ErrWrongSecret) {
		t.Errorf("replay: want ErrWrongSecret, got %v", err)
	}
}

// A listener that only sends back what it hears knows nothing.
func TestReflectedHandshakeFails(t *testing.T) {
	t.Parallel()
	d, l := pair(t, patience)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(l, l)
		l.Close()
	}()
	_, err := newParty(t, "a", "", "secret").dial(d, kindRaft, "")
	d.Close()
	<-done
	if err == nil {
		t.Error("the dialer takes its own words for an answer")
	}
}

// Nobody learns a proof by presenting somebody else's identity: the proof for one role does not serve in the other.
func TestProofsDiffer(t *testing.T) {
	t.Parallel()
	p := newParty(t, "a", "", "secret")
	seen := map[string]string{}
	for _, role := range []string{roleDialer, roleListener, roleFinal} {
		for _, c := range []code{codeOK, codeSelf, codeNotReady} {
			for _, tr := range []transcript{{}, {1}} {
				proof := string(p.proof(role, c, tr))
				if other, ok := seen[proof]; ok {
					t.Errorf("%s %d has the proof of %s", role, c, other)
				}
				seen[proof] = role
			}
		}
	}
}

// The handshake has a length: what follows it belongs to the stream, even if it comes in the same segment.
func TestHandshakeReadsNoByteTooMany(t *testing.T) {
	t.Parallel()
	d, l := pair(t, patience)
	defer d.Close()
	defer l.Close()
	a, b := newParty(t, "a", "", "s"), newParty(t, "b", "", "s")
	sent := make(chan error, 1)
	go func() {
		_, err := a.dial(d, kindRaft, "")
		if err == nil {
			_, err = d.Write([]byte("first"))
		}
		sent <- err
	}()
	if _, _, err := b.accept(l, admitAll); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(l, got); err != nil || string(got) != "first" {
		t.Errorf("after the handshake: %q, %v", got, err)
	}
}

// rw gives a handshake everything at once and takes what it says.
type rw struct {
	io.Reader
	io.Writer
}

func FuzzHandshake(f *testing.F) {
	a := newParty(f, "a", "c1", "")
	_, hello := a.say(kindGRPC, "b")
	f.Add(hello)
	f.Add(refusal(codeVersion, versions{1, 2}))
	f.Add(append(bytes.Clone(hello), message(typeProof, make([]byte, 32))...))
	f.Add([]byte("BRKD\x01\xff\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newParty(t, "b", "c1", "secret")
		if _, _, err := b.accept(rw{bytes.NewReader(in), io.Discard}, admitAll); err == nil {
			t.Error("the listener is content")
		}
		if _, err := b.dial(rw{bytes.NewReader(in), io.Discard}, kindRaft, ""); err == nil {
			t.Error("the dialer is content")
		}
		typ, payload, err := readMessage(bytes.NewReader(in))
		if err != nil || typ != typeHello {
			return
		}
		h, err := decodeHello(payload)
		if err != nil {
			if !errors.Is(err, ErrHandshake) {
				t.Errorf("error without kind: %v", err)
			}
			return
		}
		// What was understood is said in the same bytes, but for unknown flags and what is appended.
		again := h.encode()
		payload = bytes.Clone(payload)
		payload[9] &= flagSecret
		if !bytes.HasPrefix(payload, again) {
			t.Errorf("%x became %x", payload, again)
		}
	})
}
