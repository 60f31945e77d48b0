package server

import (
	"strings"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// lineBreaks removes what RabbitMQ removes from the names of queues and exchanges.
var lineBreaks = strings.NewReplacer("\r", "", "\n", "")

func cleanName(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		return lineBreaks.Replace(s)
	}
	return s
}

// queueName returns the queue that a method means: an empty name stands for the one declared last on the channel.
func (ch *channel) queueName(name string) (string, error) {
	if name != "" {
		return cleanName(name), nil
	}
	if ch.lastQueue == "" {
		return "", wire.Errorf(wire.NotFound, "no previously declared queue")
	}
	return ch.lastQueue, nil
}

// reply sends m unless the client asked for no answer.
func (ch *channel) reply(noWait bool, m wire.Method) {
	if !noWait {
		ch.send(m)
	}
}

func (ch *channel) exchangeDeclare(m *wire.ExchangeDeclare) error {
	err := ch.conn.access.DeclareExchange(cluster.ExchangeSpec{
		Name: cleanName(m.Exchange), Type: m.Type,
		Passive: m.Passive, Durable: m.Durable, AutoDelete: m.AutoDelete, Internal: m.Internal,
		Arguments: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeDeclareOk{})
	return nil
}

func (ch *channel) exchangeDelete(m *wire.ExchangeDelete) error {
	if err := ch.conn.access.DeleteExchange(cleanName(m.Exchange), m.IfUnused); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeDeleteOk{})
	return nil
}

func (ch *channel) exchangeBind(m *wire.ExchangeBind) error {
	if err := ch.conn.access.BindExchange(cluster.BindingSpec{
		Source: cleanName(m.Source), Destination: cleanName(m.Destination), RoutingKey: m.RoutingKey, Arguments: m.Arguments,
	}); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeBindOk{})
	return nil
}

func (ch *channel) exchangeUnbind(m *wire.ExchangeUnbind) error {
	if err := ch.conn.access.UnbindExchange(cluster.BindingSpec{
		Source: cleanName(m.Source), Destination: cleanName(m.Destination), RoutingKey: m.RoutingKey, Arguments: m.Arguments,
	}); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.ExchangeUnbindOk{})
	return nil
}

func (ch *channel) queueDeclare(m *wire.QueueDeclare) error {
	name := cleanName(m.Queue)
	if isReplyQueue(name) {
		return ch.declareReplies(name, m.NoWait)
	}
	info, err := ch.conn.access.DeclareQueue(cluster.QueueSpec{
		Name:    name,
		Passive: m.Passive, Durable: m.Durable, Exclusive: m.Exclusive, AutoDelete: m.AutoDelete,
		Arguments: m.Arguments,
	})
	if err != nil {
		return err
	}
	ch.conn.srv.stats.queuesDeclared.Add(1)
	ch.lastQueue = info.Name
	ch.reply(m.NoWait, &wire.QueueDeclareOk{
		Queue: info.Name, MessageCount: uint32(info.Messages), ConsumerCount: uint32(info.Consumers),
	})
	return nil
}

func (ch *channel) queueBind(m *wire.QueueBind) error {
	b, err := ch.queueBinding(m.Queue, m.Exchange, m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	if err := ch.conn.access.BindQueue(b); err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.QueueBindOk{})
	return nil
}

func (ch *channel) queueUnbind(m *wire.QueueUnbind) error {
	b, err := ch.queueBinding(m.Queue, m.Exchange, m.RoutingKey, m.Arguments)
	if err != nil {
		return err
	}
	if err := ch.conn.access.UnbindQueue(b); err != nil {
		return err
	}
	ch.send(&wire.QueueUnbindOk{})
	return nil
}

// queueBinding resolves the names of queue.bind and queue.unbind. Without queue and routing key the last declared queue's name
// is both.
func (ch *channel) queueBinding(queue, exchange, routingKey string, args wire.Table) (cluster.BindingSpec, error) {
	name, err := ch.queueName(queue)
	if err != nil {
		return cluster.BindingSpec{}, err
	}
	if queue == "" && routingKey == "" {
		routingKey = name
	}
	return cluster.BindingSpec{Source: cleanName(exchange), Destination: name, RoutingKey: routingKey, Arguments: args}, nil
}

func (ch *channel) queuePurge(m *wire.QueuePurge) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	n, err := ch.conn.access.PurgeQueue(name)
	if err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.QueuePurgeOk{MessageCount: uint32(n)})
	return nil
}

func (ch *channel) queueDelete(m *wire.QueueDelete) error {
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return err
	}
	ch.del.hold() // basic.cancel for our own consumers comes after delete-ok
	defer ch.del.resume()
	n, err := ch.conn.access.DeleteQueue(name, m.IfUnused, m.IfEmpty)
	if err != nil {
		return err
	}
	ch.reply(m.NoWait, &wire.QueueDeleteOk{MessageCount: uint32(n)})
	return nil
}

func (ch *channel) channelFlow(m *wire.ChannelFlow) error {
	if !m.Active {
		return wire.Errorf(wire.NotImplemented, "active=false")
	}
	ch.send(&wire.ChannelFlowOk{Active: true})
	return nil
}

func (ch *channel) confirmSelect(m *wire.ConfirmSelect) error {
	switch ch.mode {
	case modeTx:
		return wire.Errorf(wire.PreconditionFailed, "cannot switch from tx to confirm mode")
	case modePlain:
		// What was published before has no sequence number.
		ch.flush()
		ch.mode = modeConfirm
		ch.pub.selectConfirm()
	}
	ch.reply(m.NoWait, &wire.ConfirmSelectOk{})
	return nil
}

func (ch *channel) txSelect() error {
	switch ch.mode {
	case modeConfirm:
		return wire.Errorf(wire.PreconditionFailed, "cannot switch from confirm to tx mode")
	case modePlain:
		// What was published and settled before is not part of the transaction.
		ch.flush()
		ch.mode = modeTx
		ch.pub.selectTx()
	}
	ch.send(&wire.TxSelectOk{})
	return nil
}

var errNotTransactional = wire.Errorf(wire.PreconditionFailed, "channel is not transactional")

func (ch *channel) txCommit() error {
	if ch.mode != modeTx {
		return errNotTransactional
	}
	done := make(chan error, 1)
	ch.pub.commit(func(err error) { done <- err })
	select {
	case err := <-done:
		if err != nil {
			return err
		}
	case <-ch.conn.interrupt:
		return nil // nobody is left to be told
	}
	ch.send(&wire.TxCommitOk{})
	return nil
}

func (ch *channel) txRollback() error {
	if ch.mode != modeTx {
		return errNotTransactional
	}
	ch.pub.rollback()
	ch.send(&wire.TxRollbackOk{})
	return nil
}
