package server

import (
	"sync"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/wire"
)

// maxBacklog is how many bytes of frames a busy channel keeps. When they are used up, the whole connection waits for it.
const maxBacklog = 1 << 20

type channelState uint8

const (
	channelClosed  channelState = iota // only channel.open is allowed
	channelOpen                        //
	channelClosing                     // the server sent channel.close and waits for close-ok
)

// txMode is what confirm.select or tx.select made of a channel.
type txMode uint8

const (
	modePlain txMode = iota
	modeConfirm
	modeTx
)

// channel is the state of one channel number of a connection.
//
// It is owned by one goroutine at a time. The reader owns it as long as busy is false. A method that may wait makes the reader
// set busy and start a goroutine, which owns the channel until it has handled that method and all frames that came meanwhile, and
// then clears busy. Only the reader sets busy, so what it finds false stays false; the goroutine clears it under mu, with nothing
// in backlog, so a frame is either kept while the goroutine is sure to look again, or handled by the reader.
type channel struct {
	conn *conn
	id   uint16

	busy    atomic.Bool
	done    chan struct{} // of the reader: closed when the goroutine of this channel has ended
	room    chan struct{} // signals that backlog was taken
	mu      sync.Mutex
	backlog []byte // whole frames, in order; guarded by mu

	failure atomic.Pointer[wire.Error] // set by fail, until the channel is opened again

	dirty bool // of the reader: listed in conn.dirty

	// The rest is the owner's.
	state     channelState
	mode      txMode
	pub       *publisher
	del       *deliveries
	content   content
	lastQueue string // what an empty queue name stands for
}

func newChannel(c *conn, id uint16) *channel {
	return &channel{conn: c, id: id, room: make(chan struct{}, 1)}
}

// fail closes the channel, or the connection if err is a hard error. It may be called by any goroutine and never waits. Errors
// other than *wire.Error are internal errors.
func (ch *channel) fail(err error) {
	e := ch.conn.internal(err)
	if e.Hard() {
		ch.conn.fail(e)
		return
	}
	if ch.failure.CompareAndSwap(nil, e) {
		ch.conn.ask(ch, true)
	}
}

// start makes the channel busy with a method that may wait, or with closing it because of e. The reader calls it.
func (ch *channel) start(m wire.Method, e *wire.Error) {
	ch.busy.Store(true)
	ch.done = make(chan struct{})
	go ch.run(m, e)
}

// wait returns when the channel is not busy. The reader calls it.
func (ch *channel) wait() {
	if ch.busy.Load() {
		<-ch.done
	}
}

// keep adds a frame to the backlog of a busy channel. It returns false when the channel is not busy any more; then the caller
// owns it. When the backlog is full it waits.
func (ch *channel) keep(frame []byte) bool {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	for ch.busy.Load() && len(ch.backlog) > 0 && len(ch.backlog)+len(frame) > maxBacklog {
		ch.mu.Unlock()
		ch.conn.suspend() // the peer's heartbeats are in the socket and cannot be seen
		select {
		case <-ch.room:
		case <-ch.done:
		}
		ch.conn.resume()
		ch.mu.Lock()
	}
	if !ch.busy.Load() {
		return false
	}
	ch.backlog = append(ch.backlog, frame...)
	return true
}

// run is the goroutine of a busy channel.
func (ch *channel) run(m wire.Method, e *wire.Error) {
	defer close(ch.done)
	if e != nil {
		ch.closeWith(e)
	} else {
		ch.attempt(m)
	}
	var spare []byte
	for {
		ch.flush()
		ch.mu.Lock()
		frames := ch.backlog
		failure := ch.failure.Load()
		if ch.state != channelOpen {
			failure = nil
		}
		if len(frames) == 0 && failure == nil {
			ch.backlog = nil
			closed := ch.state == channelClosed
			ch.busy.Store(false)
			ch.mu.Unlock()
			if closed {
				ch.conn.ask(ch, false)
			}
			return
		}
		ch.backlog = spare[:0]
		ch.mu.Unlock()
		select {
		case ch.room <- struct{}{}:
		default:
		}
		if failure != nil {
			ch.closeWith(failure)
		}
		ch.replay(frames)
		spare = frames
	}
}

// replay handles frames that were kept. They are dropped when the connection is being ended.
func (ch *channel) replay(frames []byte) {
	for len(frames) > 0 && !ch.conn.interrupted() {
		f, n, err := wire.ParseFrame(frames, 0)
		if n == 0 {
			ch.conn.end(err) // cannot be: the reader parsed it before
			return
		}
		frames = frames[n:]
		m, err := ch.frame(f)
		switch {
		case err != nil:
			ch.raise(err)
		case m != nil:
			ch.attempt(m)
		}
	}
}

// attempt executes a method that may wait.
func (ch *channel) attempt(m wire.Method) {
	if ch.conn.interrupted() || ch.state != channelOpen {
		return
	}
	ch.flush() // what was published before must be in its queues
	if ch.failure.Load() != nil || !ch.conn.waitForRoom() {
		return // run closes the channel; or the connection is ending
	}
	ended := ch.conn.srv.ended.Load()
	err := ch.execute(m)
	if isLocked(err) && ch.conn.srv.waitForEnding(ended, ch.conn.interrupt) {
		// A client that lost its connection and is back before its exclusive queues are gone does not have to see that.
		err = ch.execute(m)
	}
	if err != nil {
		ch.raise(named(err, m.Key()))
	}
}

// raise closes the channel or ends the connection. It is called by the channel's goroutine.
func (ch *channel) raise(err error) {
	if e, ok := softError(err); ok {
		ch.closeWith(e)
		return
	}
	ch.conn.end(ch.conn.classify(err))
}

// flush pushes what was published and settled to the queues.
func (ch *channel) flush() {
	if ch.state == channelOpen {
		ch.pub.flush()
		ch.del.flush()
	}
}

// open answers channel.open. The error is that of Access.OpenChannel.
func (ch *channel) open() error {
	if err := ch.conn.access.OpenChannel(); err != nil {
		return err
	}
	ch.failure.Store(nil)
	ch.pub = newPublisher(ch.conn, ch)
	ch.del = newDeliveries(ch.conn, ch)
	ch.mode, ch.lastQueue, ch.content = modePlain, "", content{}
	ch.state = channelOpen
	ch.conn.list(ch)
	ch.conn.openChannels.Add(1)
	ch.conn.srv.stats.channelsOpened.Add(1)
	ch.send(&wire.ChannelOpenOk{})
	return nil
}

// closeWith closes the channel because of an error. What comes from the client is ignored until its close-ok.
func (ch *channel) closeWith(e *wire.Error) {
	if ch.state != channelOpen {
		return
	}
	ch.conn.log.Warn("channel closed", "channel", ch.id, "user", ch.conn.userName(), "vhost", ch.conn.vhost,
		"name", ch.conn.name, "cause", e)
	if f := ch.pub.confirms; f != nil {
		f.stop() // the message that failed is part of the batch that is about to be pushed
	}
	ch.flush()
	ch.end()
	ch.state = channelClosing
	ch.send(&wire.ChannelClose{ReplyCode: e.Code, ReplyText: e.Text, ClassID: e.Method.Class(), MethodID: e.Method.Method()})
}

// closed makes the number free again.
func (ch *channel) closed() {
	ch.state = channelClosed
	ch.conn.openChannels.Add(-1)
	ch.conn.srv.stats.channelsClosed.Add(1)
	ch.conn.access.CloseChannel()
}

// release gives back what the channel holds when its connection ends.
func (ch *channel) release() {
	if ch.state == channelOpen {
		ch.end()
	}
	if ch.state != channelClosed {
		ch.closed()
	}
}

// end drops incomplete and uncommitted work, cancels the consumers and requeues what is not settled. It waits for the queues.
func (ch *channel) end() {
	ch.pub.abort()
	ch.del.close()
	ch.conn.unlist(ch)
	ch.pub, ch.del, ch.lastQueue, ch.content = nil, nil, "", content{}
}

func (ch *channel) send(m wire.Method) { ch.conn.out.sendMethod(ch.id, m) }
