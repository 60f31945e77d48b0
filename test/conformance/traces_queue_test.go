package conformance

// Rows of the recorded traces: queues.
var queueTraces = []conformanceCase{
	{id: "R155", about: "declare with a server-generated name", script: `
		> queue.declare exclusive
		< queue.declare-ok queue=amq.gen-…`},
	{id: "R156", about: "empty name means the last declared queue on the channel", script: `
		> queue.declare exclusive
		< queue.declare-ok queue=amq.gen-…
		> queue.declare passive
		< channel.close 404 NOT_FOUND - no queue '' in vhost '/' (50,10)
		> basic.get
		> queue.purge`},
	{id: "R157", about: "empty name with no queue declared on this channel", script: `
		> basic.get
		< channel.close 404 NOT_FOUND - no previously declared queue (60,70)`},
	{id: "R158", about: "queue.bind with empty queue name, none declared", script: `
		> queue.bind exchange=amq.direct routing-key=k
		< channel.close 404 NOT_FOUND - no previously declared queue (50,20)`},
	{id: "R159", about: "queue.bind with empty queue and empty routing key after a declare", script: `
		> queue.declare queue=k0 exclusive
		< queue.declare-ok queue=k0
		> queue.bind exchange=amq.direct
		< queue.bind-ok
		> basic.publish exchange=amq.direct routing-key=k0 mandatory body=named
		> channel.flow active
		< channel.flow-ok active`},
	{id: "R160", about: "declare twice: counts in declare-ok", script: `
		> queue.declare queue=k1 exclusive
		< queue.declare-ok queue=k1
		> basic.publish routing-key=k1 body=x
		> basic.publish routing-key=k1 body=x
		> basic.qos
		< basic.qos-ok
		> basic.consume queue=k1 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=k1 body=x
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=k1 body=x
		> queue.declare queue=k1 exclusive
		< queue.declare-ok queue=k1 consumer-count=1`},
	{id: "R161", about: "passive declare of a missing queue", script: `
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)`},
	{id: "R162", about: "passive declare ignores flags and arguments", script: `
		> queue.declare queue=k2 exclusive
		< queue.declare-ok queue=k2
		> queue.declare queue=k2 passive durable auto-delete @x-message-ttl=5
		< queue.declare-ok queue=k2`},
	{id: "R163", about: "redeclare a plain transient queue with different durable", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 durable
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'k3' in vhost '/': received 'true' but current is 'false' (50,10)`},
	{id: "R164", about: "redeclare a plain transient queue with different auto_delete", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 auto-delete
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'k3' in vhost '/': received 'true' but current is 'false' (50,10)`},
	{id: "R165", about: "redeclare a plain transient queue with different exclusive", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 exclusive
		< channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'k3' in vhost '/'. It could be originally declared on another connection or the exclusive property value does not match that of the original declaration. (50,10)`},
	{id: "R166", about: "redeclare a plain transient queue with different x-message-ttl added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-message-ttl=1000
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'k3' in vhost '/': received the value '1000' of type 'signedint' but current is none (50,10)`},
	{id: "R167", about: "redeclare a plain transient queue with different x-max-length added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-max-length=10
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'k3' in vhost '/': received the value '10' of type 'signedint' but current is none (50,10)`},
	{id: "R168", about: "redeclare a plain transient queue with different x-dead-letter-exchange added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-dead-letter-exchange='a'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'k3' in vhost '/': received the value 'a' of type 'longstr' but current is none (50,10)`},
	{id: "R169", about: "redeclare a plain transient queue with different x-queue-type classic added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-queue-type='classic'
		< queue.declare-ok queue=k3`},
	{id: "R170", about: "redeclare a plain transient queue with different x-queue-mode lazy added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-queue-mode='lazy'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-mode' for queue 'k3' in vhost '/': received the value 'lazy' of type 'longstr' but current is none (50,10)`},
	{id: "R171", about: "redeclare a plain transient queue with different x-max-priority added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-max-priority=5
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'k3' in vhost '/': received the value '5' of type 'signedint' but current is none (50,10)`},
	{id: "R172", about: "redeclare a plain transient queue with different unknown argument added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @foo='bar'
		< queue.declare-ok queue=k3`},
	{id: "R173", about: "redeclare a plain transient queue with different x-single-active-consumer added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-single-active-consumer=true
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'k3' in vhost '/': received the value 'true' of type 'bool' but current is none (50,10)`},
	{id: "R174", about: "redeclare a plain transient queue with different x-expires added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-expires=100000
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-expires' for queue 'k3' in vhost '/': received the value '100000' of type 'signedint' but current is none (50,10)`},
	{id: "R175", about: "redeclare a plain transient queue with different x-overflow added", script: `
		> queue.declare queue=k3
		< queue.declare-ok queue=k3
		> queue.declare queue=k3 @x-overflow='reject-publish'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'k3' in vhost '/': received the value 'reject-publish' of type 'longstr' but current is none (50,10)`},
	{id: "R176", about: "redeclare with x-message-ttl 1000 then 2000", script: `
		> queue.declare queue=k4 @x-message-ttl=1000
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @x-message-ttl=2000
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'k4' in vhost '/': received '2000' but current is '1000' (50,10)`},
	{id: "R177", about: "redeclare with x-message-ttl then none", script: `
		> queue.declare queue=k4 @x-message-ttl=1000
		< queue.declare-ok queue=k4
		> queue.declare queue=k4
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'k4' in vhost '/': received none but current is the value '1000' of type 'signedint' (50,10)`},
	{id: "R178", about: "redeclare with DLX value changed", script: `
		> queue.declare queue=k4 @x-dead-letter-exchange='a'
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @x-dead-letter-exchange='b'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'k4' in vhost '/': received 'b' but current is 'a' (50,10)`},
	{id: "R179", about: "redeclare with x-max-priority 5 then 10", script: `
		> queue.declare queue=k4 @x-max-priority=5
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @x-max-priority=10
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-max-priority' for queue 'k4' in vhost '/': received '10' but current is '5' (50,10)`},
	{id: "R180", about: "redeclare with x-overflow drop-head then reject-publish", script: `
		> queue.declare queue=k4 @x-overflow='drop-head'
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @x-overflow='reject-publish'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-overflow' for queue 'k4' in vhost '/': received 'reject-publish' but current is 'drop-head' (50,10)`},
	{id: "R181", about: "redeclare with x-message-ttl int 1000 then float 1000.0", script: `
		> queue.declare queue=k4 @x-message-ttl=1000
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @x-message-ttl=1000.0
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'k4' in vhost '/': received '1.0e3' but current is '1000' (50,10)`},
	{id: "R182", about: "redeclare with unknown argument value changed", script: `
		> queue.declare queue=k4 @foo=1
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 @foo=2
		< queue.declare-ok queue=k4`},
	{id: "R183", about: "redeclare with x-queue-type classic then quorum", script: `
		> queue.declare queue=k4 durable @x-queue-type='classic'
		< queue.declare-ok queue=k4
		> queue.declare queue=k4 durable @x-queue-type='quorum'
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'k4' in vhost '/': received 'quorum' but current is 'classic' (50,10)`},
	{id: "R184", about: "redeclare durable queue as transient", script: `
		> queue.declare queue=k5 durable
		< queue.declare-ok queue=k5
		> queue.declare queue=k5
		< channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'k5' in vhost '/': received 'false' but current is 'true' (50,10)`},
	{id: "R185", about: "declare amq.foo", script: `
		> queue.declare queue=amq.foo
		< channel.close 403 ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*' (50,10)`},
	{id: "R186", about: "passive declare amq.foo", script: `
		> queue.declare queue=amq.foo passive
		< channel.close 404 NOT_FOUND - no queue 'amq.foo' in vhost '/' (50,10)`},
	{id: "R190", about: "exclusive queue survives its channel", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=kxc exclusive
		< queue.declare-ok queue=kxc
		> channel.close reply-code=200
		< channel.close-ok
		> channel.open
		< channel.open-ok
		> queue.declare queue=kxc passive
		< queue.declare-ok queue=kxc`},
	{id: "R191", about: "delete if-empty on a non-empty queue", script: `
		> queue.declare queue=k6
		< queue.declare-ok queue=k6
		> basic.publish routing-key=k6 body=x
		> basic.qos
		< basic.qos-ok
		> queue.delete queue=k6 if-empty
		< channel.close 406 PRECONDITION_FAILED - queue 'k6' in vhost '/' not empty (50,40)`},
	{id: "R192", about: "delete if-unused on a queue with a consumer", script: `
		> queue.declare queue=k7
		< queue.declare-ok queue=k7
		> basic.consume queue=k7
		< basic.consume-ok consumer-tag=amq.ctag-…
		> queue.delete queue=k7 if-unused
		< channel.close 406 PRECONDITION_FAILED - queue 'k7' in vhost '/' in use (50,40)`},
	{id: "R193", about: "delete a queue: message count", script: `
		> queue.declare queue=k8
		< queue.declare-ok queue=k8
		> basic.publish routing-key=k8 body=x
		> basic.publish routing-key=k8 body=x
		> basic.qos
		< basic.qos-ok
		> queue.delete queue=k8
		< queue.delete-ok message-count=2`},
	{id: "R194", about: "delete a missing queue", script: `
		> queue.delete queue=missing
		< queue.delete-ok`},
	{id: "R195", about: "purge: count leaves unacknowledged messages alone", script: `
		> queue.declare queue=k9 exclusive
		< queue.declare-ok queue=k9
		> basic.publish routing-key=k9 body=x
		> basic.publish routing-key=k9 body=x
		> basic.publish routing-key=k9 body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=k9
		< basic.get-ok delivery-tag=1 routing-key=k9 message-count=2 body=x
		> queue.purge queue=k9
		< queue.purge-ok message-count=2`},
	{id: "R196", about: "purge a missing queue", script: `
		> queue.purge queue=missing
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,30)`},
	{id: "R197", about: "bind a missing queue", script: `
		> queue.bind queue=missing exchange=amq.direct routing-key=k
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,20)`},
	{id: "R198", about: "bind to a missing exchange", script: `
		> queue.declare queue=k10 exclusive
		< queue.declare-ok queue=k10
		> queue.bind queue=k10 exchange=missing routing-key=k
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (50,20)`},
	{id: "R199", about: "unbind: missing queue", script: `
		> queue.unbind queue=missing exchange=amq.direct routing-key=k
		< queue.unbind-ok`},
	{id: "R200", about: "unbind: missing exchange", script: `
		> queue.declare queue=k11 exclusive
		< queue.declare-ok queue=k11
		> queue.unbind queue=k11 exchange=missing routing-key=k
		< queue.unbind-ok`},
	{id: "R201", about: "unbind: missing binding", script: `
		> queue.declare queue=k12 exclusive
		< queue.declare-ok queue=k12
		> queue.unbind queue=k12 exchange=amq.direct routing-key=k
		< queue.unbind-ok`},
	{id: "R202", about: "bind the same twice, unbind once", script: `
		> queue.declare queue=k13 exclusive
		< queue.declare-ok queue=k13
		> queue.bind queue=k13 exchange=amq.direct routing-key=k13
		< queue.bind-ok
		> queue.bind queue=k13 exchange=amq.direct routing-key=k13
		< queue.bind-ok
		> queue.unbind queue=k13 exchange=amq.direct routing-key=k13
		< queue.unbind-ok
		> basic.publish exchange=amq.direct routing-key=k13 mandatory body=x
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=k13 body=x`},
	{id: "R203", about: "queue.declare nowait", script: `
		> queue.declare queue=k14 exclusive no-wait
		> channel.flow active
		< channel.flow-ok active
		> queue.declare queue=k14 passive
		< queue.declare-ok queue=k14`},
	{id: "R204", about: "queue.declare nowait that fails", script: `
		> queue.declare queue=missing passive no-wait
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)`},
	{id: "R205", about: "name of 255 bytes", script: `
		> queue.declare queue=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn exclusive
		< queue.declare-ok queue=nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn`},
	{id: "R206", about: "name with non-UTF-8 bytes", script: `
		> raw 0100010000000e0032000a000002fffe0400000000ce
		0< connection.close 501 FRAME_ERROR - Malformed UTF-8 in shortstr (0,0)`},
	{id: "R207", about: "auto-delete queue: deleted when its last consumer is cancelled", script: `
		> queue.declare queue=kad auto-delete
		< queue.declare-ok queue=kad
		> basic.consume queue=kad consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.cancel consumer-tag=a
		< basic.cancel-ok consumer-tag=a
		> queue.declare queue=kad passive
		< channel.close 404 NOT_FOUND - no queue 'kad' in vhost '/' (50,10)`},
	{id: "R208", about: "auto-delete queue: deleted when the channel of its last consumer closes", script: `
		> queue.declare queue=kad auto-delete
		< queue.declare-ok queue=kad
		2> basic.consume queue=kad consumer-tag=a
		2< basic.consume-ok consumer-tag=a
		2> channel.close reply-code=200
		2< channel.close-ok
		> queue.declare queue=kad passive
		< channel.close 404 NOT_FOUND - no queue 'kad' in vhost '/' (50,10)`},
}
