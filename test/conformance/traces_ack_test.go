package conformance

// Rows of the recorded traces: settling.
var ackTraces = []conformanceCase{
	{id: "R303", about: "ack of an unknown tag", script: `
		> basic.ack delivery-tag=5
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,80)`},
	{id: "R304", about: "ack multiple of an unknown tag", script: `
		> basic.ack delivery-tag=5 multiple
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,80)`},
	{id: "R305", about: "nack of an unknown tag", script: `
		> basic.nack delivery-tag=5 requeue
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,120)`},
	{id: "R306", about: "reject of an unknown tag", script: `
		> basic.reject delivery-tag=5 requeue
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 5 (60,90)`},
	{id: "R307", about: "ack 0 multiple with nothing outstanding", script: `
		> basic.ack multiple
		> channel.flow active
		< channel.flow-ok active
		> basic.qos
		< basic.qos-ok`},
	{id: "R308", about: "ack 0 not multiple", script: `
		> basic.ack
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 0 (60,80)`},
	{id: "R309", about: "nack 0 multiple with nothing outstanding", script: `
		> basic.nack multiple requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.qos
		< basic.qos-ok`},
	{id: "R310", about: "double ack", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.ack delivery-tag=1
		> channel.flow active
		< channel.flow-ok active
		> basic.ack delivery-tag=1
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)`},
	{id: "R311", about: "ack of a tag delivered with no_ack", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.ack delivery-tag=1
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)`},
	{id: "R312", about: "ack multiple covers earlier tags; later ack of one of them", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 routing-key=g8 body=2
		> basic.ack delivery-tag=2 multiple
		> channel.flow active
		< channel.flow-ok active
		> basic.ack delivery-tag=1
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)`},
	{id: "R313", about: "ack multiple of a tag already acked, while an earlier one is outstanding", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 routing-key=g8 body=2
		> basic.ack delivery-tag=2
		> channel.flow active
		< channel.flow-ok active
		> basic.ack delivery-tag=2 multiple
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 2 (60,80)
		> basic.qos
		> queue.declare queue=g8 passive`},
	{id: "R314", about: "ack on another channel than the delivery", script: `
		> queue.declare queue=g9 exclusive
		< queue.declare-ok queue=g9
		> basic.publish routing-key=g9 body=1
		> basic.publish routing-key=g9 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g9
		< basic.get-ok delivery-tag=1 routing-key=g9 message-count=1 body=1
		2> basic.ack delivery-tag=1
		2< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)`},
	{id: "R315", about: "reject requeue=true, then redelivered", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.reject delivery-tag=1 requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 redelivered routing-key=g8 message-count=1 body=1
		> basic.get queue=g8
		< basic.get-ok delivery-tag=3 routing-key=g8 body=2`},
	{id: "R316", about: "reject requeue=false drops", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.reject delivery-tag=1
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 routing-key=g8 body=2`},
	{id: "R317", about: "nack multiple requeue=true: order kept", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.publish routing-key=g8 body=3
		> basic.publish routing-key=g8 body=4
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=3 body=1
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 routing-key=g8 message-count=2 body=2
		> basic.get queue=g8
		< basic.get-ok delivery-tag=3 routing-key=g8 message-count=1 body=3
		> basic.nack delivery-tag=2 multiple requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=4 redelivered routing-key=g8 message-count=2 body=1
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=5 redelivered routing-key=g8 message-count=1 body=2
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=6 routing-key=g8 body=4`},
	{id: "R318", about: "requeue in reverse order still returns messages to their original places", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.publish routing-key=g8 body=3
		> basic.publish routing-key=g8 body=4
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=3 body=1
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 routing-key=g8 message-count=2 body=2
		> basic.get queue=g8
		< basic.get-ok delivery-tag=3 routing-key=g8 message-count=1 body=3
		> basic.reject delivery-tag=3 requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.reject delivery-tag=1 requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.reject delivery-tag=2 requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=4 redelivered routing-key=g8 message-count=3 body=1
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=5 redelivered routing-key=g8 message-count=2 body=2
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=6 redelivered routing-key=g8 message-count=1 body=3
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=7 routing-key=g8 body=4`},
	{id: "R319", about: "basic.recover requeue=true", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.recover requeue
		< basic.recover-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 redelivered routing-key=g8 message-count=1 body=1
		> basic.ack delivery-tag=1
		< channel.close 406 PRECONDITION_FAILED - unknown delivery tag 1 (60,80)`},
	{id: "R320", about: "basic.recover requeue=false", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.recover
		0< connection.close 540 NOT_IMPLEMENTED - requeue=false (60,110)`},
	{id: "R321", about: "basic.recover requeue=true with a consumer", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.consume queue=g8 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=g8 body=1
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=g8 body=2
		> basic.recover requeue
		< basic.recover-ok
		< basic.deliver consumer-tag=t delivery-tag=3 redelivered routing-key=g8 body=1
		< basic.deliver consumer-tag=t delivery-tag=4 redelivered routing-key=g8 body=2`},
	{id: "R322", about: "basic.recover-async requeue=true", script: `
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.get queue=g8
		< basic.get-ok delivery-tag=1 routing-key=g8 message-count=1 body=1
		> basic.recover-async requeue
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g8
		< basic.get-ok delivery-tag=2 redelivered routing-key=g8 message-count=1 body=1`},
	{id: "R323", about: "basic.recover-async requeue=false", script: `
		> basic.recover-async
		0< connection.close 540 NOT_IMPLEMENTED - requeue=false (60,100)`},
	{id: "R324", about: "cancel does not requeue; channel close does", script: `
		> channel.open
		< channel.open-ok
		> queue.declare queue=g8 exclusive
		< queue.declare-ok queue=g8
		> basic.publish routing-key=g8 body=1
		> basic.publish routing-key=g8 body=2
		> basic.qos
		< basic.qos-ok
		> basic.consume queue=g8 consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=g8 body=1
		< basic.deliver consumer-tag=t delivery-tag=2 routing-key=g8 body=2
		> basic.cancel consumer-tag=t
		< basic.cancel-ok consumer-tag=t
		> queue.declare queue=g8 passive
		< queue.declare-ok queue=g8
		> channel.close reply-code=200
		< channel.close-ok
		> channel.open
		< channel.open-ok
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=1 redelivered routing-key=g8 message-count=1 body=1
		> basic.get queue=g8 no-ack
		< basic.get-ok delivery-tag=2 redelivered routing-key=g8 body=2`},
}
