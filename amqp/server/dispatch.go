package server

import "github.com/brokerd/brokerd/amqp/wire"

// frame handles a frame of this channel. It returns a method that may wait, which the caller must have executed by the channel's
// goroutine. Only the owner calls it.
func (ch *channel) frame(f wire.Frame) (wait wire.Method, err error) {
	if ch.state != channelOpen {
		return nil, ch.frameNotOpen(f)
	}
	switch f.Type {
	case wire.FrameBody:
		return nil, ch.body(f.Payload)
	case wire.FrameHeader:
		return nil, ch.header(f.Payload)
	case wire.FrameMethod:
		return ch.dispatch(f.Payload)
	}
	return nil, unexpectedFrame(f) // a heartbeat
}

// methodIDs is the length of class and method id, which stand before the arguments.
const methodIDs = 4

// dispatch handles a method frame: what cannot wait at once, the rest it decodes and returns. The methods of the hot path come
// first and are not decoded into structs. Acknowledgements are only gathered there; whatever else comes next sees to them first.
func (ch *channel) dispatch(payload []byte) (wait wire.Method, err error) {
	key, ok := wire.ParseMethodKey(payload)
	if !ok {
		return nil, wire.MalformedFrame(wire.FrameMethod, payload, "unknown_frame")
	}
	if ch.content.expect != expectMethod {
		return nil, ch.misplaced()
	}
	switch key {
	case wire.KeyBasicPublish:
		// What follows an acknowledgement that closes the channel is not published.
		if err := ch.del.apply(); err != nil {
			return nil, err
		}
		if err := ch.pub.begin(payload[methodIDs:]); err != nil {
			return nil, named(err, key)
		}
		ch.beginContent(key, nil)
		return nil, nil
	case wire.KeyBasicAck:
		tag, multiple, err := wire.ParseAck(payload[methodIDs:])
		if err == nil {
			err = ch.del.ack(tag, multiple)
		}
		return nil, named(err, key)
	case wire.KeyBasicNack:
		tag, multiple, requeue, err := wire.ParseNack(payload[methodIDs:])
		if err == nil {
			err = ch.del.nack(tag, multiple, requeue)
		}
		return nil, named(err, key)
	case wire.KeyBasicReject:
		tag, requeue, err := wire.ParseReject(payload[methodIDs:])
		if err == nil {
			err = ch.del.reject(tag, requeue)
		}
		return nil, named(err, key)

	case wire.KeyBasicGet, wire.KeyBasicConsume, wire.KeyBasicCancel,
		wire.KeyQueueDeclare, wire.KeyQueueBind, wire.KeyQueueUnbind, wire.KeyQueuePurge, wire.KeyQueueDelete,
		wire.KeyExchangeDeclare, wire.KeyExchangeDelete, wire.KeyExchangeBind, wire.KeyExchangeUnbind,
		wire.KeyTxCommit, wire.KeyTxRollback, wire.KeyChannelClose:
		m, err := parseMethod(payload)
		if err == nil {
			err = ch.del.apply()
		}
		return m, err
	}
	m, err := parseMethod(payload)
	if err == nil {
		err = ch.del.apply()
	}
	if err != nil {
		return nil, err
	}
	if !ch.conn.hasRoom() {
		return m, nil // its answer has to wait, so the channel's goroutine does
	}
	return nil, named(ch.immediate(m), key)
}

// immediate handles the methods outside the hot path that never wait.
func (ch *channel) immediate(m wire.Method) error {
	switch m := m.(type) {
	case *wire.BasicQos:
		return ch.basicQos(m)
	case *wire.BasicRecover:
		return ch.basicRecover(m.Requeue, true)
	case *wire.BasicRecoverAsync:
		return ch.basicRecover(m.Requeue, false)
	case *wire.BasicCancelOk:
		return nil // some clients answer the server's basic.cancel
	case *wire.ConfirmSelect:
		return ch.confirmSelect(m)
	case *wire.TxSelect:
		return ch.txSelect()
	case *wire.ChannelFlow:
		return ch.channelFlow(m)
	case *wire.AccessRequest:
		ch.send(&wire.AccessRequestOk{Ticket: 1})
		return nil
	case *wire.ChannelOpen:
		return wire.Errorf(wire.ChannelError, "second 'channel.open' seen")
	}
	unimplemented := wire.Errorf(wire.CommandInvalid, "unimplemented method").WithMethod(m.Key())
	if m.Key().HasContent() {
		ch.beginContent(m.Key(), unimplemented)
		return nil
	}
	return unimplemented
}

// execute runs a method that may wait, or one whose answer had to, on the channel's goroutine.
func (ch *channel) execute(m wire.Method) error {
	switch m := m.(type) {
	case *wire.BasicGet:
		return ch.basicGet(m)
	case *wire.BasicConsume:
		return ch.basicConsume(m)
	case *wire.BasicCancel:
		ch.del.cancel(m.ConsumerTag, m.NoWait)
		return nil
	case *wire.QueueDeclare:
		return ch.queueDeclare(m)
	case *wire.QueueBind:
		return ch.queueBind(m)
	case *wire.QueueUnbind:
		return ch.queueUnbind(m)
	case *wire.QueuePurge:
		return ch.queuePurge(m)
	case *wire.QueueDelete:
		return ch.queueDelete(m)
	case *wire.ExchangeDeclare:
		return ch.exchangeDeclare(m)
	case *wire.ExchangeDelete:
		return ch.exchangeDelete(m)
	case *wire.ExchangeBind:
		return ch.exchangeBind(m)
	case *wire.ExchangeUnbind:
		return ch.exchangeUnbind(m)
	case *wire.TxCommit:
		return ch.txCommit()
	case *wire.TxRollback:
		return ch.txRollback()
	case *wire.ChannelClose:
		ch.end()
		ch.closed()
		ch.send(&wire.ChannelCloseOk{})
		return nil
	}
	return ch.immediate(m)
}

// frameNotOpen handles a frame of a channel that is not open, or that the server has closed and the client not yet.
func (ch *channel) frameNotOpen(f wire.Frame) error {
	var key wire.MethodKey
	if f.Type == wire.FrameMethod {
		var ok bool
		if key, ok = wire.ParseMethodKey(f.Payload); !ok {
			return wire.MalformedFrame(wire.FrameMethod, f.Payload, "unknown_frame")
		}
	} else if f.Type == wire.FrameHeartbeat {
		return unexpectedFrame(f)
	}
	if ch.state == channelClosing {
		switch key {
		case wire.KeyChannelOpen:
			return wire.Errorf(wire.ChannelError, "second 'channel.open' seen").WithMethod(key)
		case wire.KeyChannelClose:
			ch.send(&wire.ChannelCloseOk{})
		case wire.KeyChannelCloseOk:
			ch.closed()
			ch.conn.ask(ch, false)
		}
		return nil // was sent before the client knew
	}
	if n := ch.conn.openChannels.Load(); n >= int32(ch.conn.channelMax) {
		return wire.Errorf(wire.NotAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)",
			n, ch.conn.channelMax)
	}
	if f.Type != wire.FrameMethod {
		return ch.misplaced()
	}
	if key != wire.KeyChannelOpen {
		if _, err := parseMethod(f.Payload); err != nil {
			return err
		}
		return wire.Errorf(wire.ChannelError, "expected 'channel.open'").WithMethod(key)
	}
	return named(ch.open(), key)
}
