package server

import (
	"fmt"
	"math"

	"github.com/brokerd/brokerd/amqp/wire"
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
	priority, err := consumerPriority(m.Arguments, fmt.Sprintf("queue '%s' in vhost '%s'", name, ch.conn.vhost))
	if err != nil {
		return err
	}
	_, err = ch.del.consume(h, name, m, priority)
	return err
}

// consumerPriority checks the arguments of basic.consume and returns x-priority, 0 if it is not there. Arguments that belong to
// other types of queues are refused, unknown ones ignored.
func consumerPriority(args wire.Table, queue string) (int32, error) {
	var priority int32
	for _, f := range args {
		switch f.Name {
		case "x-priority":
			if !f.Value.IsInteger() {
				return 0, wire.Errorf(wire.PreconditionFailed, "invalid arg '%s' for %s: \"expected integer, got %s\"",
					f.Name, queue, f.Value.Kind)
			}
			priority = int32(min(max(f.Value.Int, math.MinInt32), math.MaxInt32))
		case "x-cancel-on-ha-failover":
			if f.Value.Kind != wire.KindBool {
				return 0, wire.Errorf(wire.PreconditionFailed, "invalid arg '%s' for %s: {unacceptable_type,%s}",
					f.Name, queue, f.Value.Kind)
			}
		case "x-stream-offset", "x-stream-filter", "x-stream-match-unfiltered":
			return 0, wire.Errorf(wire.PreconditionFailed, "invalid arg '%s' for %s of queue type rabbit_classic_queue",
				f.Name, queue)
		}
	}
	return priority, nil
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
