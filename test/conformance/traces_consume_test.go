package conformance

// Rows of the recorded traces: consuming and getting.
var consumeTraces = []conformanceCase{
	{id: "R285", about: "basic.qos prefetch_size non-zero", script: `
		> basic.qos prefetch-size=10
		0< connection.close 540 NOT_IMPLEMENTED - prefetch_size!=0 (10) (60,10)`},
	{id: "R286", about: "basic.qos", script: `
		> basic.qos prefetch-count=10
		< basic.qos-ok
		> basic.qos prefetch-count=10 global
		< basic.qos-ok`},
	{id: "R287", about: "consume from a missing queue", script: `
		> basic.consume queue=missing
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (60,20)`},
	{id: "R288", about: "consume: server-generated tag", script: `
		> queue.declare queue=g1 exclusive
		< queue.declare-ok queue=g1
		> basic.consume queue=g1
		< basic.consume-ok consumer-tag=amq.ctag-…`},
	{id: "R289", about: "consume: duplicate tag on a channel", script: `
		> queue.declare queue=g1 exclusive
		< queue.declare-ok queue=g1
		> basic.consume queue=g1 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.consume queue=g1 consumer-tag=t
		0< connection.close 530 NOT_ALLOWED - attempt to reuse consumer tag 't' (60,20)`},
	{id: "R290", about: "consume: same tag on two channels", script: `
		> queue.declare queue=g1 exclusive
		< queue.declare-ok queue=g1
		> basic.consume queue=g1 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		2> basic.consume queue=g1 consumer-tag=t
		2< basic.consume-ok consumer-tag=t`},
	{id: "R291", about: "consume exclusively while there is a consumer", script: `
		> queue.declare queue=g2 exclusive
		< queue.declare-ok queue=g2
		> basic.consume queue=g2 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.consume queue=g2 consumer-tag=b exclusive
		< channel.close 403 ACCESS_REFUSED - queue 'g2' in vhost '/' in exclusive use (60,20)`},
	{id: "R292", about: "consume while there is an exclusive consumer", script: `
		> queue.declare queue=g2 exclusive
		< queue.declare-ok queue=g2
		> basic.consume queue=g2 consumer-tag=a exclusive
		< basic.consume-ok consumer-tag=a
		> basic.consume queue=g2 consumer-tag=b
		< channel.close 403 ACCESS_REFUSED - queue 'g2' in vhost '/' in exclusive use (60,20)`},
	{id: "R293", about: "basic.get while there is an exclusive consumer", script: `
		> queue.declare queue=g2 exclusive
		< queue.declare-ok queue=g2
		> basic.consume queue=g2 consumer-tag=a exclusive
		< basic.consume-ok consumer-tag=a
		> basic.get queue=g2
		< basic.get-empty`},
	{id: "R294", about: "consume nowait", script: `
		> queue.declare queue=g3 exclusive
		< queue.declare-ok queue=g3
		> basic.consume queue=g3 consumer-tag=a no-wait
		> channel.flow active
		< channel.flow-ok active
		> basic.publish routing-key=g3 body=x
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g3 body=x`},
	{id: "R295", about: "consume nowait with empty tag", script: `
		> queue.declare queue=g3 exclusive
		< queue.declare-ok queue=g3
		> basic.consume queue=g3 no-wait
		> channel.flow active
		< channel.flow-ok active
		> basic.publish routing-key=g3 body=x
		< basic.deliver consumer-tag=amq.ctag-… delivery-tag=1 routing-key=g3 body=x`},
	{id: "R296", about: "cancel an unknown tag", script: `
		> basic.cancel consumer-tag=nope
		< basic.cancel-ok consumer-tag=nope`},
	{id: "R297", about: "cancel nowait", script: `
		> queue.declare queue=g3 exclusive
		< queue.declare-ok queue=g3
		> basic.consume queue=g3 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.cancel consumer-tag=a no-wait
		> channel.flow active
		< channel.flow-ok active
		> basic.qos
		< basic.qos-ok`},
	{id: "R298", about: "consume with no_local (own message)", script: `
		> queue.declare queue=g4 exclusive
		< queue.declare-ok queue=g4
		> basic.consume queue=g4 consumer-tag=a no-local no-ack
		< basic.consume-ok consumer-tag=a
		> basic.publish routing-key=g4 body=x
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g4 body=x`},
	{id: "R299", about: "get from an empty queue", script: `
		> queue.declare queue=g5 exclusive
		< queue.declare-ok queue=g5
		> basic.get queue=g5
		< basic.get-empty`},
	{id: "R300", about: "get from a missing queue", script: `
		> basic.get queue=missing
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (60,70)`},
	{id: "R301", about: "get-ok contents: tag, redelivered, message_count", script: `
		> queue.declare queue=g6 exclusive
		< queue.declare-ok queue=g6
		> basic.publish routing-key=g6 body=1
		> basic.publish routing-key=g6 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g6
		< basic.get-ok delivery-tag=1 routing-key=g6 message-count=1 body=1
		> basic.get queue=g6 no-ack
		< basic.get-ok delivery-tag=2 routing-key=g6 body=2
		> basic.get queue=g6
		< basic.get-empty`},
	{id: "R345", about: "prefetch per consumer (global=false)", script: `
		> queue.declare queue=g12 exclusive
		< queue.declare-ok queue=g12
		> basic.publish routing-key=g12 body=0
		> basic.publish routing-key=g12 body=1
		> basic.publish routing-key=g12 body=2
		> basic.publish routing-key=g12 body=3
		> basic.publish routing-key=g12 body=4
		> basic.publish routing-key=g12 body=5
		> basic.qos
		< basic.qos-ok
		> basic.qos prefetch-count=2
		< basic.qos-ok
		> basic.consume queue=g12 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g12 body=0
		< basic.deliver consumer-tag=a delivery-tag=2 routing-key=g12 body=1
		> basic.consume queue=g12 consumer-tag=b
		< basic.consume-ok consumer-tag=b
		< basic.deliver consumer-tag=b delivery-tag=3 routing-key=g12 body=2
		< basic.deliver consumer-tag=b delivery-tag=4 routing-key=g12 body=3
		> basic.ack delivery-tag=1
		< basic.deliver consumer-tag=a delivery-tag=5 routing-key=g12 body=4`},
	{id: "R346", about: "prefetch per channel (global=true)", script: `
		> queue.declare queue=g12 exclusive
		< queue.declare-ok queue=g12
		> basic.publish routing-key=g12 body=0
		> basic.publish routing-key=g12 body=1
		> basic.publish routing-key=g12 body=2
		> basic.publish routing-key=g12 body=3
		> basic.publish routing-key=g12 body=4
		> basic.publish routing-key=g12 body=5
		> basic.qos
		< basic.qos-ok
		> basic.qos prefetch-count=2 global
		< basic.qos-ok
		> basic.consume queue=g12 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g12 body=0
		< basic.deliver consumer-tag=a delivery-tag=2 routing-key=g12 body=1
		> basic.consume queue=g12 consumer-tag=b
		< basic.consume-ok consumer-tag=b
		> basic.ack delivery-tag=1
		< basic.deliver consumer-tag=… delivery-tag=3 routing-key=g12 body=2`},
	{id: "R347", about: "qos global=false changed after consume does not touch existing consumers", script: `
		> queue.declare queue=g12 exclusive
		< queue.declare-ok queue=g12
		> basic.qos prefetch-count=1
		< basic.qos-ok
		> basic.consume queue=g12 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.qos prefetch-count=3
		< basic.qos-ok
		> basic.publish routing-key=g12 body=0
		> basic.publish routing-key=g12 body=1
		> basic.publish routing-key=g12 body=2
		> basic.publish routing-key=g12 body=3
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g12 body=0`},
	{id: "R348", about: "prefetch does not limit basic.get nor no_ack consumers", script: `
		> queue.declare queue=g12 exclusive
		< queue.declare-ok queue=g12
		> basic.publish routing-key=g12 body=0
		> basic.publish routing-key=g12 body=1
		> basic.publish routing-key=g12 body=2
		> basic.qos
		< basic.qos-ok
		> basic.qos prefetch-count=1 global
		< basic.qos-ok
		> basic.get queue=g12
		< basic.get-ok delivery-tag=1 routing-key=g12 message-count=2 body=0
		> basic.get queue=g12
		< basic.get-ok delivery-tag=2 routing-key=g12 message-count=1 body=1
		> basic.consume queue=g12 consumer-tag=a no-ack
		< basic.consume-ok consumer-tag=a
		< basic.deliver consumer-tag=a delivery-tag=3 routing-key=g12 body=2`},
	{id: "R349", about: "round robin between two consumers (order of deliveries)", script: `
		> queue.declare queue=g13 exclusive
		< queue.declare-ok queue=g13
		> basic.consume queue=g13 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.consume queue=g13 consumer-tag=b
		< basic.consume-ok consumer-tag=b
		> basic.publish routing-key=g13 body=0
		> basic.publish routing-key=g13 body=1
		> basic.publish routing-key=g13 body=2
		> basic.publish routing-key=g13 body=3
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=g13 body=0
		< basic.deliver consumer-tag=b delivery-tag=2 routing-key=g13 body=1
		< basic.deliver consumer-tag=a delivery-tag=3 routing-key=g13 body=2
		< basic.deliver consumer-tag=b delivery-tag=4 routing-key=g13 body=3`},
	{id: "R350", about: "consumer priorities: x-priority 10 first, spill over when its prefetch is full", script: `
		> queue.declare queue=g14 exclusive
		< queue.declare-ok queue=g14
		> basic.qos prefetch-count=2
		< basic.qos-ok
		> basic.consume queue=g14 consumer-tag=low
		< basic.consume-ok consumer-tag=low
		> basic.consume queue=g14 consumer-tag=high @x-priority=10
		< basic.consume-ok consumer-tag=high
		> basic.publish routing-key=g14 body=0
		> basic.publish routing-key=g14 body=1
		> basic.publish routing-key=g14 body=2
		> basic.publish routing-key=g14 body=3
		> basic.publish routing-key=g14 body=4
		< basic.deliver consumer-tag=high delivery-tag=1 routing-key=g14 body=0
		< basic.deliver consumer-tag=high delivery-tag=2 routing-key=g14 body=1
		< basic.deliver consumer-tag=low delivery-tag=3 routing-key=g14 body=2
		< basic.deliver consumer-tag=low delivery-tag=4 routing-key=g14 body=3`},
	{id: "R351", about: "queue deleted under a consumer (client announced consumer_cancel_notify)", script: `
		> queue.declare queue=g15
		< queue.declare-ok queue=g15
		> basic.consume queue=g15 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		b> queue.delete queue=g15
		b< queue.delete-ok
		< basic.cancel consumer-tag=t no-wait`},
	{id: "R352", about: "queue deleted under a consumer (client without that capability)", script: `
		> queue.declare queue=g15
		< queue.declare-ok queue=g15
		> basic.consume queue=g15 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		b> queue.delete queue=g15
		b< queue.delete-ok
		b> channel.flow active
		b< channel.flow-ok active`},
	{id: "R353", about: "queue deleted by the consuming channel itself", script: `
		> queue.declare queue=g15
		< queue.declare-ok queue=g15
		> basic.consume queue=g15 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> queue.delete queue=g15
		< queue.delete-ok
		< basic.cancel consumer-tag=t no-wait`},
	{id: "R354", about: "ack after the queue was deleted", script: `
		> queue.declare queue=g15
		< queue.declare-ok queue=g15
		> basic.publish routing-key=g15 body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g15
		< basic.get-ok delivery-tag=1 routing-key=g15 body=x
		> queue.delete queue=g15
		< queue.delete-ok
		> basic.ack delivery-tag=1
		> channel.flow active
		< channel.flow-ok active`},
}
