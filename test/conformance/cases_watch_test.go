package conformance

import (
	"testing"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// traced turns tracing on in the default vhost for one case.
func traced(t testing.TB, b *cluster.Broker) {
	set := func(on bool) {
		if _, err := b.PutVHost(background(t), meta.VHost{Name: "/", Tracing: on}); err != nil {
			t.Errorf("tracing %t: %v", on, err)
		}
	}
	set(true)
	t.Cleanup(func() { set(false) })
}

// watchCases are about the firehose and the event exchange, sections 22 and 3.1.
var watchCases = []conformanceCase{
	{id: "S3.1a", about: "the firehose copies what is published and delivered", prepare: traced, script: `
		> queue.declare queue=copies exclusive
		< queue.declare-ok queue=copies
		> queue.bind queue=copies exchange=amq.rabbitmq.trace routing-key=#
		< queue.bind-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		b> basic.publish routing-key=q message-id=m body=x
		b> basic.get queue=q no-ack
		b< basic.get-ok delivery-tag=1 routing-key=q message-id=m body=x
		~> basic.get queue=copies no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.rabbitmq.trace routing-key=publish. message-count=1 headers={exchange_name:"",routing_keys:["q"],properties:{message_id:"m"},node:…,vhost:"/",connection:…,channel:1I,user:"guest",routed_queues:["q"]} body=x
		> basic.get queue=copies no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.rabbitmq.trace routing-key=deliver.q headers={exchange_name:"",routing_keys:["q"],properties:{message_id:"m"},node:…,redelivered:0I} body=x`},
	{id: "S3.1b", about: "nothing is copied without tracing", script: `
		> queue.declare queue=copies exclusive
		< queue.declare-ok queue=copies
		> queue.bind queue=copies exchange=amq.rabbitmq.trace routing-key=#
		< queue.bind-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		b> basic.publish routing-key=q body=x
		b> basic.get queue=q no-ack
		b< basic.get-ok delivery-tag=1 routing-key=q body=x
		> basic.get queue=copies no-ack
		< basic.get-empty`},
	{id: "S3.1c", about: "the event exchange says what happens", prepare: own, script: `
		> queue.declare queue=events exclusive
		< queue.declare-ok queue=events
		> queue.bind queue=events exchange=amq.rabbitmq.event routing-key=queue.*
		< queue.bind-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		~> basic.get queue=events no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.rabbitmq.event routing-key=queue.created headers={…name:"q"…} … body=
		b> queue.delete queue=q
		b< queue.delete-ok
		~> basic.get queue=events no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.rabbitmq.event routing-key=queue.deleted headers={…name:"q"…} … body=`},
}

// own makes a case one of the own node, where the plugins are built in.
func own(testing.TB, *cluster.Broker) {}
