package server

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// Server accepts AMQP connections and serves them. All methods are safe for concurrent use.
type Server struct {
	opts    *Options
	broker  Broker
	log     *slog.Logger
	alarm   atomic.Pointer[alarm] // nil: none
	replies *replies
	claims  claims
	tracers atomic.Pointer[[]*Tracer] // nil: none; the list does not change
	stats   stats

	nextID atomic.Uint64
	open   atomic.Int64  // connections that count against MaxConnections
	ended  atomic.Uint64 // connections that have given back what they held

	mu         sync.Mutex
	listeners  []listener
	conns      map[*conn]struct{}
	handshakes int                     // of conns
	ending     map[*conn]chan struct{} // connections that give back what they hold; closed when they have
	stopping   bool
	refusing   bool           // new connections, see Refuse
	running    sync.WaitGroup // accept loops and connections; added to under mu while not stopping
}

// alarm is a shortage during which publishers are blocked.
type alarm struct {
	reason  string
	cleared chan struct{}
}

// New returns a server for broker. It fails on options out of range.
func New(o Options, broker Broker, log *slog.Logger) (*Server, error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{opts: opts, broker: broker, log: log, conns: make(map[*conn]struct{}),
		ending: make(map[*conn]chan struct{}), replies: newReplies(opts.NodeID, opts.SendReply)}, nil
}

// Shutdown stops accepting, closes all connections with 320 "broker forced connection closure with reason '<reason>'" and waits
// until clients have confirmed that. When ctx is done it drops the connections that are left, and returns ctx's error. Channels
// are closed properly in either case. Calling it again is harmless.
func (s *Server) Shutdown(ctx context.Context, reason string) error {
	s.mu.Lock()
	s.stopping = true
	for _, l := range s.listeners {
		_ = l.Close()
	}
	s.mu.Unlock()
	s.forceClose(wire.Errorf(wire.ConnectionForced, "broker forced connection closure with reason '%s'", reason),
		func(*conn) bool { return true })
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	for c := range s.conns {
		c.abort()
	}
	s.mu.Unlock()
	<-done
	return context.Cause(ctx)
}

// CloseConnections closes the connections that match with 320 and the given explanation, such as "vhost 'v' is deleted". It
// does not wait for them to end; it returns how many there are. match must not call the server.
func (s *Server) CloseConnections(explanation string, match func(Connection) bool) int {
	return s.forceClose(wire.Errorf(wire.ConnectionForced, "%s", explanation), func(c *conn) bool { return match(c.describe()) })
}

// Refuse has new connections closed at once, because the node is being drained, or accepted again. Open ones are not affected, those
// in their handshake are.
func (s *Server) Refuse(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusing = refuse
	for c := range s.conns {
		c.mu.Lock()
		shaking := !c.isOpen && c.cause == nil
		c.mu.Unlock()
		if refuse && shaking {
			c.abort()
		}
	}
}

func (s *Server) forceClose(e *wire.Error, match func(*conn) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.conns {
		open := c.ready()
		switch {
		case open && match(c):
			n++
			c.fail(e)
		case !open && s.stopping:
			c.abort() // not open yet, or on its way out
		}
	}
	return n
}

// Blocked raises an alarm, or changes the reason of the one that is raised: connections are not read any more as soon as they
// publish, and those that understand it are told the reason ("low on memory"). Others are not affected.
func (s *Server) Blocked(reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &alarm{reason: reason}
	if old := s.alarm.Load(); old != nil {
		next.cleared = old.cleared
	} else {
		next.cleared = make(chan struct{})
		s.log.Warn("publishers are blocked", "reason", reason)
	}
	s.alarm.Store(next)
}

// Unblocked ends the alarm.
func (s *Server) Unblocked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.alarm.Swap(nil); old != nil {
		close(old.cleared)
		s.log.Info("publishers are not blocked any more")
	}
}

// Connection describes an open connection.
type Connection struct {
	ID            uint64
	Peer          string // address of the client, as a trusted proxy has announced it if there is one
	Local         string // address that the client has connected to
	User, VHost   string
	Mechanism     string // of the login
	TLSVersion    string // such as "TLS 1.3"; empty: plain
	TLSCipher     string
	Certificate   string // subject of the client's certificate, empty without
	Name          string // as the client calls it, may be empty
	Channels      int    // open
	Since         time.Time
	FrameMax      uint32
	Heartbeat     time.Duration
	BlockedByNode bool // publishing is blocked by an alarm
}

// Title names the connection to people as RabbitMQ does: both addresses.
func (c Connection) Title() string { return c.Peer + " -> " + c.Local }

// Connections returns the open connections in no particular order.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Connection, 0, len(s.conns))
	for c := range s.conns {
		if c.ready() {
			list = append(list, c.describe())
		}
	}
	return list
}

// ready reports whether the handshake is complete and the connection is not ending.
func (c *conn) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isOpen && c.cause == nil
}

// describe must only be called when ready has returned true.
func (c *conn) describe() Connection {
	d := Connection{
		ID: c.id, Peer: c.peer.String(), Local: c.local.String(), Mechanism: c.mechanism, User: c.user.Name, VHost: c.vhost, Name: c.name,
		Channels: int(c.openChannels.Load()), Since: c.born, FrameMax: c.frameMax, Heartbeat: c.heartbeat,
		BlockedByNode: c.blocked.Load(), Certificate: c.session.subject(),
	}
	if c.session != nil {
		d.TLSVersion, d.TLSCipher = c.session.version, c.session.cipher
	}
	return d
}

// admit counts a connection that is about to be opened, unless there are too many.
func (s *Server) admit() bool {
	if n := s.open.Add(1); s.opts.MaxConnections > 0 && n > int64(s.opts.MaxConnections) {
		s.open.Add(-1)
		return false
	}
	return true
}

// shook notes that a handshake has ended, well or not.
func (s *Server) shook() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handshakes--
}

// closing notes that c begins to give back what it holds.
func (s *Server) closing(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ending[c] = make(chan struct{})
}

// closed is the counterpart of admit and closing: c holds nothing any more, though it may still be waiting for its client.
func (s *Server) closed(c *conn) {
	if c.counted {
		c.counted = false
		s.open.Add(-1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ending[c])
	delete(s.ending, c)
	s.ended.Add(1)
}

// waitForEnding waits, but not long, for the connections that are giving back what they hold now. It returns false if there
// are none and nothing has changed since ended had the given value.
func (s *Server) waitForEnding(ended uint64, interrupt <-chan struct{}) bool {
	s.mu.Lock()
	list := slices.Collect(maps.Values(s.ending))
	changed := s.ended.Load() != ended
	s.mu.Unlock()
	limit := time.NewTimer(endingWait)
	defer limit.Stop()
	for _, done := range list {
		select {
		case <-done:
		case <-limit.C:
			return true
		case <-interrupt:
			return true
		}
	}
	return changed || len(list) > 0
}

// endingWait bounds waitForEnding. A client that lost its connection and comes back at once is worth this much patience.
const endingWait = 2 * time.Second
