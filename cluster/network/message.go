package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Every message of the handshake is: magic, type, length of the payload in two bytes, payload. All numbers are big endian.
const (
	magic      = "BRKD"
	headerSize = len(magic) + 3
	maxPayload = 4096
)

// The types of messages, in the order in which they are sent.
const (
	typeHello   = 1 // both: who I am
	typeProof   = 2 // dialer: proof
	typeVerdict = 3 // listener: what it thinks of the dialer, and its own proof
	typeFinal   = 4 // dialer: what it thinks of the listener, with proof
	typeRefusal = 9 // either, instead of any other message and without proof: why this ends here
)

// code is what one side thinks of the other.
type code byte

const (
	codeOK code = iota
	codeVersion
	codeSecret
	codeTLSRequired // the sender has TLS and the other side began without
	codeTLSMissing  // the sender has no TLS and the other side began with it
	codeBusy
	codeForeignCluster
	codeWrongNode
	codeSelf
	codeNotReady
)

// kind is what a connection is for.
type kind byte

const (
	kindProbe kind = 1 // closed after the handshake
	kindRaft  kind = 2
	kindGRPC  kind = 3
)

func (k kind) String() string {
	switch k {
	case kindProbe:
		return "probe"
	case kindRaft:
		return "raft"
	case kindGRPC:
		return "grpc"
	}
	return fmt.Sprintf("kind %d", byte(k))
}

const nonceSize = 32

// versions is a range of protocols, both ends included.
type versions struct{ min, max uint32 }

func (v versions) String() string {
	if v.min == v.max {
		return fmt.Sprint(v.min)
	}
	return fmt.Sprintf("%d to %d", v.min, v.max)
}

func (v versions) overlaps(w versions) bool { return v.min <= w.max && w.min <= v.max }

// hello is the first message of both sides.
type hello struct {
	versions versions
	kind     kind
	secret   bool // the sender has a secret
	nonce    [nonceSize]byte
	id       Identity
	want     string // dialer: the id of the node that it means to reach, "" for any
}

const flagSecret = 1

// message frames a payload.
func message(typ byte, payload []byte) []byte {
	b := make([]byte, 0, headerSize+len(payload))
	b = append(b, magic...)
	b = append(b, typ)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	return append(b, payload...)
}

// readMessage reads one message; it reads no byte beyond it. The error is ErrHandshake for what is none of ours, otherwise that
// of the connection.
func readMessage(r io.Reader) (typ byte, payload []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	if string(head[:len(magic)]) != magic {
		return 0, nil, fmt.Errorf("%w: the other side is no cluster listener of brokerd, it said %q", ErrHandshake, head[:])
	}
	n := binary.BigEndian.Uint16(head[len(magic)+1:])
	if n > maxPayload {
		return 0, nil, fmt.Errorf("%w: a message of %d bytes, more than %d", ErrHandshake, n, maxPayload)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return head[len(magic)], payload, nil
}

// encode returns the payload. The identity must have passed check.
func (h *hello) encode() []byte {
	b := make([]byte, 0, 256)
	b = binary.BigEndian.AppendUint32(b, h.versions.min)
	b = binary.BigEndian.AppendUint32(b, h.versions.max)
	flags := byte(0)
	if h.secret {
		flags |= flagSecret
	}
	b = append(b, byte(h.kind), flags)
	b = append(b, h.nonce[:]...)
	for _, s := range []string{h.id.Node, h.id.Name, h.id.Cluster, h.id.Address, h.id.Release, h.want} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return b
}

// decodeVersions reads the range that begins a hello in every version of the protocol.
func decodeVersions(payload []byte) (versions, error) {
	if len(payload) < 8 {
		return versions{}, fmt.Errorf("%w: a hello of %d bytes", ErrHandshake, len(payload))
	}
	v := versions{binary.BigEndian.Uint32(payload), binary.BigEndian.Uint32(payload[4:])}
	if v.min > v.max {
		return v, fmt.Errorf("%w: protocols from %d to %d", ErrHandshake, v.min, v.max)
	}
	return v, nil
}

// decodeHello reads a whole hello. Bytes at the end that a later version may have added are ignored.
func decodeHello(payload []byte) (*hello, error) {
	v, err := decodeVersions(payload)
	if err != nil {
		return nil, err
	}
	const fixed = 8 + 2 + nonceSize
	if len(payload) < fixed {
		return nil, fmt.Errorf("%w: a hello of %d bytes", ErrHandshake, len(payload))
	}
	h := &hello{versions: v, kind: kind(payload[8]), secret: payload[9]&flagSecret != 0}
	copy(h.nonce[:], payload[10:])
	rest := payload[fixed:]
	for _, s := range []*string{&h.id.Node, &h.id.Name, &h.id.Cluster, &h.id.Address, &h.id.Release, &h.want} {
		if len(rest) == 0 || len(rest)-1 < int(rest[0]) {
			return nil, fmt.Errorf("%w: a hello that is cut off", ErrHandshake)
		}
		n := 1 + int(rest[0])
		*s, rest = string(rest[1:n]), rest[n:]
	}
	h.id.Protocol = v.max
	if err := h.id.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	if err := checkText("id of the wanted node", h.want, maxID); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandshake, err)
	}
	return h, nil
}

// refusal returns the message that ends a handshake without proof.
func refusal(c code, own versions) []byte {
	b := []byte{byte(c)}
	b = binary.BigEndian.AppendUint32(b, own.min)
	b = binary.BigEndian.AppendUint32(b, own.max)
	return message(typeRefusal, b)
}

// decodeRefusal reads a refusal; unknown codes are for the caller.
func decodeRefusal(payload []byte) (code, versions, error) {
	if len(payload) < 1 {
		return 0, versions{}, fmt.Errorf("%w: a refusal without reason", ErrHandshake)
	}
	v, err := decodeVersions(payload[1:])
	return code(payload[0]), v, err
}
