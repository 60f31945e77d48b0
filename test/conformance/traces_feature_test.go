package conformance

// Rows of the recorded traces: queue features: expiry, dead-lettering, limits, priorities, direct reply-to.
var featureTraces = []conformanceCase{
	{id: "R375", about: "x-message-ttl 200: gone after 0.5 s", script: `
		> queue.declare queue=z1 exclusive @x-message-ttl=200
		< queue.declare-ok queue=z1
		> basic.publish routing-key=z1 body=1
		> basic.publish routing-key=z1 body=2
		> basic.qos
		< basic.qos-ok
		~> queue.declare queue=z1 passive
		< queue.declare-ok queue=z1
		> basic.get queue=z1 no-ack
		< basic.get-empty`},
	{id: "R376", about: "x-message-ttl 0: unroutable to a queue without consumer, delivered to one with", script: `
		> queue.declare queue=z1 exclusive @x-message-ttl=0
		< queue.declare-ok queue=z1
		> basic.publish routing-key=z1 body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z1 no-ack
		< basic.get-empty
		> basic.consume queue=z1 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=z1 mandatory body=2
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=z1 body=2`},
	{id: "R378", about: "expiration property is kept on delivery", script: `
		> queue.declare queue=z2 exclusive
		< queue.declare-ok queue=z2
		> basic.publish routing-key=z2 expiration=60000 body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z2 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z2 expiration=60000 body=x`},
	{id: "R380", about: "dead letter: expired by x-message-ttl", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-message-ttl=100
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs message-id=m @mine=1 body=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={mine:1I,x-death:[{count:1l,reason:"expired",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"expired"} message-id=m body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R381", about: "dead letter: expired by expiration property (property removed, original-expiration in x-death)", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs expiration=100 body=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={x-death:[{count:1l,reason:"expired",queue:"zs",time:time,exchange:"",routing-keys:["zs"],original-expiration:"100"}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"expired"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R382", about: "dead letter: basic.reject", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.qos
		< basic.qos-ok
		> basic.get queue=zs
		< basic.get-ok delivery-tag=1 routing-key=zs body=1
		> basic.reject delivery-tag=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=2 routing-key=zdl headers={x-death:[{count:1l,reason:"rejected",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"rejected"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R383", about: "dead letter: basic.nack multiple: order", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.publish routing-key=zs body=2
		> basic.publish routing-key=zs body=3
		> basic.qos
		< basic.qos-ok
		> basic.get queue=zs
		< basic.get-ok delivery-tag=1 routing-key=zs message-count=2 body=1
		> basic.get queue=zs
		< basic.get-ok delivery-tag=2 routing-key=zs message-count=1 body=2
		> basic.get queue=zs
		< basic.get-ok delivery-tag=3 routing-key=zs body=3
		> basic.nack delivery-tag=3 multiple
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=4 routing-key=zdl message-count=2 headers={x-death:[{count:1l,reason:"rejected",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"rejected"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=5 routing-key=zdl message-count=1 headers={x-death:[{count:1l,reason:"rejected",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"rejected"} body=2
		> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=6 routing-key=zdl headers={x-death:[{count:1l,reason:"rejected",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"rejected"} body=3
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R384", about: "dead letter: x-max-length 1 (drop-head)", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-max-length=1
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.publish routing-key=zs body=2
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={x-death:[{count:1l,reason:"maxlen",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"maxlen"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R385", about: "dead letter: x-overflow reject-publish-dlx", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-max-length=1 @x-overflow='reject-publish-dlx'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.publish routing-key=zs body=2
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={x-death:[{count:1l,reason:"maxlen",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"maxlen"} body=2
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R386", about: "dead letter: x-overflow reject-publish does not dead-letter", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-max-length=1 @x-overflow='reject-publish'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.publish routing-key=zs body=2
		~> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R387", about: "dead letter: with CC and BCC headers", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-message-ttl=50
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs @CC=['other'] @BCC=['hid'] body=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={x-death:[{count:1l,reason:"expired",queue:"zs",time:time,exchange:"",routing-keys:["zs","other"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"expired"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R388", about: "dead letter: CC kept when no x-dead-letter-routing-key is set (DLX amq.direct, routing key of the message)", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='amq.direct' @x-message-ttl=50
		< queue.declare-ok queue=zs
		> queue.bind queue=zdl exchange=amq.direct routing-key=zs
		< queue.bind-ok
		> basic.publish routing-key=zs @CC=['zzz'] body=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.direct routing-key=zs headers={CC:["zzz"],x-death:[{count:1l,reason:"expired",queue:"zs",time:time,exchange:"",routing-keys:["zs","zzz"]}],x-first-death-exchange:"",x-first-death-queue:"zs",x-first-death-reason:"expired"} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R389", about: "dead letter: queue deleted / purged does not dead-letter", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl'
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		> basic.qos
		< basic.qos-ok
		> queue.purge queue=zs
		< queue.purge-ok message-count=1
		> basic.publish routing-key=zs body=2
		> basic.qos
		< basic.qos-ok
		> queue.delete queue=zs
		< queue.delete-ok message-count=1
		~> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R390", about: "dead letter: DLX missing: message dropped", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='gone' @x-dead-letter-routing-key='zdl' @x-message-ttl=50
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs body=1
		~> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R391", about: "dead letter: publisher-made x-death header", script: `
		> queue.declare queue=zdl exclusive
		< queue.declare-ok queue=zdl
		> queue.declare queue=zs exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zdl' @x-message-ttl=50
		< queue.declare-ok queue=zs
		> basic.publish routing-key=zs @x-death='fake' body=1
		~> basic.get queue=zdl no-ack
		< basic.get-ok delivery-tag=1 routing-key=zdl headers={x-death:[{count:1l,reason:"expired",queue:"zs",time:time,exchange:"",routing-keys:["zs"]}]} body=1
		> basic.get queue=zdl no-ack
		< basic.get-empty`},
	{id: "R392", about: "dead letter: second death in the same queue raises count; two queues give two entries, latest first", script: `
		> queue.declare queue=zA exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zB'
		< queue.declare-ok queue=zA
		> queue.declare queue=zB exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zA'
		< queue.declare-ok queue=zB
		> basic.publish routing-key=zA body=1
		> basic.qos
		< basic.qos-ok
		~> basic.get queue=zA
		< basic.get-ok delivery-tag=1 routing-key=zA body=1
		> basic.reject delivery-tag=1
		~> basic.get queue=zB
		< basic.get-ok delivery-tag=2 routing-key=zB headers={x-death:[{count:1l,reason:"rejected",queue:"zA",time:time,exchange:"",routing-keys:["zA"]}],x-first-death-exchange:"",x-first-death-queue:"zA",x-first-death-reason:"rejected"} body=1
		> basic.reject delivery-tag=2
		~> basic.get queue=zA
		< basic.get-ok delivery-tag=3 routing-key=zA headers={x-death:[{count:1l,exchange:"",queue:"zB",reason:"rejected",routing-keys:["zB"],time:time},{count:1l,reason:"rejected",queue:"zA",time:time,exchange:"",routing-keys:["zA"]}],x-first-death-exchange:"",x-first-death-queue:"zA",x-first-death-reason:"rejected"} body=1
		> basic.reject delivery-tag=3
		~> basic.get queue=zB
		< basic.get-ok delivery-tag=4 routing-key=zB headers={x-death:[{count:2l,exchange:"",queue:"zA",reason:"rejected",routing-keys:["zA"],time:time},{count:1l,exchange:"",queue:"zB",reason:"rejected",routing-keys:["zB"],time:time}],x-first-death-exchange:"",x-first-death-queue:"zA",x-first-death-reason:"rejected"} body=1
		> basic.reject delivery-tag=4
		~> basic.get queue=zA no-ack
		< basic.get-ok delivery-tag=5 routing-key=zA headers={x-death:[{count:2l,exchange:"",queue:"zB",reason:"rejected",routing-keys:["zB"],time:time},{count:2l,exchange:"",queue:"zA",reason:"rejected",routing-keys:["zA"],time:time}],x-first-death-exchange:"",x-first-death-queue:"zA",x-first-death-reason:"rejected"} body=1`},
	{id: "R393", about: "dead letter: automatic cycle by expiry is cut (message dropped)", script: `
		> queue.declare queue=zC exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zC' @x-message-ttl=50
		< queue.declare-ok queue=zC
		> basic.publish routing-key=zC body=1
		> basic.qos
		< basic.qos-ok
		~> queue.declare queue=zC passive
		< queue.declare-ok queue=zC`},
	{id: "R394", about: "dead letter: cycle of two queues with a rejection in it continues", script: `
		> queue.declare queue=zR exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zW'
		< queue.declare-ok queue=zR
		> queue.declare queue=zW exclusive @x-dead-letter-exchange='' @x-dead-letter-routing-key='zR' @x-message-ttl=50
		< queue.declare-ok queue=zW
		> basic.publish routing-key=zR body=1
		> basic.qos
		< basic.qos-ok
		> basic.get queue=zR
		< basic.get-ok delivery-tag=1 routing-key=zR body=1
		> basic.reject delivery-tag=1
		~> basic.get queue=zR
		< basic.get-ok delivery-tag=2 routing-key=zR headers={x-death:[{count:1l,exchange:"",queue:"zW",reason:"expired",routing-keys:["zW"],time:time},{count:1l,reason:"rejected",queue:"zR",time:time,exchange:"",routing-keys:["zR"]}],x-first-death-exchange:"",x-first-death-queue:"zR",x-first-death-reason:"rejected"} body=1
		> basic.reject delivery-tag=2
		~> basic.get queue=zR
		< basic.get-ok delivery-tag=3 routing-key=zR headers={x-death:[{count:2l,exchange:"",queue:"zW",reason:"expired",routing-keys:["zW"],time:time},{count:2l,exchange:"",queue:"zR",reason:"rejected",routing-keys:["zR"],time:time}],x-first-death-exchange:"",x-first-death-queue:"zR",x-first-death-reason:"rejected"} body=1
		> basic.reject delivery-tag=3`},
	{id: "R395", about: "x-max-length 3 drop-head keeps the newest", script: `
		> queue.declare queue=z5 exclusive @x-max-length=3
		< queue.declare-ok queue=z5
		> basic.publish routing-key=z5 body=0
		> basic.publish routing-key=z5 body=1
		> basic.publish routing-key=z5 body=2
		> basic.publish routing-key=z5 body=3
		> basic.publish routing-key=z5 body=4
		> basic.publish routing-key=z5 body=5
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z5 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z5 message-count=2 body=3
		> basic.get queue=z5 no-ack
		< basic.get-ok delivery-tag=2 routing-key=z5 message-count=1 body=4
		> basic.get queue=z5 no-ack
		< basic.get-ok delivery-tag=3 routing-key=z5 body=5
		> basic.get queue=z5 no-ack
		< basic.get-empty`},
	{id: "R396", about: "x-max-length counts only ready messages", script: `
		> queue.declare queue=z5 exclusive @x-max-length=1
		< queue.declare-ok queue=z5
		> basic.publish routing-key=z5 body=1
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z5
		< basic.get-ok delivery-tag=1 routing-key=z5 body=1
		> basic.publish routing-key=z5 body=2
		> basic.qos
		< basic.qos-ok
		> basic.reject delivery-tag=1 requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=z5 no-ack
		< basic.get-ok delivery-tag=2 routing-key=z5 body=2
		> basic.get queue=z5 no-ack
		< basic.get-empty`},
	{id: "R397", about: "x-max-length-bytes 10", script: `
		> queue.declare queue=z6 exclusive @x-max-length-bytes=10
		< queue.declare-ok queue=z6
		> basic.publish routing-key=z6 body=aaaa
		> basic.publish routing-key=z6 body=bbbb
		> basic.publish routing-key=z6 body=cccc
		> basic.publish routing-key=z6 body=xxxxxxxxxxx
		> basic.qos
		< basic.qos-ok
		> queue.declare queue=z6 passive
		< queue.declare-ok queue=z6
		> basic.get queue=z6 no-ack
		< basic.get-empty`},
	{id: "R398", about: "x-max-length 0", script: `
		> queue.declare queue=z7 exclusive @x-max-length=0
		< queue.declare-ok queue=z7
		> basic.publish routing-key=z7 body=1
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z7 no-ack
		< basic.get-empty
		> basic.consume queue=z7 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=z7 body=2
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=z7 body=2`},
	{id: "R399", about: "priority queue (x-max-priority 5): order; above the maximum; none", script: `
		> queue.declare queue=z8 exclusive @x-max-priority=5
		< queue.declare-ok queue=z8
		> basic.publish routing-key=z8 priority=1 body=p1
		> basic.publish routing-key=z8 priority=3 body=p3
		> basic.publish routing-key=z8 body=pNone
		> basic.publish routing-key=z8 priority=9 body=p9
		> basic.publish routing-key=z8 priority=5 body=p5
		> basic.publish routing-key=z8 priority=0 body=p0
		> basic.publish routing-key=z8 priority=3 body=p3
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z8 message-count=6 priority=9 body=p9
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=2 routing-key=z8 message-count=5 priority=5 body=p5
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=3 routing-key=z8 message-count=4 priority=3 body=p3
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=4 routing-key=z8 message-count=3 priority=3 body=p3
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=5 routing-key=z8 message-count=2 priority=1 body=p1
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=6 routing-key=z8 message-count=1 body=pNone
		> basic.get queue=z8 no-ack
		< basic.get-ok delivery-tag=7 routing-key=z8 body=p0`},
	{id: "R400", about: "single active consumer: only one gets messages; hand-over on cancel", script: `
		> queue.declare queue=z9 exclusive @x-single-active-consumer=true
		< queue.declare-ok queue=z9
		> basic.consume queue=z9 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		> basic.consume queue=z9 consumer-tag=b
		< basic.consume-ok consumer-tag=b
		> basic.publish routing-key=z9 body=1
		> basic.publish routing-key=z9 body=2
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=z9 body=1
		< basic.deliver consumer-tag=a delivery-tag=2 routing-key=z9 body=2
		> basic.cancel consumer-tag=a
		< basic.cancel-ok consumer-tag=a
		> basic.publish routing-key=z9 body=3
		< basic.deliver consumer-tag=b delivery-tag=3 routing-key=z9 body=3`},
	{id: "R401", about: "single active consumer: exclusive consume refused", script: `
		> queue.declare queue=z9 exclusive @x-single-active-consumer=true
		< queue.declare-ok queue=z9
		> basic.consume queue=z9 consumer-tag=a exclusive
		< channel.close 403 ACCESS_REFUSED - queue 'z9' in vhost '/' in exclusive use (60,20)`},
	{id: "R402", about: "single active consumer: hand-over when its channel closes; requeued message goes to the next", script: `
		> queue.declare queue=z9 exclusive @x-single-active-consumer=true
		< queue.declare-ok queue=z9
		> basic.consume queue=z9 consumer-tag=a
		< basic.consume-ok consumer-tag=a
		2> basic.consume queue=z9 consumer-tag=b
		2< basic.consume-ok consumer-tag=b
		> basic.publish routing-key=z9 body=1
		< basic.deliver consumer-tag=a delivery-tag=1 routing-key=z9 body=1
		> channel.close reply-code=200
		< channel.close-ok
		2< basic.deliver consumer-tag=b delivery-tag=1 redelivered routing-key=z9 body=1`},
	{id: "R403", about: "direct reply-to: full round trip", script: `
		b> queue.declare queue=rpc exclusive
		b< queue.declare-ok queue=rpc
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=rpc correlation-id=c1 reply-to=amq.rabbitmq.reply-to body=req
		> basic.qos
		< basic.qos-ok
		b> basic.get queue=rpc no-ack
		b< basic.get-ok delivery-tag=1 routing-key=rpc correlation-id=c1 reply-to=amq.rabbitmq.reply-to.g1… body=req
		b> queue.declare queue=amq.rabbitmq.reply-to.g1$ passive
		b< queue.declare-ok queue=amq.rabbitmq.reply-to.g1… consumer-count=1
		b> basic.publish routing-key=amq.rabbitmq.reply-to.g1$ mandatory correlation-id=c1 body=answer
		b< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=amq.rabbitmq.reply-to.g1… correlation-id=c1 body=answer
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=amq.rabbitmq.reply-to.g1… correlation-id=c1 body=answer
		> channel.close reply-code=200
		< channel.close-ok
		b> queue.declare queue=amq.rabbitmq.reply-to.g1$ passive
		b< channel.close 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to.g1…' in vhost '/' (50,10)`},
	{id: "R404", about: "direct reply-to: consume with acks", script: `
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=t
		< channel.close 406 PRECONDITION_FAILED - reply consumer cannot acknowledge (60,20)`},
	{id: "R405", about: "direct reply-to: publish with that reply_to without consuming", script: `
		> basic.publish exchange=amq.direct routing-key=x reply-to=amq.rabbitmq.reply-to body=r
		< channel.close 406 PRECONDITION_FAILED - fast reply consumer does not exist (60,40)`},
	{id: "R406", about: "direct reply-to: second consume on the channel", script: `
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=u no-ack
		< channel.close 406 PRECONDITION_FAILED - reply consumer already set (60,20)`},
	{id: "R407", about: "direct reply-to: passive declare, basic.get, declare, delete, bind", script: `
		> queue.declare queue=amq.rabbitmq.reply-to passive
		< queue.declare-ok queue=amq.rabbitmq.reply-to consumer-count=1
		> queue.declare queue=amq.rabbitmq.reply-to
		< queue.declare-ok queue=amq.rabbitmq.reply-to consumer-count=1`},
	{id: "R408", about: "direct reply-to: basic.get", script: `
		> basic.get queue=amq.rabbitmq.reply-to
		< channel.close 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/' (60,70)`},
	{id: "R409", about: "direct reply-to: cancel", script: `
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.cancel consumer-tag=t
		< basic.cancel-ok consumer-tag=t
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=u no-ack
		< basic.consume-ok consumer-tag=u`},
	{id: "R410", about: "direct reply-to: queue.delete / queue.bind", script: `
		> queue.bind queue=amq.rabbitmq.reply-to exchange=amq.direct routing-key=k
		< channel.close 404 NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/' (50,20)`},
	{id: "R411", about: "publish to a stale or made-up reply-to name, mandatory", script: `
		> basic.publish routing-key=amq.rabbitmq.reply-to.g2dkABByYWJiaXQ.bogus mandatory body=x
		0< connection.close 541 INTERNAL_ERROR (0,0)`},
	{id: "R412", about: "persistence flag: transient message in durable queue, get right away", script: `
		> queue.declare queue=z10 durable
		< queue.declare-ok queue=z10
		> basic.publish routing-key=z10 delivery-mode=1 body=t
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z10 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z10 delivery-mode=1 body=t`},
	{id: "R413", about: "x-delay header / BCC absent on delivery", script: `
		> queue.declare queue=z11 exclusive
		< queue.declare-ok queue=z11
		> basic.publish routing-key=z11 @x-delay=50 @BCC=['nowhere'] body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=z11 no-ack
		< basic.get-ok delivery-tag=1 routing-key=z11 headers={x-delay:50I} body=x`},
}
