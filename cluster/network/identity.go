package network

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Identity is who a node says it is in a handshake. Node is never empty there.
type Identity struct {
	Node     string // id of the node, made with its data directory; at most 64 bytes
	Name     string // for people; at most 255 bytes
	Cluster  string // id of its cluster, "" while in none; at most 64 bytes
	Address  string // host:port at which its cluster listener is reached; at most 255 bytes
	Release  string // of the software; at most 64 bytes
	Protocol uint32 // highest protocol between nodes that it speaks; two nodes use the lower of theirs
}

// The protocols between nodes that this release speaks. A change that an older node cannot follow raises maxProtocol; what the
// handshake itself looks like never changes but by additions at the end of a message.
const (
	minProtocol = 1
	maxProtocol = 1
)

// Protocol is the newest protocol between nodes that this release speaks.
const Protocol uint32 = maxProtocol

// Bounds of an identity, in bytes.
const (
	maxID      = 64
	maxName    = 255
	maxAddress = 255
	maxRelease = 64
)

// check tells whether the identity can be sent and shown: bounded, printable UTF-8.
func (id Identity) check() error {
	if id.Node == "" {
		return fmt.Errorf("the node id is empty")
	}
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"node id", id.Node, maxID},
		{"node name", id.Name, maxName},
		{"cluster id", id.Cluster, maxID},
		{"address", id.Address, maxAddress},
		{"release", id.Release, maxRelease},
	} {
		if err := checkText(f.name, f.value, f.limit); err != nil {
			return err
		}
	}
	return nil
}

func checkText(name, value string, limit int) error {
	if len(value) > limit {
		return fmt.Errorf("the %s has %d bytes, more than %d", name, len(value), limit)
	}
	if !utf8.ValidString(value) {
		return fmt.Errorf("the %s %q is not UTF-8", name, value)
	}
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("the %s %q has characters that cannot be printed", name, value)
		}
	}
	return nil
}

// label names a node in texts: by name and id, as far as they are known.
func (id Identity) label() string {
	if id.Name == "" || id.Name == id.Node {
		return id.Node
	}
	return fmt.Sprintf("%s (%s)", id.Name, id.Node)
}
