package conformance

// ownershipCases are about exclusive and auto-delete queues.
var ownershipCases = []conformanceCase{
	{id: "R187", about: "nothing may be done with an exclusive queue of another connection", script: lockedScript()},
	{id: "R188", about: "publishing to an exclusive queue of another connection works", script: `
		> queue.declare queue=kx exclusive
		< queue.declare-ok queue=kx
		b> basic.publish routing-key=kx mandatory body=x
		b> channel.flow active
		b< channel.flow-ok active
		> basic.get queue=kx no-ack
		< basic.get-ok delivery-tag=1 routing-key=kx body=x`},
	{id: "R189", about: "an exclusive queue is gone when its connection is closed, even if it was declared durable", script: `
		> queue.declare queue=kxd durable exclusive
		< queue.declare-ok queue=kxd
		0> connection.close reply-code=200
		0< connection.close-ok
		b> queue.declare queue=kxd passive
		b< channel.close 404 NOT_FOUND - no queue 'kxd' in vhost '/' (50,10)`},
	{id: "S5.7", about: "an exclusive queue is gone when its socket is cut", script: `
		> queue.declare queue=kxd exclusive
		< queue.declare-ok queue=kxd
		b> confirm.select
		b< confirm.select-ok
		cut a
		~b> basic.publish routing-key=kxd mandatory
		b< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=kxd body=`},
	{id: "R209", about: "an auto-delete queue that had no consumer stays, whatever basic.get does", script: `
		> queue.declare queue=kad auto-delete
		< queue.declare-ok queue=kad
		> basic.get queue=kad
		< basic.get-empty
		0> connection.close reply-code=200
		0< connection.close-ok
		b> queue.declare queue=kad passive
		b< queue.declare-ok queue=kad`},
	{id: "R414", about: "what a lost connection had not acknowledged comes again, in order", script: `
		> queue.declare queue=z12
		< queue.declare-ok queue=z12
		> basic.publish routing-key=z12 body=0
		> basic.publish routing-key=z12 body=1
		> basic.consume queue=z12 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=z12 body=0
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=z12 body=1
		cut a
		~b> queue.declare queue=z12 passive
		b< queue.declare-ok queue=z12 message-count=2
		b> basic.get queue=z12
		b< basic.get-ok delivery-tag=1 redelivered routing-key=z12 message-count=1 body=0
		b> basic.get queue=z12
		b< basic.get-ok delivery-tag=2 redelivered routing-key=z12 body=1`},
	{id: "S5.3", about: "reserved names may be declared passively when they exist", script: `
		> queue.declare exclusive
		< queue.declare-ok queue=amq.gen-…
		> queue.declare queue=amq.gen-$ passive
		< queue.declare-ok queue=amq.gen-$`},
	{id: "R142", about: "an auto-delete exchange goes after its last unbind", script: `
		> exchange.declare exchange=e11 type=direct auto-delete
		< exchange.declare-ok
		> queue.declare queue=q11 exclusive
		< queue.declare-ok queue=q11
		> queue.bind queue=q11 exchange=e11 routing-key=k
		< queue.bind-ok
		> queue.unbind queue=q11 exchange=e11 routing-key=k
		< queue.unbind-ok
		> exchange.declare exchange=e11 type=direct passive
		< channel.close 404 NOT_FOUND - no exchange 'e11' in vhost '/' (40,10)`},
	{id: "R143", about: "an auto-delete exchange that was never bound stays", script: `
		> exchange.declare exchange=e12 type=direct auto-delete
		< exchange.declare-ok
		> exchange.declare exchange=e12 type=direct passive
		< exchange.declare-ok`},
	{id: "R144", about: "an auto-delete exchange goes when the queue that is bound to it is deleted", script: `
		> exchange.declare exchange=e13 type=direct auto-delete
		< exchange.declare-ok
		> queue.declare queue=q13
		< queue.declare-ok queue=q13
		> queue.bind queue=q13 exchange=e13 routing-key=k
		< queue.bind-ok
		> queue.delete queue=q13
		< queue.delete-ok
		> exchange.declare exchange=e13 type=direct passive
		< channel.close 404 NOT_FOUND - no exchange 'e13' in vhost '/' (40,10)`},
	{id: "S4.1", about: "bindings differ by their arguments", script: `
		> queue.declare queue=k1 exclusive
		< queue.declare-ok queue=k1
		> queue.bind queue=k1 exchange=amq.headers routing-key=k @a=1
		< queue.bind-ok
		> queue.bind queue=k1 exchange=amq.headers routing-key=k @a=2
		< queue.bind-ok
		> queue.unbind queue=k1 exchange=amq.headers routing-key=k @a=1
		< queue.unbind-ok
		> basic.publish exchange=amq.headers mandatory @a=2 body=2
		> basic.publish exchange=amq.headers mandatory @a=1 body=1
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.headers headers={a:1I} body=1
		> basic.get queue=k1
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:2I} body=2`},
}

// lockedScript tries everything with a queue that belongs to another connection.
func lockedScript() script {
	s := `
		> queue.declare queue=kx exclusive
		< queue.declare-ok queue=kx`
	for _, try := range []struct{ request, method string }{
		{"queue.declare queue=kx exclusive", "50,10"},
		{"queue.declare queue=kx", "50,10"},
		{"queue.declare queue=kx passive", "50,10"},
		{"queue.bind queue=kx exchange=amq.direct routing-key=k", "50,20"},
		{"queue.purge queue=kx", "50,30"},
		{"queue.delete queue=kx", "50,40"},
		{"basic.consume queue=kx", "60,20"},
		{"basic.get queue=kx", "60,70"},
	} {
		s += "\nb> " + try.request + "\nb< channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'kx' in vhost '/'. " +
			"It could be originally declared on another connection or the exclusive property value does not match that of the original " +
			"declaration. (" + try.method + ")\nb> channel.close-ok\nb> channel.open\nb< channel.open-ok"
	}
	return script(s)
}

// expiryCases wait for something to run out.
var expiryCases = []conformanceCase{
	{id: "R379", about: "x-expires deletes an unused queue; publishing does not count as use", script: `
		> queue.declare queue=z3 @x-expires=300
		< queue.declare-ok queue=z3
		> confirm.select
		< confirm.select-ok
		~> basic.publish routing-key=z3 mandatory
		< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=z3 body=`},
	{id: "S5.14", about: "the consumers of a deleted queue are told", script: `
		> queue.declare queue=z3 @x-expires=200
		< queue.declare-ok queue=z3
		> basic.consume queue=z3 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		b> queue.delete queue=z3
		b< queue.delete-ok
		< basic.cancel consumer-tag=t no-wait`},
	{id: "S6.4", about: "a message expires behind one that stays", script: `
		> queue.declare queue=z2 exclusive
		< queue.declare-ok queue=z2
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=z2 expiration=60000 body=long
		< basic.ack delivery-tag=1
		> basic.publish routing-key=z2 expiration=100 body=short
		< basic.ack delivery-tag=2
		~> queue.declare queue=z2 passive
		< queue.declare-ok queue=z2 message-count=1`},
	{id: "S6.7", about: "x-max-length acts before a basic.get that follows the publishes", script: `
		> queue.declare queue=z5 exclusive @x-max-length=1
		< queue.declare-ok queue=z5
		> basic.publish routing-key=z5 body=1
		> basic.publish routing-key=z5 body=2
		> basic.get queue=z5 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z5 body=2`},
	{id: "S6.2", about: "a requeued message keeps its deadline", script: `
		> queue.declare queue=z1 exclusive @x-message-ttl=300
		< queue.declare-ok queue=z1
		> basic.publish routing-key=z1 body=x
		> basic.get queue=z1
		< basic.get-ok delivery-tag=1 routing-key=z1 body=x
		> basic.nack delivery-tag=1 requeue
		~> queue.declare queue=z1 passive
		< queue.declare-ok queue=z1`},
}
