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
	{id: "S5.3", about: "reserved names may be declared passively when they exist", script: `
		> queue.declare exclusive
		< queue.declare-ok queue=amq.gen-…
		> queue.declare queue=amq.gen-$ passive
		< queue.declare-ok queue=amq.gen-$`},
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
		{"queue.unbind queue=kx exchange=amq.direct routing-key=k", "50,50"},
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
