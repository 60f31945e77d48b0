package perf

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// headerKey is the header that a headers exchange routes by.
const headerKey = "key"

// target is one routing key that producers publish with, and the queues that it reaches.
type target struct {
	routingKey string
	queues     []int
}

// topology is what the options make of queues, exchange and bindings.
type topology struct {
	o       *Options
	queues  []string
	targets []target
}

func newTopology(o *Options) *topology {
	t := &topology{o: o}
	for i := range o.Queues {
		t.queues = append(t.queues, strings.Replace(o.QueuePattern, "%d", strconv.Itoa(i), 1))
	}
	if o.Queues == 0 || o.RoutingKey != "" || o.ExchangeType == "fanout" {
		all := target{routingKey: o.RoutingKey}
		for i := range t.queues {
			all.queues = append(all.queues, i)
		}
		t.targets = []target{all}
		return t
	}
	for i, name := range t.queues {
		t.targets = append(t.targets, target{routingKey: name, queues: []int{i}})
	}
	return t
}

// share returns the indexes out of n that member i of a group of members has: i, i+members, ... Members beyond n share.
func share(i, members, n int) []int {
	if i >= n {
		return []int{i % n}
	}
	var s []int
	for ; i < n; i += members {
		s = append(s, i)
	}
	return s
}

// properties returns the properties of the messages for t.
func (t *topology) properties(to target) *wire.Properties {
	p := new(wire.Properties)
	if t.o.Persistent {
		p.DeliveryMode = 2
	}
	if t.o.ExchangeType == "headers" {
		p.Headers = wire.Table{}.Set(headerKey, wire.String(to.routingKey))
	}
	return p
}

// control is the connection that sets the topology up, asks for the number of messages and cleans up.
type control struct {
	c       *conn
	t       *topology
	channel uint16 // open; a refused method closes it
	created struct {
		queues   []string
		exchange bool
	}
}

func newControl(c *conn, t *topology) (*control, error) {
	k := &control{c: c, t: t, channel: 1}
	return k, c.openChannel(k.channel)
}

// call runs a method; if the broker refuses it, the channel is replaced by a new one.
func (k *control) call(m wire.Method, answer wire.MethodKey) (wire.Method, error) {
	a, err := k.c.call(k.channel, m, answer)
	var r *refusal
	if errors.As(err, &r) && r.what == "channel" {
		k.channel++
		if k.channel == 0 || k.channel > k.c.channels {
			k.channel = 1
		}
		if err := k.c.openChannel(k.channel); err != nil {
			return nil, err
		}
	}
	return a, err
}

// absent runs a passive declaration and tells whether the thing does not exist.
func (k *control) absent(m wire.Method, answer wire.MethodKey) (bool, error) {
	_, err := k.call(m, answer)
	var r *refusal
	if errors.As(err, &r) && r.code == wire.NotFound {
		return true, nil
	}
	return false, err
}

// setUp declares exchange, queues and bindings, and remembers what did not exist before.
func (k *control) setUp() error {
	o := k.t.o
	if !o.Predeclared {
		if err := k.declareExchange(); err != nil {
			return fmt.Errorf("declaring exchange %q: %w", o.Exchange, err)
		}
	}
	for i, name := range k.t.queues {
		if !o.Predeclared {
			if err := k.declareQueue(i, name); err != nil {
				return fmt.Errorf("declaring queue %q: %w", name, err)
			}
		}
		if o.Purge {
			if _, err := k.call(&wire.QueuePurge{Queue: name}, wire.KeyQueuePurgeOk); err != nil {
				return fmt.Errorf("purging queue %q: %w", name, err)
			}
		}
	}
	return nil
}

func (k *control) declareExchange() error {
	o := k.t.o
	if o.Exchange == "" || strings.HasPrefix(o.Exchange, "amq.") {
		return nil
	}
	passive := &wire.ExchangeDeclare{Exchange: o.Exchange, Type: o.ExchangeType, Passive: true}
	absent, err := k.absent(passive, wire.KeyExchangeDeclareOk)
	if err != nil {
		return err
	}
	// Without auto-delete: it would go with the first binding that goes, in the middle of cleaning up.
	declare := &wire.ExchangeDeclare{Exchange: o.Exchange, Type: o.ExchangeType, Durable: o.Durable}
	if _, err := k.call(declare, wire.KeyExchangeDeclareOk); err != nil {
		return err
	}
	k.created.exchange = absent
	return nil
}

func (k *control) declareQueue(i int, name string) error {
	o := k.t.o
	absent, err := k.absent(&wire.QueueDeclare{Queue: name, Passive: true}, wire.KeyQueueDeclareOk)
	if err != nil {
		return err
	}
	declare := &wire.QueueDeclare{Queue: name, Durable: o.Durable, AutoDelete: o.AutoDelete, Arguments: o.QueueArguments}
	if _, err := k.call(declare, wire.KeyQueueDeclareOk); err != nil {
		return err
	}
	if absent {
		k.created.queues = append(k.created.queues, name)
	}
	if o.Exchange == "" {
		return nil
	}
	key := k.t.targets[0].routingKey
	if len(k.t.targets) > 1 {
		key = k.t.targets[i].routingKey
	}
	bind := &wire.QueueBind{Queue: name, Exchange: o.Exchange, RoutingKey: key}
	if o.BindingKey != "" {
		bind.RoutingKey = o.BindingKey
	}
	if o.ExchangeType == "headers" {
		bind.Arguments = wire.Table{}.Set("x-match", wire.String("all")).Set(headerKey, wire.String(bind.RoutingKey))
	}
	_, err = k.call(bind, wire.KeyQueueBindOk)
	return err
}

// ready returns the number of ready messages in all queues, or at least one if there are any. A queue that is gone is empty.
func (k *control) ready() (int64, error) {
	for _, name := range k.t.queues {
		m, err := k.call(&wire.QueueDeclare{Queue: name, Passive: true}, wire.KeyQueueDeclareOk)
		var r *refusal
		if errors.As(err, &r) && r.code == wire.NotFound {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("asking for the messages of queue %q: %w", name, err)
		}
		if n := m.(*wire.QueueDeclareOk).MessageCount; n > 0 {
			return int64(n), nil
		}
	}
	return 0, nil
}

// tearDown deletes what setUp created, unless it is to be kept, and closes the connection.
func (k *control) tearDown() error {
	var errs []error
	if !k.t.o.Keep {
		for _, name := range k.created.queues {
			if _, err := k.call(&wire.QueueDelete{Queue: name}, wire.KeyQueueDeleteOk); err != nil {
				errs = append(errs, fmt.Errorf("deleting queue %q: %w", name, err))
				break
			}
		}
		if k.created.exchange {
			if _, err := k.call(&wire.ExchangeDelete{Exchange: k.t.o.Exchange}, wire.KeyExchangeDeleteOk); err != nil {
				errs = append(errs, fmt.Errorf("deleting exchange %q: %w", k.t.o.Exchange, err))
			}
		}
	}
	_ = k.c.close(5 * time.Second) // everything has been answered by now
	return errors.Join(errs...)
}
