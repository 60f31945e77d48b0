package conformance

// Rows of the recorded traces: exchanges and their bindings.
var exchangeTraces = []conformanceCase{
	{id: "R93", about: "declare type direct", script: `
		> exchange.declare exchange=e-direct type=direct
		< exchange.declare-ok`},
	{id: "R94", about: "declare type fanout", script: `
		> exchange.declare exchange=e-fanout type=fanout
		< exchange.declare-ok`},
	{id: "R95", about: "declare type topic", script: `
		> exchange.declare exchange=e-topic type=topic
		< exchange.declare-ok`},
	{id: "R96", about: "declare type headers", script: `
		> exchange.declare exchange=e-headers type=headers
		< exchange.declare-ok`},
	{id: "R97", about: "unknown exchange type", script: `
		> exchange.declare exchange=e1 type=nosuch
		0< connection.close 503 COMMAND_INVALID - unknown exchange type 'nosuch' (40,10)`},
	{id: "R98", about: "exchange type empty", script: `
		> exchange.declare exchange=e1
		0< connection.close 503 COMMAND_INVALID - invalid exchange type '' (40,10)`},
	{id: "R99", about: "exchange type x-delayed-message (no plugin)", script: `
		> exchange.declare exchange=e1 type=x-delayed-message @x-delayed-type='direct'
		0< connection.close 503 COMMAND_INVALID - unknown exchange type 'x-delayed-message' (40,10)`},
	{id: "R100", about: "exchange type x-consistent-hash (no plugin)", script: `
		> exchange.declare exchange=e1 type=x-consistent-hash
		0< connection.close 503 COMMAND_INVALID - unknown exchange type 'x-consistent-hash' (40,10)`},
	{id: "R101", about: "passive declare of a missing exchange", script: `
		> exchange.declare exchange=missing type=direct passive
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (40,10)`},
	{id: "R102", about: "passive declare of an existing exchange, other type and flags", script: `
		> exchange.declare exchange=e2 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e2 type=topic passive durable
		< exchange.declare-ok`},
	{id: "R103", about: "redeclare with different type", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=topic
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'e3' in vhost '/': received 'topic' but current is 'direct' (40,10)`},
	{id: "R104", about: "redeclare with different durable", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct durable
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'e3' in vhost '/': received 'true' but current is 'false' (40,10)`},
	{id: "R105", about: "redeclare with different auto_delete", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct auto-delete
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for exchange 'e3' in vhost '/': received 'true' but current is 'false' (40,10)`},
	{id: "R106", about: "redeclare with different internal", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct internal
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'e3' in vhost '/': received 'true' but current is 'false' (40,10)`},
	{id: "R107", about: "redeclare with different alternate-exchange", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct @alternate-exchange='x'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e3' in vhost '/': received the value 'x' of type 'longstr' but current is none (40,10)`},
	{id: "R108", about: "redeclare with different an unknown argument", script: `
		> exchange.declare exchange=e3 type=direct
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct @foo='bar'
		< exchange.declare-ok`},
	{id: "R109", about: "redeclare: alternate-exchange dropped", script: `
		> exchange.declare exchange=e3 type=direct @alternate-exchange='x'
		< exchange.declare-ok
		> exchange.declare exchange=e3 type=direct
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'alternate-exchange' for exchange 'e3' in vhost '/': received none but current is the value 'x' of type 'longstr' (40,10)`},
	{id: "R110", about: "alternate-exchange of wrong type", script: `
		> exchange.declare exchange=e3 type=direct @alternate-exchange=5
		< channel.close 406 PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'e3' in vhost '/' (40,10)`},
	{id: "R111", about: "declare amq.foo", script: `
		> exchange.declare exchange=amq.foo type=direct
		< channel.close 403 ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*' (40,10)`},
	{id: "R112", about: "passive declare amq.foo", script: `
		> exchange.declare exchange=amq.foo type=direct passive
		< channel.close 404 NOT_FOUND - no exchange 'amq.foo' in vhost '/' (40,10)`},
	{id: "R113", about: "declare amq.direct as it is", script: `
		> exchange.declare exchange=amq.direct type=direct durable
		< exchange.declare-ok`},
	{id: "R114", about: "declare amq.direct not durable", script: `
		> exchange.declare exchange=amq.direct type=direct
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': received 'false' but current is 'true' (40,10)`},
	{id: "R115", about: "declare the default exchange", script: `
		> exchange.declare type=direct durable
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,10)`},
	{id: "R116", about: "passive declare of the default exchange", script: `
		> exchange.declare type=direct passive
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,10)`},
	{id: "R117", about: "delete the default exchange", script: `
		> exchange.delete
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,20)`},
	{id: "R118", about: "delete amq.direct", script: `
		> exchange.delete exchange=amq.direct
		< channel.close 403 ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed (40,20)`},
	{id: "R119", about: "delete amq.rabbitmq.trace / passive declare of it", script: `
		> exchange.declare exchange=amq.rabbitmq.trace type=topic passive
		< exchange.declare-ok
		> exchange.delete exchange=amq.rabbitmq.trace
		< channel.close 403 ACCESS_REFUSED - deletion of system exchange 'amq.rabbitmq.trace' in vhost '/' not allowed (40,20)`},
	{id: "R120", about: "predeclared amq.direct", script: `
		> exchange.declare exchange=amq.direct type=direct passive
		< exchange.declare-ok`},
	{id: "R121", about: "predeclared amq.fanout", script: `
		> exchange.declare exchange=amq.fanout type=fanout passive
		< exchange.declare-ok`},
	{id: "R122", about: "predeclared amq.topic", script: `
		> exchange.declare exchange=amq.topic type=topic passive
		< exchange.declare-ok`},
	{id: "R123", about: "predeclared amq.headers", script: `
		> exchange.declare exchange=amq.headers type=headers passive
		< exchange.declare-ok`},
	{id: "R124", about: "predeclared amq.match", script: `
		> exchange.declare exchange=amq.match type=headers passive
		< exchange.declare-ok`},
	{id: "R125", about: "predeclared amq.rabbitmq.log", script: `
		> exchange.declare exchange=amq.rabbitmq.log type=topic passive
		< channel.close 404 NOT_FOUND - no exchange 'amq.rabbitmq.log' in vhost '/' (40,10)`},
	{id: "R126", about: "bind a queue to the default exchange", script: `
		> queue.declare queue=q5 exclusive
		< queue.declare-ok queue=q5
		> queue.bind queue=q5 routing-key=k
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (50,20)`},
	{id: "R127", about: "unbind a queue from the default exchange", script: `
		> queue.declare queue=q5 exclusive
		< queue.declare-ok queue=q5
		> queue.unbind queue=q5 routing-key=q5
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (50,50)`},
	{id: "R128", about: "exchange.bind with the default exchange as source", script: `
		> exchange.bind destination=amq.direct routing-key=k
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,30)`},
	{id: "R129", about: "exchange.bind with the default exchange as destination", script: `
		> exchange.bind source=amq.direct routing-key=k
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (40,30)`},
	{id: "R130", about: "delete a missing exchange", script: `
		> exchange.delete exchange=missing
		< exchange.delete-ok`},
	{id: "R131", about: "delete if-unused while bound", script: `
		> exchange.declare exchange=e6 type=direct
		< exchange.declare-ok
		> queue.declare queue=q6 exclusive
		< queue.declare-ok queue=q6
		> queue.bind queue=q6 exchange=e6 routing-key=k
		< queue.bind-ok
		> exchange.delete exchange=e6 if-unused
		< channel.close 406 PRECONDITION_FAILED - exchange 'e6' in vhost '/' in use (40,20)`},
	{id: "R132", about: "exchange.bind: missing source", script: `
		> exchange.bind destination=amq.direct source=missing routing-key=k
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (40,30)`},
	{id: "R133", about: "exchange.bind: missing destination", script: `
		> exchange.bind destination=missing source=amq.direct routing-key=k
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (40,30)`},
	{id: "R134", about: "exchange.unbind of a binding that is not there", script: `
		> exchange.declare exchange=e7 type=direct
		< exchange.declare-ok
		> exchange.unbind destination=e7 source=amq.direct routing-key=k
		< exchange.unbind-ok`},
	{id: "R135", about: "exchange.unbind: missing exchanges", script: `
		> exchange.unbind destination=missing1 source=missing2 routing-key=k
		< exchange.unbind-ok`},
	{id: "R136", about: "name with space and slash", script: `
		> exchange.declare exchange='a b/c' type=direct
		< exchange.declare-ok`},
	{id: "R138", about: "publish to a missing exchange", script: `
		> basic.publish exchange=missing routing-key=k body=x
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (60,40)`},
	{id: "R139", about: "publish to an internal exchange", script: `
		> exchange.declare exchange=e8 type=direct internal
		< exchange.declare-ok
		> basic.publish exchange=e8 routing-key=k body=x
		< channel.close 403 ACCESS_REFUSED - cannot publish to internal exchange 'e8' in vhost '/' (60,40)`},
	{id: "R140", about: "exchange-to-exchange binding routes", script: `
		> exchange.declare exchange=e9a type=topic
		< exchange.declare-ok
		> exchange.declare exchange=e9b type=fanout
		< exchange.declare-ok
		> queue.declare queue=q9 exclusive
		< queue.declare-ok queue=q9
		> exchange.bind destination=e9b source=e9a routing-key=a.#
		< exchange.bind-ok
		> queue.bind queue=q9 exchange=e9b
		< queue.bind-ok
		> basic.publish exchange=e9a routing-key=a.b.c body=hit
		> basic.publish exchange=e9a routing-key=b body=miss
		> basic.qos
		< basic.qos-ok
		> basic.get queue=q9 no-ack
		< basic.get-ok delivery-tag=1 exchange=e9a routing-key=a.b.c body=hit
		> basic.get queue=q9 no-ack
		< basic.get-empty`},
	{id: "R141", about: "message routed twice to one queue (two bindings, e2e cycle) arrives once", script: `
		> exchange.declare exchange=e10a type=fanout
		< exchange.declare-ok
		> exchange.declare exchange=e10b type=fanout
		< exchange.declare-ok
		> queue.declare queue=q10 exclusive
		< queue.declare-ok queue=q10
		> exchange.bind destination=e10a source=e10b
		< exchange.bind-ok
		> exchange.bind destination=e10b source=e10a
		< exchange.bind-ok
		> queue.bind queue=q10 exchange=e10a
		< queue.bind-ok
		> queue.bind queue=q10 exchange=e10b
		< queue.bind-ok
		> basic.publish exchange=e10a body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=q10 no-ack
		< basic.get-ok delivery-tag=1 exchange=e10a body=x
		> basic.get queue=q10 no-ack
		< basic.get-empty`},
	{id: "R145", about: "alternate-exchange takes unroutable messages; mandatory is satisfied by it", script: `
		> exchange.declare exchange=e14ae type=fanout
		< exchange.declare-ok
		> exchange.declare exchange=e14 type=direct @alternate-exchange='e14ae'
		< exchange.declare-ok
		> basic.publish exchange=e14 routing-key=k mandatory body=1
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=e14 routing-key=k body=1
		> queue.declare queue=q14 exclusive
		< queue.declare-ok queue=q14
		> queue.bind queue=q14 exchange=e14ae
		< queue.bind-ok
		> basic.publish exchange=e14 routing-key=k mandatory body=2
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=q14 no-ack
		< basic.get-ok delivery-tag=1 exchange=e14 routing-key=k body=2`},
	{id: "R146", about: "alternate-exchange that does not exist", script: `
		> exchange.declare exchange=e15 type=direct @alternate-exchange='gone'
		< exchange.declare-ok
		> basic.publish exchange=e15 routing-key=k mandatory body=1
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=e15 routing-key=k body=1`},
}
