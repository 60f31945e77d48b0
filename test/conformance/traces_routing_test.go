package conformance

// Rows of the recorded traces: routing by headers and topics.
var routingTraces = []conformanceCase{
	{id: "R147", about: "headers exchange x-match all", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match='all' @a='1' @b=2 @x-c='y'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' @b=2 @x-c='y' body='all three'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:"1",b:2I,x-c:"y"} body=all three
		> basic.publish exchange=amq.headers @a='1' @b=2 body='a and b only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.headers headers={a:"1",b:2I} body=a and b only
		> basic.publish exchange=amq.headers @a='1' body='a only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @x-c='y' body='x-c only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='2' @b=3 body='wrong values'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' @x-c='y' body='b as string'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers body=none
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty`},
	{id: "R148", about: "headers exchange x-match any", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match='any' @a='1' @b=2 @x-c='y'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' @b=2 @x-c='y' body='all three'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:"1",b:2I,x-c:"y"} body=all three
		> basic.publish exchange=amq.headers @a='1' @b=2 body='a and b only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.headers headers={a:"1",b:2I} body=a and b only
		> basic.publish exchange=amq.headers @a='1' body='a only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=3 exchange=amq.headers headers={a:"1"} body=a only
		> basic.publish exchange=amq.headers @x-c='y' body='x-c only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='2' @b=3 body='wrong values'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' @x-c='y' body='b as string'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=4 exchange=amq.headers headers={a:"1",b:"2",x-c:"y"} body=b as string
		> basic.publish exchange=amq.headers body=none
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty`},
	{id: "R149", about: "headers exchange x-match all-with-x", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match='all-with-x' @a='1' @b=2 @x-c='y'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' @b=2 @x-c='y' body='all three'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:"1",b:2I,x-c:"y"} body=all three
		> basic.publish exchange=amq.headers @a='1' @b=2 body='a and b only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' body='a only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @x-c='y' body='x-c only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='2' @b=3 body='wrong values'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' @x-c='y' body='b as string'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers body=none
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty`},
	{id: "R150", about: "headers exchange x-match any-with-x", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match='any-with-x' @a='1' @b=2 @x-c='y'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' @b=2 @x-c='y' body='all three'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:"1",b:2I,x-c:"y"} body=all three
		> basic.publish exchange=amq.headers @a='1' @b=2 body='a and b only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.headers headers={a:"1",b:2I} body=a and b only
		> basic.publish exchange=amq.headers @a='1' body='a only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=3 exchange=amq.headers headers={a:"1"} body=a only
		> basic.publish exchange=amq.headers @x-c='y' body='x-c only'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=4 exchange=amq.headers headers={x-c:"y"} body=x-c only
		> basic.publish exchange=amq.headers @a='2' @b=3 body='wrong values'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' @x-c='y' body='b as string'
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-ok delivery-tag=5 exchange=amq.headers headers={a:"1",b:"2",x-c:"y"} body=b as string
		> basic.publish exchange=amq.headers body=none
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qh no-ack
		< basic.get-empty`},
	{id: "R151", about: "headers exchange bind with x-match foo", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match='foo' @a=1
		< channel.close 406 PRECONDITION_FAILED - Invalid x-match field value <<"foo">>; expected all, any, all-with-x, or any-with-x (50,20)`},
	{id: "R152", about: "headers exchange bind with x-match of type int", script: `
		> queue.declare queue=qh exclusive
		< queue.declare-ok queue=qh
		> queue.bind queue=qh exchange=amq.headers @x-match=1
		< channel.close 406 PRECONDITION_FAILED - Invalid x-match field type signedint (value 1); expected longstr (50,20)`},
	{id: "R153", about: "headers exchange: binding without x-match, binding with void value (any value), empty binding", script: `
		> queue.declare queue=qhv0 exclusive
		< queue.declare-ok queue=qhv0
		> queue.bind queue=qhv0 exchange=amq.headers @a='1' @b='2'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv0 no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv0 no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers headers={a:"1",b:"2"} body=x
		> basic.publish exchange=amq.headers body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv0 no-ack
		< basic.get-empty
		> queue.delete queue=qhv0
		< queue.delete-ok
		> queue.declare queue=qhv1 exclusive
		< queue.declare-ok queue=qhv1
		> queue.bind queue=qhv1 exchange=amq.headers @a=void
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv1 no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.headers headers={a:"1"} body=x
		> basic.publish exchange=amq.headers @a='1' @b='2' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv1 no-ack
		< basic.get-ok delivery-tag=3 exchange=amq.headers headers={a:"1",b:"2"} body=x
		> basic.publish exchange=amq.headers body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv1 no-ack
		< basic.get-empty
		> queue.delete queue=qhv1
		< queue.delete-ok
		> queue.declare queue=qhv2 exclusive
		< queue.declare-ok queue=qhv2
		> queue.bind queue=qhv2 exchange=amq.headers
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv2 no-ack
		< basic.get-ok delivery-tag=4 exchange=amq.headers headers={a:"1"} body=x
		> basic.publish exchange=amq.headers @a='1' @b='2' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv2 no-ack
		< basic.get-ok delivery-tag=5 exchange=amq.headers headers={a:"1",b:"2"} body=x
		> basic.publish exchange=amq.headers body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv2 no-ack
		< basic.get-ok delivery-tag=6 exchange=amq.headers body=x
		> queue.delete queue=qhv2
		< queue.delete-ok
		> queue.declare queue=qhv3 exclusive
		< queue.declare-ok queue=qhv3
		> queue.bind queue=qhv3 exchange=amq.headers @x-match='any'
		< queue.bind-ok
		> basic.publish exchange=amq.headers @a='1' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv3 no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers @a='1' @b='2' body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv3 no-ack
		< basic.get-empty
		> basic.publish exchange=amq.headers body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qhv3 no-ack
		< basic.get-empty
		> queue.delete queue=qhv3
		< queue.delete-ok`},
	{id: "R154", about: "topic matching", script: `
		> queue.declare queue=qt exclusive
		< queue.declare-ok queue=qt
		> queue.bind queue=qt exchange=amq.topic routing-key=a.*.c
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=a.b.c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.topic routing-key=a.b.c body=x
		> basic.publish exchange=amq.topic routing-key=a.c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> basic.publish exchange=amq.topic routing-key=a.b.b.c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> basic.publish exchange=amq.topic routing-key=a..c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.topic routing-key=a..c body=x
		> queue.unbind queue=qt exchange=amq.topic routing-key=a.*.c
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=a.#
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=3 exchange=amq.topic routing-key=a body=x
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=4 exchange=amq.topic routing-key=a.b body=x
		> basic.publish exchange=amq.topic routing-key=a.b.c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=5 exchange=amq.topic routing-key=a.b.c body=x
		> basic.publish exchange=amq.topic routing-key=b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> queue.unbind queue=qt exchange=amq.topic routing-key=a.#
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=#
		< queue.bind-ok
		> basic.publish exchange=amq.topic body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=6 exchange=amq.topic body=x
		> basic.publish exchange=amq.topic routing-key=a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=7 exchange=amq.topic routing-key=a body=x
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=8 exchange=amq.topic routing-key=a.b body=x
		> queue.unbind queue=qt exchange=amq.topic routing-key=#
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=*
		< queue.bind-ok
		> basic.publish exchange=amq.topic body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> basic.publish exchange=amq.topic routing-key=a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=9 exchange=amq.topic routing-key=a body=x
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> queue.unbind queue=qt exchange=amq.topic routing-key=*
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=#.b
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=10 exchange=amq.topic routing-key=b body=x
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=11 exchange=amq.topic routing-key=a.b body=x
		> basic.publish exchange=amq.topic routing-key=a.a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=12 exchange=amq.topic routing-key=a.a.b body=x
		> basic.publish exchange=amq.topic routing-key=b.a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> queue.unbind queue=qt exchange=amq.topic routing-key=#.b
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=a.#.*
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=13 exchange=amq.topic routing-key=a.b body=x
		> basic.publish exchange=amq.topic routing-key=a.b.c body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=14 exchange=amq.topic routing-key=a.b.c body=x
		> queue.unbind queue=qt exchange=amq.topic routing-key=a.#.*
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic
		< queue.bind-ok
		> basic.publish exchange=amq.topic body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=15 exchange=amq.topic body=x
		> basic.publish exchange=amq.topic routing-key=a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> queue.unbind queue=qt exchange=amq.topic
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=a.b*
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=a.bc body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-empty
		> basic.publish exchange=amq.topic routing-key=a.b* body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=16 exchange=amq.topic routing-key=a.b* body=x
		> queue.unbind queue=qt exchange=amq.topic routing-key=a.b*
		< queue.unbind-ok
		> queue.bind queue=qt exchange=amq.topic routing-key=*.*
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=. body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=17 exchange=amq.topic routing-key=. body=x
		> basic.publish exchange=amq.topic routing-key=a. body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=18 exchange=amq.topic routing-key=a. body=x
		> basic.publish exchange=amq.topic routing-key=a.b body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=qt no-ack
		< basic.get-ok delivery-tag=19 exchange=amq.topic routing-key=a.b body=x
		> queue.unbind queue=qt exchange=amq.topic routing-key=*.*
		< queue.unbind-ok`},
}
