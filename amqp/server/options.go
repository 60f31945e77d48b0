package server

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Options configures a Server. The zero value of a field stands for its default.
type Options struct {
	// Product and Version go into the server properties. Some clients look at them: kombu changes its use of basic.qos unless the
	// product is RabbitMQ, and several tools parse the version as three numbers. Defaults: RabbitMQ, 4.1.0.
	Product, Version string
	// Release names this program and its version in the platform property. Default: brokerd.
	Release string
	// NodeID names this node in the cluster, at most 128 bytes. It is part of the names of reply consumers and of what the firehose
	// tells. Default: the value of Release.
	NodeID string
	// SendReply hands a message for a consumer of direct replies to the node that the consumer's name tells, and says whether that
	// can be reached. It must not wait, nor keep the slices. nil: there are no other nodes.
	SendReply func(node, vhost string, name, record, tail []byte) bool
	// ChannelMax is the number of channels a connection may have open, 1 to 65535. Default: 2047.
	ChannelMax uint16
	// FrameMax is the largest frame in bytes, overhead included, at least 4096. Default: 131072.
	FrameMax uint32
	// Heartbeat is the interval that is proposed to clients, in whole seconds, at most 65535. The client's answer counts; negative
	// proposes none. Default: 60 s.
	Heartbeat time.Duration
	// HandshakeTimeout bounds the time from accept to connection.open. Default: 10 s.
	HandshakeTimeout time.Duration
	// LoginDelay is how long a connection that failed to log in is kept before it is closed, so that guessing is slow.
	// Default: 3 s.
	LoginDelay time.Duration
	// CloseTimeout bounds the wait for the client's part of closing the connection; the heartbeat interval does, too, when it is
	// shorter. Default: 30 s.
	CloseTimeout time.Duration
	// ConsumerTimeout is how long a client may take to acknowledge a delivery before its channel is closed; negative for no limit.
	// It is checked every tenth of it, or every minute. Consumers, queues and policies may say otherwise. Default: 30 min.
	ConsumerTimeout time.Duration
	// MaxConnections bounds the open connections, 0 for no limit.
	MaxConnections int
	// MaxHandshakes bounds the connections that are not open yet; more are closed at once. Default: 4096.
	MaxHandshakes int
	// MaxMessageSize bounds the body of a message in bytes, at most 512 MiB. Default: 16 MiB.
	MaxMessageSize int64
	// OutboxBytes is how much may wait to be written to one connection before its consumers are held back. Default: 1 MiB.
	OutboxBytes int
	// InflightBytes is how much one connection may have published that queues have not taken over yet. Default: 16 MiB.
	InflightBytes int
	// UserFrom says which name in a client's certificate is its user for SASL EXTERNAL. Default: the common name.
	UserFrom UserFrom
	// ProxyTrusted are the addresses of proxies. Connections from there must begin with a header of the PROXY protocol, version 1
	// or 2, and count as coming from the address in it.
	ProxyTrusted []netip.Prefix
	// TCP tunes accepted sockets.
	TCP TCPOptions
}

// TCPOptions tunes sockets. The zero value of a field stands for its default.
type TCPOptions struct {
	// Delay leaves Nagle's algorithm on; the default is TCP_NODELAY.
	Delay bool
	// ReceiveBuffer and SendBuffer are SO_RCVBUF and SO_SNDBUF in bytes; negative leaves the system's own sizes. Default: 256 KiB.
	ReceiveBuffer, SendBuffer int
	// KeepAlive is the idle time before the first keepalive probe and between probes; negative turns them off. Default: 30 s.
	KeepAlive time.Duration
}

// maxNodeID is the most bytes of Options.NodeID, so that the name of a reply consumer is no longer than a routing key can be.
const maxNodeID = 128

// maxMessageSizeCap is the largest value of Options.MaxMessageSize.
const maxMessageSizeCap = 512 << 20

func (o Options) withDefaults() (*Options, error) {
	setDefault(&o.Product, "RabbitMQ")
	setDefault(&o.Version, "4.1.0")
	setDefault(&o.Release, "brokerd")
	setDefault(&o.NodeID, o.Release)
	setDefault(&o.ChannelMax, 2047)
	setDefault(&o.FrameMax, 131072)
	setDefault(&o.Heartbeat, 60*time.Second)
	setDefault(&o.HandshakeTimeout, 10*time.Second)
	setDefault(&o.LoginDelay, 3*time.Second)
	setDefault(&o.CloseTimeout, 30*time.Second)
	setDefault(&o.ConsumerTimeout, 30*time.Minute)
	setDefault(&o.MaxHandshakes, 4096)
	setDefault(&o.MaxMessageSize, 16<<20)
	setDefault(&o.OutboxBytes, 1<<20)
	setDefault(&o.InflightBytes, 16<<20)
	setDefault(&o.UserFrom, UserFromCN)
	setDefault(&o.TCP.ReceiveBuffer, 256<<10)
	setDefault(&o.TCP.SendBuffer, 256<<10)
	setDefault(&o.TCP.KeepAlive, 30*time.Second)
	switch {
	case len(o.NodeID) > maxNodeID:
		return nil, fmt.Errorf("node id of %d bytes is longer than %d", len(o.NodeID), maxNodeID)
	case !slices.Contains([]UserFrom{UserFromCN, UserFromDNS, UserFromEmail, UserFromURI}, o.UserFrom):
		return nil, fmt.Errorf("user from %q is none of cn, dns, email, uri", o.UserFrom)
	case o.FrameMax < wire.FrameMinSize || o.FrameMax > math.MaxInt32:
		return nil, fmt.Errorf("frame max %d is not within %d and %d", o.FrameMax, wire.FrameMinSize, math.MaxInt32)
	case o.Heartbeat > math.MaxUint16*time.Second:
		return nil, fmt.Errorf("heartbeat %v is longer than %d s", o.Heartbeat, math.MaxUint16)
	case o.MaxMessageSize < 0 || o.MaxMessageSize > maxMessageSizeCap:
		return nil, fmt.Errorf("max message size %d is not within 1 and %d", o.MaxMessageSize, maxMessageSizeCap)
	case o.HandshakeTimeout < 0, o.LoginDelay < 0, o.CloseTimeout < 0, o.MaxConnections < 0, o.MaxHandshakes < 0,
		o.OutboxBytes < 0, o.InflightBytes < 0:
		return nil, fmt.Errorf("negative limit in %+v", o)
	}
	return &o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// heartbeatSeconds is the proposal of connection.tune.
func (o *Options) heartbeatSeconds() uint16 {
	if o.Heartbeat < 0 {
		return 0
	}
	return uint16((o.Heartbeat + time.Second - 1) / time.Second)
}

// serverProperties is what connection.start tells clients. A client of protocol 0-8 knows no capabilities.
func (o *Options) serverProperties(clusterName string, capable bool) wire.Table {
	var caps wire.Table
	if capable {
		for _, name := range []string{"publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
			"connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to"} {
			caps = append(caps, wire.Field{Name: name, Value: wire.Bool(true)})
		}
	}
	return wire.Table{
		{Name: "capabilities", Value: wire.TableValue(caps)},
		{Name: "cluster_name", Value: wire.String(clusterName)},
		{Name: "copyright", Value: wire.String("Copyright (c) the brokerd authors")},
		{Name: "information", Value: wire.String("Licensed under the Apache License 2.0")},
		{Name: "platform", Value: wire.String(o.Release + " " + runtime.Version())},
		{Name: "product", Value: wire.String(o.Product)},
		{Name: "version", Value: wire.String(o.Version)},
	}
}

// isLoopback reports whether addr is an address of this machine's loopback, IPv4 mapped into IPv6 included.
func isLoopback(addr net.Addr) bool {
	t, ok := addr.(*net.TCPAddr)
	return ok && t.IP.IsLoopback()
}
