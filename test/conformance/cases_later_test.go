package conformance

// laterCases are about what RabbitMQ has got since 3.10, or as a plugin: recent history, acknowledgement timeouts.
var laterCases = []conformanceCase{
	{id: "S3.17", about: "x-recent-history: the latest messages come with a binding, in order, but for those that the header keeps out", script: `
		> exchange.declare exchange=chat type=x-recent-history @x-recent-history-length=2
		< exchange.declare-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=chat routing-key=k body=1
		< basic.ack delivery-tag=1
		> basic.publish exchange=chat routing-key=k body=2
		< basic.ack delivery-tag=2
		> basic.publish exchange=chat routing-key=k body=3
		< basic.ack delivery-tag=3
		> basic.publish exchange=chat routing-key=k @x-recent-history-no-store=true body=4
		< basic.ack delivery-tag=4
		> queue.declare queue=kh exclusive
		< queue.declare-ok queue=kh
		> queue.bind queue=kh exchange=chat
		< queue.bind-ok
		~> queue.declare queue=kh passive
		< queue.declare-ok queue=kh message-count=2
		> basic.get queue=kh no-ack
		< basic.get-ok delivery-tag=1 exchange=chat routing-key=k message-count=1 body=2
		> basic.get queue=kh no-ack
		< basic.get-ok delivery-tag=2 exchange=chat routing-key=k body=3
		> basic.publish exchange=chat routing-key=k body=5
		< basic.ack delivery-tag=5
		> basic.get queue=kh no-ack
		< basic.get-ok delivery-tag=3 exchange=chat routing-key=k body=5`},
	{id: "S3.17.bind", about: "x-recent-history: binding again brings nothing, another binding does", script: `
		> exchange.declare exchange=chat type=x-recent-history
		< exchange.declare-ok
		> basic.publish exchange=chat body=1
		> queue.declare queue=kh exclusive
		< queue.declare-ok queue=kh
		> queue.bind queue=kh exchange=chat
		< queue.bind-ok
		> queue.bind queue=kh exchange=chat
		< queue.bind-ok
		~> queue.purge queue=kh
		< queue.purge-ok message-count=1
		> queue.bind queue=kh exchange=chat routing-key=other
		< queue.bind-ok
		~> queue.purge queue=kh
		< queue.purge-ok message-count=1`},
	{id: "S3.17.mandatory", about: "x-recent-history: what only the history takes is returned if it is mandatory", script: `
		> exchange.declare exchange=chat type=x-recent-history
		< exchange.declare-ok
		> basic.publish exchange=chat routing-key=k mandatory body=1
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=chat routing-key=k body=1
		> queue.declare queue=kh exclusive
		< queue.declare-ok queue=kh
		> queue.bind queue=kh exchange=chat
		< queue.bind-ok
		~> basic.get queue=kh no-ack
		< basic.get-ok delivery-tag=1 exchange=chat routing-key=k body=1`},
	{id: "S3.17.length", about: "x-recent-history-length must be positive", script: `
		> exchange.declare exchange=chat type=x-recent-history @x-recent-history-length=0
		< channel.close 406 PRECONDITION_FAILED - Invalid argument 0, 'x-recent-history-length' must be a positive integer (40,10)`},
	{id: "S5.12.timeout", about: "x-consumer-timeout of queue.declare must be an integer of 0 or more", script: `
		> queue.declare queue=ka @x-consumer-timeout=-1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'ka' in vhost '/': {value_negative,-1} (50,10)`},
	{id: "S11.1.timeout", about: "x-consumer-timeout of basic.consume must be an integer of 0 or more", script: `
		> queue.declare queue=ka exclusive
		< queue.declare-ok queue=ka
		> basic.consume queue=ka consumer-tag=t @x-consumer-timeout='a'
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-consumer-timeout' for queue 'ka' in vhost '/': "expected integer, got longstr" (60,20)`},
	{id: "S11.18.consumer", about: "a consumer's timeout closes the channel", script: `
		> queue.declare queue=ka exclusive @x-consumer-timeout=3600000
		< queue.declare-ok queue=ka
		> basic.publish routing-key=ka body=1
		> basic.consume queue=ka consumer-tag=t @x-consumer-timeout=100
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=ka body=1
		< channel.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 100 ms. This timeout value can be configured, see consumers doc guide to learn more (0,0)`},
	{id: "S11.18.queue", about: "a queue's timeout closes the channel", script: `
		> queue.declare queue=ka exclusive @x-consumer-timeout=100
		< queue.declare-ok queue=ka
		> basic.publish routing-key=ka body=1
		> basic.consume queue=ka consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=ka body=1
		< channel.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 100 ms. This timeout value can be configured, see consumers doc guide to learn more (0,0)`},
}
