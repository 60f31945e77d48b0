package network

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

const (
	raftPool    = 3               // idle connections kept per node: the heartbeat's, the replication's, the vote's
	raftTimeout = 5 * time.Second // for one message to be answered; snapshots have more, by their size
)

// member is the end of this node's Raft transport.
type member struct {
	transport *raft.NetworkTransport
	stream    *raftStream
}

// Transport returns the transport of this node's Raft member. Server addresses are node ids; where the nodes are is looked up
// in the book whenever a connection is made. It is the same until it is closed, which raft.Raft does when it shuts down; then
// the next call makes a new one. While there is none, other members are refused with ErrNotReady.
func (n *Network) Transport() raft.Transport {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.raft != nil {
		return n.raft.transport
	}
	s := &raftStream{network: n, in: newHandover(), conns: map[*conn]struct{}{}}
	m := &member{stream: s, transport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:  s,
		MaxPool: raftPool,
		Timeout: raftTimeout,
		Logger: hclog.New(&hclog.LoggerOptions{
			Name: "raft-net", Level: hclog.Warn, DisableTime: true, Output: debugLog{n.log},
		}),
	})}
	if n.closed {
		s.closed = true
		close(s.in.done)
		return m.transport // every use of it fails
	}
	n.raft = m
	return m.transport
}

// debugLog takes the lines of Raft's transport. What they tell is told by Raft itself or by the links, once and in better words.
type debugLog struct{ log *slog.Logger }

func (d debugLog) Write(b []byte) (int, error) {
	d.log.Debug("raft transport", "line", string(bytes.TrimSpace(b)))
	return len(b), nil
}

// raftStream is the raft.StreamLayer of one transport.
type raftStream struct {
	network *Network
	in      *handover

	mu     sync.Mutex
	closed bool
	conns  map[*conn]struct{} // that this transport made or took
}

// nodeAddr is a node id in the place of an address.
type nodeAddr string

// Network implements net.Addr.
func (nodeAddr) Network() string { return "brokerd" }

// String returns the id.
func (a nodeAddr) String() string { return string(a) }

// Addr returns this node's id.
func (s *raftStream) Addr() net.Addr { return nodeAddr(s.network.options.Node) }

// Accept implements net.Listener.
func (s *raftStream) Accept() (net.Conn, error) {
	c, err := s.in.take()
	if err != nil {
		return nil, err
	}
	return s.keep(c.(*conn)), nil
}

// Dial implements raft.StreamLayer; the address is a node id.
func (s *raftStream) Dial(node raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.network.life, timeout)
	defer cancel()
	c, err := s.network.reach(ctx, string(node), kindRaft)
	if err != nil {
		return nil, err
	}
	return s.keep(c), nil
}

// keep notes a connection, so that it ends with the transport.
func (s *raftStream) keep(c *conn) net.Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.kill() // its user sees it at the first use
		return c
	}
	s.conns[c] = struct{}{}
	return &raftConn{c, s}
}

// raftConn is a connection that leaves its stream when it is closed.
type raftConn struct {
	*conn
	stream *raftStream
}

// Close implements net.Conn.
func (c *raftConn) Close() error {
	c.stream.mu.Lock()
	delete(c.stream.conns, c.conn)
	c.stream.mu.Unlock()
	return c.conn.Close()
}

// Close ends all connections of the transport. The listener of the node stays.
func (s *raftStream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	conns := s.conns
	s.conns = map[*conn]struct{}{}
	s.mu.Unlock()

	n := s.network
	n.mu.Lock()
	if n.raft != nil && n.raft.stream == s {
		n.raft = nil
	}
	n.mu.Unlock()
	close(s.in.done)
	for c := range conns {
		_ = c.kill() // whose end it is anyway
	}
	return nil
}
