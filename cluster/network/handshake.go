package network

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// party is one side of a handshake. It is not changed by it.
type party struct {
	id       Identity
	versions versions
	secret   bool
	key      []byte // from the secret; of the empty one if there is none
	binding  []byte // names the TLS session; nil without TLS
}

// deriveKey makes the key of the proofs out of the shared secret, so that the secret's bytes are used for nothing else.
func deriveKey(secret []byte) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, nil, "brokerd cluster handshake 1", sha256.Size)
}

// transcript is what both sides have said: the messages as they went over the wire, and the TLS session below.
type transcript [sha256.Size]byte

// newTranscript needs no lengths between its parts: messages carry theirs, and the binding has always the same.
func newTranscript(dialer, listener, binding []byte) transcript {
	h := sha256.New()
	h.Write(dialer)
	h.Write(listener)
	h.Write(binding)
	return transcript(h.Sum(nil))
}

// The roles that a proof is for. They keep a proof from being sent back to its maker.
const (
	roleDialer   = "brokerd dialer proof"
	roleListener = "brokerd listener verdict"
	roleFinal    = "brokerd dialer final"
)

// proof shows that its maker knows the key, means this handshake, and says c.
func (p *party) proof(role string, c code, t transcript) []byte {
	m := hmac.New(sha256.New, p.key)
	m.Write([]byte(role))
	m.Write([]byte{0, byte(c)})
	m.Write(t[:])
	return m.Sum(nil)
}

// say returns the hello of this side with a fresh nonce.
func (p *party) say(k kind, want string) (*hello, []byte) {
	h := &hello{versions: p.versions, kind: k, secret: p.secret, id: p.id, want: want}
	_, _ = rand.Read(h.nonce[:]) // never fails
	return h, message(typeHello, h.encode())
}

// dial is the handshake of the side that made the connection: it asks for a stream of kind k from the node want ("" for any).
// It returns who the other side is. With ErrForeignCluster, ErrWrongNode, ErrSelf, ErrNotReady and ErrBusy, the identity is
// there and proven, too.
func (p *party) dial(rw io.ReadWriter, k kind, want string) (Identity, error) {
	mine, sent := p.say(k, want)
	if _, err := rw.Write(sent); err != nil {
		return Identity{}, err
	}
	theirs, received, err := p.hear(rw)
	if err != nil {
		return Identity{}, err
	}
	t := newTranscript(sent, received, p.binding)
	if _, err := rw.Write(message(typeProof, p.proof(roleDialer, codeOK, t))); err != nil {
		return Identity{}, err
	}
	verdict, err := p.verify(rw, typeVerdict, roleListener, t, theirs)
	if err != nil {
		return Identity{}, err
	}
	own := judge(p.id, theirs.id, want)
	if _, err := rw.Write(message(typeFinal, p.statement(roleFinal, own, t))); err != nil {
		return Identity{}, err
	}
	if own == codeOK {
		own = verdict
	}
	return theirs.id, p.explain(own, theirs, mine.want, k)
}

// accept is the handshake of the side that was called. It asks admit whether the kind of stream can be had: codeOK, codeNotReady
// or codeBusy. It returns who called, and what for. As with dial, the identity is there with some errors, too.
func (p *party) accept(rw io.ReadWriter, admit func(kind) code) (Identity, kind, error) {
	theirs, received, err := p.hear(rw)
	if err != nil {
		return Identity{}, 0, err
	}
	_, sent := p.say(theirs.kind, "")
	if _, err := rw.Write(sent); err != nil {
		return Identity{}, 0, err
	}
	t := newTranscript(received, sent, p.binding)
	if _, err := p.verify(rw, typeProof, roleDialer, t, theirs); err != nil {
		return Identity{}, 0, err
	}
	own := judge(theirs.id, p.id, theirs.want)
	if own == codeOK {
		own = admit(theirs.kind)
	}
	if _, err := rw.Write(message(typeVerdict, p.statement(roleListener, own, t))); err != nil {
		return Identity{}, 0, err
	}
	final, err := p.verify(rw, typeFinal, roleFinal, t, theirs)
	if err != nil {
		return Identity{}, 0, err
	}
	if own == codeOK {
		own = final
	}
	switch own {
	case codeNotReady:
		return theirs.id, theirs.kind, fmt.Errorf("%w: node %s asked for a stream of %s", ErrNotReady, theirs.id.label(), theirs.kind)
	case codeBusy:
		return theirs.id, theirs.kind, fmt.Errorf("%w: node %s asked for one more", ErrBusy, theirs.id.label())
	}
	return theirs.id, theirs.kind, p.explain(own, theirs, theirs.want, theirs.kind)
}

// judge says what a dialer that wants to reach a certain node and the listener make of each other, so that both sides come to
// the same.
func judge(dialer, listener Identity, want string) code {
	switch {
	case dialer.Node == listener.Node:
		return codeSelf
	case dialer.Cluster != "" && listener.Cluster != "" && dialer.Cluster != listener.Cluster:
		return codeForeignCluster
	case want != "" && want != listener.Node:
		return codeWrongNode
	}
	return codeOK
}

// hear reads the hello of the other side and finds out whether there is a common protocol.
func (p *party) hear(rw io.ReadWriter) (*hello, []byte, error) {
	payload, err := p.expect(rw, typeHello, nil)
	if err != nil {
		return nil, nil, err
	}
	v, err := decodeVersions(payload)
	if err != nil {
		return nil, nil, err
	}
	if !v.overlaps(p.versions) {
		err := p.incompatible(v)
		if _, werr := rw.Write(refusal(codeVersion, p.versions)); werr != nil {
			err = errors.Join(err, werr)
		}
		return nil, nil, err
	}
	h, err := decodeHello(payload)
	if err != nil {
		return nil, nil, err
	}
	return h, message(typeHello, payload), nil
}

// statement is a code with its proof.
func (p *party) statement(role string, c code, t transcript) []byte {
	return append([]byte{byte(c)}, p.proof(role, c, t)...)
}

// verify reads a message that ends with a proof, and returns what it says. A wrong proof is told to the other side: it knows
// best what it has sent.
func (p *party) verify(rw io.ReadWriter, typ byte, role string, t transcript, theirs *hello) (code, error) {
	payload, err := p.expect(rw, typ, theirs)
	if err != nil {
		return 0, err
	}
	c := codeOK
	if typ != typeProof && len(payload) > 0 {
		c, payload = code(payload[0]), payload[1:]
	}
	if hmac.Equal(payload, p.proof(role, c, t)) {
		return c, nil
	}
	err = p.explain(codeSecret, theirs, "", 0)
	if _, werr := rw.Write(refusal(codeSecret, p.versions)); werr != nil {
		err = errors.Join(err, werr)
	}
	return 0, err
}

// expect reads a message of the given type. A refusal in its place is turned into its error; theirs is nil as long as the other
// side has not said who it is.
func (p *party) expect(r io.Reader, typ byte, theirs *hello) ([]byte, error) {
	got, payload, err := readMessage(r)
	if err != nil {
		return nil, err
	}
	if got == typ {
		return payload, nil
	}
	if got != typeRefusal {
		return nil, fmt.Errorf("%w: a message of type %d instead of %d", ErrHandshake, got, typ)
	}
	c, v, err := decodeRefusal(payload)
	if err != nil {
		return nil, err
	}
	switch c {
	case codeVersion:
		return nil, p.incompatible(v)
	case codeTLSRequired:
		return nil, fmt.Errorf("%w: the other node requires TLS: set cluster.tls here, too", ErrTLS)
	case codeTLSMissing:
		return nil, fmt.Errorf("%w: the other node has no cluster.tls: set it there, too", ErrTLS)
	case codeSecret:
		if theirs == nil {
			theirs = &hello{secret: p.secret}
		}
		return nil, p.explain(codeSecret, theirs, "", 0)
	}
	return nil, fmt.Errorf("%w: the other side refused without a known reason (%d)", ErrHandshake, c)
}

func (p *party) incompatible(v versions) error {
	return fmt.Errorf("%w: this node speaks protocol %s, the other one %s: upgrade the older one", ErrVersion, p.versions, v)
}

// explain turns a code into the error that the user reads. nil for codeOK.
func (p *party) explain(c code, theirs *hello, want string, k kind) error {
	switch c {
	case codeOK:
		return nil
	case codeSecret:
		switch {
		case p.secret && !theirs.secret:
			return fmt.Errorf("%w: the other node has no cluster.secret, this one has", ErrWrongSecret)
		case !p.secret && theirs.secret:
			return fmt.Errorf("%w: the other node has a cluster.secret, this one has none", ErrWrongSecret)
		}
		return fmt.Errorf("%w: cluster.secret differs between the two nodes (or somebody changes what they send)", ErrWrongSecret)
	case codeForeignCluster:
		return fmt.Errorf("%w: node %s is in cluster %q, this one in %q", ErrForeignCluster, theirs.id.label(), theirs.id.Cluster, p.id.Cluster)
	case codeWrongNode:
		if theirs.want != "" { // only a dialer wants
			return fmt.Errorf("%w: %s looked for node %s here, this is %s", ErrWrongNode, theirs.id.label(), theirs.want, p.id.label())
		}
		return fmt.Errorf("%w: looked for node %s, found %s", ErrWrongNode, want, theirs.id.label())
	case codeSelf:
		return fmt.Errorf("%w: the other end is node %s too: it is this node, or a copy of its data directory", ErrSelf, theirs.id.Node)
	case codeBusy:
		return fmt.Errorf("%w: node %s takes no more connections at present", ErrBusy, theirs.id.label())
	case codeNotReady:
		return fmt.Errorf("%w: node %s takes no stream of %s at present", ErrNotReady, theirs.id.label(), k)
	}
	return fmt.Errorf("%w: refused with reason %d, which this release does not know", ErrHandshake, c)
}
