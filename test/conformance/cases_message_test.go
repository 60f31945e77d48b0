package conformance

// deadLetterCases are about time limits, length limits and dead-lettering, sections 6 to 8.
var deadLetterCases = []conformanceCase{
	{id: "S6.1", about: "the smaller of the message's and the queue's time counts", script: `
		> queue.declare queue=q exclusive @x-message-ttl=100
		< queue.declare-ok queue=q
		> queue.declare queue=r exclusive @x-message-ttl=60000
		< queue.declare-ok queue=r
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q expiration=60000 body=x
		< basic.ack delivery-tag=1
		> basic.publish routing-key=r expiration=100 body=x
		< basic.ack delivery-tag=2
		~> queue.declare queue=q passive
		< queue.declare-ok queue=q
		~> queue.declare queue=r passive
		< queue.declare-ok queue=r`},
	{id: "S6.3", about: "expiration 0 with a consumer that is ready, and without one", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish routing-key=q expiration=0 body=lost
		> basic.get queue=q no-ack
		< basic.get-empty
		> basic.consume queue=q consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=q expiration=0 body=x
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q expiration=0 body=x`},
	{id: "S6.7b", about: "a full queue refuses, the others take the message, and there is one nack", script: `
		> queue.declare queue=full exclusive @x-max-length=0 @x-overflow='reject-publish'
		< queue.declare-ok queue=full
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=full exchange=amq.fanout
		< queue.bind-ok
		> queue.bind queue=q exchange=amq.fanout
		< queue.bind-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=amq.fanout body=x
		< basic.nack delivery-tag=1 multiple requeue
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.fanout body=x`},
	{id: "S6.7c", about: "a message given back may go beyond the limit of a queue that refuses", script: `
		> queue.declare queue=q exclusive @x-max-length=1 @x-overflow='reject-publish'
		< queue.declare-ok queue=q
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q body=1
		< basic.ack delivery-tag=1
		> basic.get queue=q
		< basic.get-ok delivery-tag=1 routing-key=q body=1
		> basic.publish routing-key=q body=2
		< basic.ack delivery-tag=2
		> basic.nack delivery-tag=1 requeue
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=2 redelivered routing-key=q message-count=1 body=1`},
	{id: "S6.7d", about: "a single message beyond x-max-length-bytes is dead-lettered", script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.declare queue=q exclusive @x-max-length-bytes=3 @x-dead-letter-exchange='' @x-dead-letter-routing-key='dl'
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=four
		~> basic.get queue=dl no-ack
		< basic.get-ok delivery-tag=1 routing-key=dl headers={x-death:[{count:1l,reason:"maxlen",queue:"q",… body=four`},
	{id: "S7.2", about: "without x-dead-letter-routing-key all keys of the message count", script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.bind queue=dl exchange=amq.direct routing-key=copy
		< queue.bind-ok
		> queue.declare queue=q exclusive @x-message-ttl=50 @x-dead-letter-exchange='amq.direct'
		< queue.declare-ok queue=q
		> basic.publish routing-key=q @CC=['copy'] body=x
		~> basic.get queue=dl no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.direct routing-key=q headers={CC:["copy"],x-death:[{… body=x`},
	{id: "S7.3", about: "the exchange for dead letters is looked for when there is one", script: `
		> queue.declare queue=q exclusive @x-dead-letter-exchange='dlx'
		< queue.declare-ok queue=q
		> exchange.declare exchange=dlx type=fanout
		< exchange.declare-ok
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.bind queue=dl exchange=dlx
		< queue.bind-ok
		> basic.publish routing-key=q body=x
		> basic.get queue=q
		< basic.get-ok delivery-tag=1 routing-key=q body=x
		> basic.reject delivery-tag=1
		~> basic.get queue=dl no-ack
		< basic.get-ok … exchange=dlx routing-key=q headers=… body=x`},
	{id: "S7.4a", about: "the properties of a dead letter stay", script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.declare queue=q exclusive @x-message-ttl=50 @x-dead-letter-exchange='' @x-dead-letter-routing-key='dl'
		< queue.declare-ok queue=q
		> basic.publish routing-key=q content-type=t delivery-mode=2 priority=3 correlation-id=c timestamp=5 user-id=guest app-id=a body=x
		~> basic.get queue=dl no-ack
		< basic.get-ok delivery-tag=1 routing-key=dl content-type=t headers={x-death:[…]…} delivery-mode=2 priority=3 correlation-id=c timestamp=5 user-id=guest app-id=a body=x`},
	{id: "S8.1", about: "what a consumer has is not called back for a message of higher priority", script: `
		> queue.declare queue=q exclusive @x-max-priority=5
		< queue.declare-ok queue=q
		> basic.qos prefetch-count=1
		< basic.qos-ok
		2> confirm.select
		2< confirm.select-ok
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=q body=low
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q body=low
		2> basic.publish routing-key=q priority=1 body=mid
		2< basic.ack delivery-tag=1
		2> basic.publish routing-key=q priority=5 body=high
		2< basic.ack delivery-tag=2
		> basic.ack delivery-tag=1
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=q priority=5 body=high
		> basic.ack delivery-tag=2
		< basic.deliver consumer-tag=t delivery-tag=3 routing-key=q priority=1 body=mid`},
	{id: "S8.3", about: "a policy cannot set priorities", prepare: policy("p", "^pol\\.", `{"max-length":10}`), script: `
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a priority=9 body=2
		> basic.get queue=pol.a no-ack
		< basic.get-ok delivery-tag=1 routing-key=pol.a message-count=1 body=1`},
}

// publishCases are about publishing, confirms and transactions, sections 9, 10 and 12.
var publishCases = []conformanceCase{
	{id: "R302", about: "all properties come back", script: `
		> queue.declare queue=g7 exclusive
		< queue.declare-ok queue=g7
		> basic.publish routing-key=g7 content-type=t content-encoding=e @s='x' @i=1 @n=void @b=true @l=[1,'a'] @t={k:l:1099511627776} @f=1.5 @by=x:00 delivery-mode=2 priority=200 correlation-id=c reply-to=r expiration=60000 message-id=m timestamp=1700000000 type=ty user-id=guest app-id=a cluster-id=cl body='\x00y'
		> basic.get queue=g7 no-ack
		< basic.get-ok delivery-tag=1 routing-key=g7 content-type=t content-encoding=e headers={s:"x",i:1I,n:void,b:true,l:[1I,"a"],t:{k:1099511627776l},f:1.5d,by:…} delivery-mode=2 priority=200 correlation-id=c reply-to=r expiration=60000 message-id=m timestamp=1700000000 type=ty user-id=guest app-id=a cluster-id=cl body=…y`},
	{id: "R331", about: "expiration that is empty", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> raw 0100010000000c003c00280000000367313000ce 0200010000000f003c00000000000000000001010000ce 0300010000000178ce
		< channel.close 406 PRECONDITION_FAILED - invalid expiration '': no_integer (60,40)`},
	{id: "S6.1b", about: "expiration is checked although nobody gets the message", script: `
		> basic.publish exchange=amq.fanout expiration=abc body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer (60,40)`},
	{id: "S9.1b", about: "the user_id is checked after the expiration", script: `
		> basic.publish exchange=amq.fanout expiration=abc user-id=nobody body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer (60,40)`},
	{id: "S9.2", about: "a returned message has its properties and its body", script: `
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=amq.direct routing-key=nowhere mandatory content-type=t @a=1 message-id=m body=hello
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=nowhere content-type=t headers={a:1I} message-id=m body=hello
		< basic.ack delivery-tag=1`},
	{id: "S9.4", about: "BCC is taken out, CC stays, and the first key is shown", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.declare queue=cc exclusive
		< queue.declare-ok queue=cc
		> queue.declare queue=bcc exclusive
		< queue.declare-ok queue=bcc
		> basic.publish routing-key=q @CC=['cc'] @BCC=['bcc'] body=x
		> basic.get queue=bcc no-ack
		< basic.get-ok delivery-tag=1 routing-key=q headers={CC:["cc"]} body=x
		> basic.get queue=cc no-ack
		< basic.get-ok delivery-tag=2 routing-key=q headers={CC:["cc"]} body=x`},
	{id: "S9.7", about: "one channel, one queue: the order stays", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=1
		> basic.publish routing-key=q delivery-mode=2 body=2
		> basic.publish routing-key=q body=3
		> basic.consume queue=q consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q body=1
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=q delivery-mode=2 body=2
		< basic.deliver consumer-tag=t delivery-tag=3 routing-key=q body=3`},
	{id: "R367", about: "what expires at once or is dropped is confirmed", script: `
		> queue.declare queue=w4 exclusive @x-max-length=1 @x-message-ttl=0
		< queue.declare-ok queue=w4
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=w4 body=1
		< basic.ack delivery-tag=1
		> basic.publish routing-key=w4 body=2
		< basic.ack delivery-tag=2`},
	{id: "S10.3", about: "an ack for several does not cover a nack", script: `
		> queue.declare queue=full exclusive @x-max-length=0 @x-overflow='reject-publish'
		< queue.declare-ok queue=full
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q body=1
		> basic.publish routing-key=full body=2
		> basic.publish routing-key=q body=3
		do settle`, do: map[string]func(*run) error{"settle": func(r *run) error {
		return expectConfirms(r.clients["a"], 3, 2)
	}}},
	{id: "S10.4", about: "a message for a queue that was deleted counts as taken", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.delete queue=q
		< queue.delete-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q body=x
		< basic.ack delivery-tag=1`},
	{id: "S12.1", about: "what is declared within a transaction counts at once", script: `
		> tx.select
		< tx.select-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> tx.rollback
		< tx.rollback-ok
		> queue.declare queue=q passive
		< queue.declare-ok queue=q`},
	{id: "S12.3", about: "a commit that a queue refuses in part", script: `
		> queue.declare queue=full exclusive @x-max-length=0 @x-overflow='reject-publish'
		< queue.declare-ok queue=full
		> tx.select
		< tx.select-ok
		> basic.publish routing-key=full body=x
		> tx.commit
		< channel.close 406 PRECONDITION_FAILED - partial tx completion (90,20)`},
	{id: "S12.2", about: "where a message goes is decided when it is published", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> tx.select
		< tx.select-ok
		> basic.publish exchange=amq.direct routing-key=k body=x
		> queue.bind queue=q exchange=amq.direct routing-key=k
		< queue.bind-ok
		> tx.commit
		< tx.commit-ok
		> basic.get queue=q no-ack
		< basic.get-empty`},
}

// consumeCases are about consuming, sections 11, 14 and 15.
var consumeCases = []conformanceCase{
	{id: "S11.2", about: "an exclusive consumer leaves the queue to others when it goes", script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		> basic.consume queue=q consumer-tag=t exclusive
		< basic.consume-ok consumer-tag=t
		b> basic.consume queue=q consumer-tag=t
		b< channel.close 403 ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use (60,20)
		> basic.cancel consumer-tag=t
		< basic.cancel-ok consumer-tag=t
		b2> basic.consume queue=q consumer-tag=t
		b2< basic.consume-ok consumer-tag=t`},
	{id: "S11.5", about: "the limit of a channel is changed while it consumes", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.qos prefetch-count=1 global
		< basic.qos-ok
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=q body=1
		> basic.publish routing-key=q body=2
		> basic.publish routing-key=q body=3
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q body=1
		< (nothing)
		> basic.qos prefetch-count=2 global
		< basic.qos-ok
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=q body=2
		> basic.ack delivery-tag=1
		< basic.deliver consumer-tag=t delivery-tag=3 routing-key=q body=3`},
	{id: "S11.7", about: "one count of delivery tags for get and deliver, with and without acknowledgements", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=1
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 routing-key=q body=1
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=q body=2
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=q body=2
		2> basic.publish routing-key=q body=3
		< basic.deliver consumer-tag=t delivery-tag=3 routing-key=q body=3
		> basic.ack multiple
		> basic.ack delivery-tag=3
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 3 (60,80)`},
	{id: "S11.11", about: "a queue with a delivery limit counts, and gives up after the limit", prepare: own, script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.declare queue=q exclusive @x-delivery-limit=1 @x-dead-letter-exchange='' @x-dead-letter-routing-key='dl'
		< queue.declare-ok queue=q
		> basic.publish routing-key=q body=x
		> basic.get queue=q
		< basic.get-ok delivery-tag=1 routing-key=q body=x
		> basic.reject delivery-tag=1 requeue
		> basic.get queue=q
		< basic.get-ok delivery-tag=2 redelivered routing-key=q headers={x-delivery-count:1l} body=x
		> basic.reject delivery-tag=2 requeue
		~> basic.get queue=dl no-ack
		< basic.get-ok delivery-tag=3 routing-key=dl headers={…x-death:[{count:1l,reason:"delivery_limit",queue:"q",… body=x`},
	{id: "S14.5", about: "keys that a policy sets: dead-letter exchange and time", prepare: policy("p", "^pol\\.", `{"message-ttl":50,"dead-letter-exchange":"","dead-letter-routing-key":"dl"}`), script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=x
		~> basic.get queue=dl no-ack
		< basic.get-ok delivery-tag=1 routing-key=dl headers={x-death:[{count:1l,reason:"expired",queue:"pol.a",… body=x`},
	{id: "S14.6", about: "a policy acts on what is in a queue already", prepare: own, do: map[string]func(*run) error{"limit": func(r *run) error {
		policy("p", "^pol\\.", `{"max-length":1}`)(r.t, r.target.broker)
		return nil
	}}, script: `
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a body=2
		> basic.publish routing-key=pol.a body=3
		> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=3
		do limit
		~> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=1
		> basic.get queue=pol.a no-ack
		< basic.get-ok delivery-tag=1 routing-key=pol.a body=3`},
	{id: "S14.2", about: "a key that does not fit a queue does not keep the others from it", prepare: policy("p", "^pol\\.", `{"max-length":1,"max-age":"1D"}`), script: `
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a body=2
		~> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=1`},
	denied("S15.1b", "passive declare needs any permission", "queue.declare queue=theirs passive", "configure access to queue 'theirs'", "50,10"),
	denied("S15.1c", "a dead-letter exchange needs write on it", "queue.declare queue=mine @x-dead-letter-exchange='theirs'", "write access to exchange 'theirs'", "50,10"),
	denied("S15.1d", "an alternate exchange needs write on it", "exchange.declare exchange=mine type=direct @alternate-exchange='theirs'", "write access to exchange 'theirs'", "40,10"),
	denied("S15.1e", "deleting an exchange needs configure", "exchange.delete exchange=theirs", "configure access to exchange 'theirs'", "40,20"),
	denied("S15.1f", "unbinding needs write on the queue", "queue.unbind queue=theirs exchange=amq.direct", "write access to queue 'theirs'", "50,50"),
	denied("S15.1g", "binding exchanges needs write on the destination", "exchange.bind destination=amq.direct source=amq.fanout", "write access to exchange 'amq.direct'", "40,30"),
	{id: "S15.2k", about: "a permission that is taken away counts at once", prepare: user(".*", ".*", ".*"), do: map[string]func(*run) error{"revoke": func(r *run) error {
		return fmtError("permission", r.target.broker.ClearPermission(background(r.t), "conf", "/"))
	}}, script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		connect b user=conf password=secret
		b0< connection.open-ok
		b> basic.publish routing-key=q body=x
		b> basic.get queue=q no-ack
		b< basic.get-ok delivery-tag=1 routing-key=q body=x
		do revoke
		b> basic.get queue=q no-ack
		b< channel.close 403 ACCESS_REFUSED - read access to queue 'q' in vhost '/' refused for user 'conf' (60,70)`},
	{id: "S15.3b", about: "topic permissions restrict binding keys", prepare: topicPermission("^mine\\.", "^mine\\."), script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		b> queue.bind queue=q exchange=amq.topic routing-key=mine.a
		b< queue.bind-ok
		b> queue.bind queue=q exchange=amq.topic routing-key=theirs.a
		b< channel.close 403 ACCESS_REFUSED - read access to topic 'theirs.a' in exchange 'amq.topic' in vhost '/' refused for user 'conf' (50,20)`},
	{id: "S15.3c", about: "topic permissions with variables", prepare: topicPermission("^{username}\\.", ".*"), script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b> basic.publish exchange=amq.topic routing-key=conf.a
		b> basic.publish exchange=amq.topic routing-key=guest.a
		b< channel.close 403 ACCESS_REFUSED - write access to topic 'guest.a' in exchange 'amq.topic' in vhost '/' refused for user 'conf' (60,40)`},
	{id: "S16.3", about: "a reply to a requester that has gone", script: `
		b> queue.declare queue=rpc exclusive
		b< queue.declare-ok queue=rpc
		> basic.consume queue=amq.rabbitmq.reply-to consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.publish routing-key=rpc reply-to=amq.rabbitmq.reply-to body=x
		~b> basic.get queue=rpc no-ack
		b< basic.get-ok delivery-tag=1 routing-key=rpc reply-to=amq.rabbitmq.reply-to.… body=x
		> basic.cancel consumer-tag=t
		< basic.cancel-ok consumer-tag=t
		b> basic.publish routing-key=amq.rabbitmq.reply-to.$ mandatory body=late
		b< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=amq.rabbitmq.reply-to.… body=late`},
}
