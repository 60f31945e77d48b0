package conformance

// Rows of the recorded traces: confirms and transactions.
var txTraces = []conformanceCase{
	{id: "R355", about: "confirm.select twice", script: `
		> confirm.select
		< confirm.select-ok
		> confirm.select
		< confirm.select-ok`},
	{id: "R356", about: "confirm.select nowait", script: `
		> confirm.select no-wait
		> channel.flow active
		< channel.flow-ok active
		> basic.qos
		< basic.qos-ok`},
	{id: "R357", about: "confirm.select then tx.select", script: `
		> confirm.select
		< confirm.select-ok
		> tx.select
		< channel.close 406 PRECONDITION_FAILED - cannot switch from confirm to tx mode (90,10)`},
	{id: "R358", about: "tx.select then confirm.select", script: `
		> tx.select
		< tx.select-ok
		> confirm.select
		< channel.close 406 PRECONDITION_FAILED - cannot switch from tx to confirm mode (85,10)`},
	{id: "R359", about: "tx.select twice", script: `
		> tx.select
		< tx.select-ok
		> tx.select
		< tx.select-ok`},
	{id: "R360", about: "tx.commit without tx.select", script: `
		> tx.commit
		< channel.close 406 PRECONDITION_FAILED - channel is not transactional (90,20)`},
	{id: "R361", about: "tx.rollback without tx.select", script: `
		> tx.rollback
		< channel.close 406 PRECONDITION_FAILED - channel is not transactional (90,30)`},
	{id: "R362", about: "confirms: routed, unroutable, mandatory unroutable (return comes before ack)", script: `
		> queue.declare queue=w1 exclusive
		< queue.declare-ok queue=w1
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=w1 body=1
		< basic.ack delivery-tag=1
		> basic.publish exchange=amq.direct routing-key=nope body=2
		< basic.ack delivery-tag=2
		> basic.publish exchange=amq.direct routing-key=nope mandatory body=3
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=nope body=3
		< basic.ack delivery-tag=3`},
	{id: "R363", about: "confirms start counting at 1 after confirm.select", script: `
		> queue.declare queue=w1 exclusive
		< queue.declare-ok queue=w1
		> basic.publish routing-key=w1 body=x
		> basic.publish routing-key=w1 body=x
		> basic.qos
		< basic.qos-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=w1 body=1
		< basic.ack delivery-tag=1`},
	{id: "R364", about: "confirms: persistent messages to a durable queue", script: `
		> queue.declare queue=w2 durable
		< queue.declare-ok queue=w2
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=w2 delivery-mode=2 body=1
		< basic.ack delivery-tag=1`},
	{id: "R365", about: "confirms: publish to a missing exchange", script: `
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=missing routing-key=k body=1
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (60,40)`},
	{id: "R366", about: "confirms: x-overflow reject-publish when full gives nack", script: `
		> queue.declare queue=w3 exclusive @x-max-length=1 @x-overflow='reject-publish'
		< queue.declare-ok queue=w3
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=w3 body=1
		< basic.ack delivery-tag=1
		> basic.publish routing-key=w3 body=2
		< basic.nack delivery-tag=2 multiple requeue
		> basic.publish routing-key=w3 mandatory body=3
		< basic.nack delivery-tag=3 multiple requeue`},
	{id: "R368", about: "tx: publish visible only after commit", script: `
		2> queue.declare queue=w5 exclusive
		2< queue.declare-ok queue=w5
		> tx.select
		< tx.select-ok
		> basic.publish routing-key=w5 body=1
		> channel.flow active
		< channel.flow-ok active
		2> basic.get queue=w5 no-ack
		2< basic.get-empty
		> tx.commit
		< tx.commit-ok
		2> basic.get queue=w5 no-ack
		2< basic.get-ok delivery-tag=1 routing-key=w5 body=1`},
	{id: "R369", about: "tx: rollback drops publishes", script: `
		2> queue.declare queue=w5 exclusive
		2< queue.declare-ok queue=w5
		> tx.select
		< tx.select-ok
		> basic.publish routing-key=w5 body=1
		> tx.rollback
		< tx.rollback-ok
		> tx.commit
		< tx.commit-ok
		2> basic.get queue=w5 no-ack
		2< basic.get-empty`},
	{id: "R370", about: "tx: ack then rollback leaves the message unacked (not requeued); then ack + commit", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=w6 exclusive
		< queue.declare-ok queue=w6
		> basic.publish routing-key=w6 body=1
		> basic.publish routing-key=w6 body=2
		> basic.qos
		< basic.qos-ok
		> tx.select
		< tx.select-ok
		> basic.get queue=w6
		< basic.get-ok delivery-tag=1 routing-key=w6 message-count=1 body=1
		> basic.ack delivery-tag=1
		> tx.rollback
		< tx.rollback-ok
		> queue.declare queue=w6 passive
		< queue.declare-ok queue=w6 message-count=1
		> basic.ack delivery-tag=1
		> tx.commit
		< tx.commit-ok
		> channel.close reply-code=200
		< channel.close-ok
		> channel.open
		< channel.open-ok
		> basic.get queue=w6 no-ack
		< basic.get-ok delivery-tag=1 routing-key=w6 body=2
		> basic.get queue=w6 no-ack
		< basic.get-empty`},
	{id: "R371", about: "tx: ack of an unknown tag, before commit", script: `
		> tx.select
		< tx.select-ok
		> basic.ack delivery-tag=9
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 9 (60,80)`},
	{id: "R372", about: "tx: publish to a missing exchange", script: `
		> tx.select
		< tx.select-ok
		> basic.publish exchange=missing routing-key=k body=1
		< channel.close 404 NOT_FOUND - no exchange 'missing' in vhost '/' (60,40)`},
	{id: "R373", about: "tx: mandatory unroutable publish: when does the return come", script: `
		> tx.select
		< tx.select-ok
		> basic.publish exchange=amq.direct routing-key=nope mandatory body=1
		> channel.flow active
		< channel.flow-ok active
		> tx.commit
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=nope body=1
		< tx.commit-ok`},
	{id: "R374", about: "tx: closing the channel rolls back", script: `
		2> queue.declare queue=w5 exclusive
		2< queue.declare-ok queue=w5
		> tx.select
		< tx.select-ok
		> basic.publish routing-key=w5 body=1
		> channel.close reply-code=200
		< channel.close-ok
		2> basic.get queue=w5 no-ack
		2< basic.get-empty`},
}
