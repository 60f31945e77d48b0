package server

import (
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

func (ch *channel) basicQos(m *wire.BasicQos) error {
	if m.PrefetchSize != 0 {
		return wire.Errorf(wire.NotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	ch.del.qos(m.PrefetchCount, m.Global)
	ch.send(&wire.BasicQosOk{})
	return nil
}

func (ch *channel) basicGet(m *wire.BasicGet) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	h, err := ch.conn.access.QueueForRead(name)
	if err != nil {
		return err
	}
	return ch.del.get(h, name, m.NoAck)
}

func (ch *channel) basicConsume(m *wire.BasicConsume) error {
	if m.Queue == replyQueue {
		return ch.del.consumeReplies(m)
	}
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	h, err := ch.conn.access.QueueForRead(name)
	if err != nil {
		return err
	}
	args, err := cluster.CheckConsumeArguments(name, ch.conn.vhost, m.Arguments)
	if err != nil {
		return err
	}
	_, err = ch.del.consume(h, name, m, args)
	return err
}

func (ch *channel) basicRecover(requeue, reply bool) error {
	if !requeue {
		return wire.Errorf(wire.NotImplemented, "requeue=false")
	}
	if reply {
		// Before any of the messages is delivered again.
		ch.send(&wire.BasicRecoverOk{})
	}
	ch.del.recover()
	return nil
}
