package cluster

import "github.com/brokerd/brokerd/amqp/wire"

// ExchangeSpec is what exchange.declare asks for.
type ExchangeSpec struct {
	Name, Type                             string
	Passive, Durable, AutoDelete, Internal bool
	Arguments                              wire.Table
}

// QueueSpec is what queue.declare asks for. An empty Name asks for a server-generated one.
type QueueSpec struct {
	Name                                    string
	Passive, Durable, Exclusive, AutoDelete bool
	Arguments                               wire.Table
}

// BindingSpec is what bind and unbind ask for. Destination is a queue for queue.bind and an exchange for exchange.bind.
type BindingSpec struct {
	Source, Destination string
	RoutingKey          string
	Arguments           wire.Table
}

// QueueInfo is what declare-ok reports.
type QueueInfo struct {
	Name      string
	Messages  int // ready
	Consumers int
}

// User is an authenticated user.
type User struct {
	Name string
	Tags []string
}
