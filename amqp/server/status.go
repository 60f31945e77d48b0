package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// What the server has at the moment, for operators. Looking takes the lock of one connection or channel after the other, each for
// the time of a few loads, and never one that the message path holds for long.

// maxClientProperties bounds the client properties that are kept of a connection, in bytes. Longer ones are not shown.
const maxClientProperties = 4 << 10

// ConnectionState says how an open connection is.
type ConnectionState uint8

const (
	ConnectionRunning ConnectionState = iota // it is read
	ConnectionFlow                           // it is not read, because it publishes faster than queues take, or reads too slowly
	ConnectionBlocked                        // it is not read, because of an alarm
)

// ConnectionStatus is an open connection with its figures.
type ConnectionStatus struct {
	Connection
	State            ConnectionState
	ChannelMax       uint16
	ClientProperties wire.Table // nil if they were too long to keep
	Received, Sent   uint64     // bytes
	// ReceiveRate and SendRate are bytes per second, since the look before if that is a second ago or more.
	ReceiveRate, SendRate float64
	Counts                Counts
}

// ChannelStatus is an open channel with its figures.
type ChannelStatus struct {
	Connection    uint64 // id
	Title         string // of the connection
	User, VHost   string
	Number        uint16
	Consumers     int
	Prefetch      int // of consumers to come, 0 for no limit
	Global        int // prefetch of all consumers together, 0 for no limit
	Unacked       uint64
	Unconfirmed   uint64
	Uncommitted   uint64
	Confirms      bool // confirm mode
	Transactional bool
	Counts        Counts
}

// ConsumerStatus is a consumer with its figures.
type ConsumerStatus struct {
	Connection  uint64 // id
	Title       string // of the connection
	User, VHost string
	Channel     uint16
	Tag, Queue  string
	NoAck       bool
	Exclusive   bool
	Prefetch    int // 0 for no limit
	Priority    int32
	Unacked     uint64
	Delivered   uint64
	Arguments   wire.Table
}

// traffic remembers the figures of a connection at the last look, to tell rates. It is guarded by conn.mu.
type traffic struct {
	at             time.Time
	received, sent uint64
	rates          [2]float64
}

// rate returns bytes per second.
func (t *traffic) rate(now, born time.Time, received, sent uint64) [2]float64 {
	if t.at.IsZero() {
		t.at = born
	}
	if passed := now.Sub(t.at); passed >= time.Second || t.at.Equal(born) && passed > 0 {
		t.rates = [2]float64{float64(received-t.received) / passed.Seconds(), float64(sent-t.sent) / passed.Seconds()}
		t.at, t.received, t.sent = now, received, sent
	}
	return t.rates
}

// openConns returns the connections that are open.
func (s *Server) openConns() []*conn {
	s.mu.Lock()
	all := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	s.mu.Unlock()
	return slices.DeleteFunc(all, func(c *conn) bool { return !c.ready() })
}

// sent returns how many bytes were handed to the socket.
func (o *outbox) sent() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written
}

// ConnectionStatuses returns the open connections for which match returns true, by title.
func (s *Server) ConnectionStatuses(match func(Connection) bool) []ConnectionStatus {
	var list []ConnectionStatus
	now := time.Now()
	for _, c := range s.openConns() {
		d := c.describe()
		if !match(d) {
			continue
		}
		st := ConnectionStatus{Connection: d, ChannelMax: c.channelMax,
			Received: c.received.Load(), Sent: c.out.sent(), Counts: c.counts()}
		switch {
		case c.blocked.Load():
			st.State = ConnectionBlocked
		case c.paused.Load() > 0:
			st.State = ConnectionFlow
		}
		st.ClientProperties, _ = wire.ParseTable(c.properties) // they were parsed before
		c.mu.Lock()
		rates := c.traffic.rate(now, c.born, st.Received, st.Sent)
		c.mu.Unlock()
		st.ReceiveRate, st.SendRate = rates[0], rates[1]
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b ConnectionStatus) int {
		return cmp.Or(strings.Compare(a.Title(), b.Title()), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// channelsOf returns the open channels of a connection.
func (c *conn) channelsOf() []*openChannel {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.listed)
}

// ChannelStatuses returns the open channels of the connections for which match returns true, by title and number.
func (s *Server) ChannelStatuses(match func(Connection) bool) []ChannelStatus {
	var list []ChannelStatus
	for _, c := range s.openConns() {
		if !match(c.describe()) {
			continue
		}
		for _, o := range c.channelsOf() {
			st := ChannelStatus{Connection: c.id, Title: c.title(), User: c.userName(), VHost: c.vhost, Number: o.number, Counts: o.counts()}
			switch txMode(o.figures.mode.Load()) {
			case modeConfirm:
				st.Confirms = true
				st.Unconfirmed = max(o.figures.sequence.Load(), st.Counts.Confirmed) - st.Counts.Confirmed
			case modeTx:
				st.Transactional = true
				st.Uncommitted = o.figures.uncommitted.Load()
			}
			o.del.mu.Lock()
			st.Consumers = len(o.del.consumers)
			if o.del.reply != nil {
				st.Consumers++
			}
			st.Prefetch, st.Global, st.Unacked = o.del.prefetch, o.del.limiter.limit, o.del.tally.unacked
			o.del.mu.Unlock()
			list = append(list, st)
		}
	}
	slices.SortFunc(list, func(a, b ChannelStatus) int {
		return cmp.Or(strings.Compare(a.Title, b.Title), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Number, b.Number))
	})
	return list
}

// ConsumerStatuses returns the consumers on the connections for which match returns true, in no particular order. Those that wait
// for direct replies have no queue and are not among them.
func (s *Server) ConsumerStatuses(match func(Connection) bool) []ConsumerStatus {
	var list []ConsumerStatus
	for _, c := range s.openConns() {
		if !match(c.describe()) {
			continue
		}
		title := c.title()
		for _, o := range c.channelsOf() {
			o.del.mu.Lock()
			for _, k := range o.del.consumers {
				st := ConsumerStatus{Connection: c.id, Title: title, User: c.userName(), VHost: c.vhost, Channel: o.number,
					Tag: k.Tag, Queue: k.queue, NoAck: k.NoAck, Exclusive: k.Exclusive, Prefetch: k.Prefetch, Priority: k.Priority,
					Unacked: k.unacked, Delivered: k.delivered}
				st.Arguments, _ = wire.ParseTable(k.arguments) // they were parsed before
				list = append(list, st)
			}
			o.del.mu.Unlock()
		}
	}
	return list
}

// Consumers returns the number of consumers, without those that wait for direct replies.
func (s *Server) Consumers() (n int) {
	for _, c := range s.openConns() {
		for _, o := range c.channelsOf() {
			o.del.mu.Lock()
			n += len(o.del.consumers)
			o.del.mu.Unlock()
		}
	}
	return n
}
