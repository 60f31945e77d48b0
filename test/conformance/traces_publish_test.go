package conformance

// Rows of the recorded traces: publishing.
var publishTraces = []conformanceCase{
	{id: "R325", about: "publish: immediate flag", script: `
		> basic.publish exchange=amq.direct routing-key=nope immediate body=x
		0< connection.close 540 NOT_IMPLEMENTED - immediate=true (60,40)`},
	{id: "R326", about: "publish: mandatory and unroutable", script: `
		> basic.publish exchange=amq.direct routing-key=nope mandatory message-id=m1 @a=1 body=body
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=nope headers={a:1I} message-id=m1 body=body`},
	{id: "R327", about: "publish: mandatory, default exchange, no such queue", script: `
		> basic.publish routing-key=nope mandatory
		< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=nope body=`},
	{id: "R328", about: "publish: expiration 'abc'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=abc body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer (60,40)`},
	{id: "R329", about: "publish: expiration '-1'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=-1 body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration '-1': {value_negative,-1} (60,40)`},
	{id: "R330", about: "publish: expiration '10.5'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=10.5 body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration '10.5': {leftover_string,".5"} (60,40)`},
	{id: "R332", about: "publish: expiration '5 '", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration='5 ' body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration '5 ': {leftover_string," "} (60,40)`},
	{id: "R333", about: "publish: expiration '0'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=0 body=x
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g10 no-ack
		< basic.get-empty`},
	{id: "R334", about: "publish: expiration '4294967296'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=4294967296 body=x
		> channel.flow active
		< channel.flow-ok active
		> basic.get queue=g10 no-ack
		< basic.get-ok delivery-tag=1 routing-key=g10 expiration=4294967296 body=x`},
	{id: "R335", about: "publish: expiration ' 5'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=' 5' body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration ' 5': no_integer (60,40)`},
	{id: "R336", about: "publish: expiration '+5'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=+5 body=x
		> channel.flow active
		< channel.flow-ok active
		~> queue.declare queue=g10 passive
		< queue.declare-ok queue=g10`},
	{id: "R337", about: "publish: expiration '1000000000000000'", script: `
		> queue.declare queue=g10 exclusive
		< queue.declare-ok queue=g10
		> basic.publish routing-key=g10 expiration=1000000000000000 body=x
		< channel.close 406 PRECONDITION_FAILED - invalid expiration '1000000000000000': {value_too_large,1000000000000000} (60,40)`},
	{id: "R338", about: "publish: user_id of somebody else", script: `
		> basic.publish routing-key=x user-id=other body=x
		< channel.close 406 PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest' (60,40)`},
	{id: "R339", about: "publish: delivery_mode 3", script: `
		> queue.declare queue=g11 exclusive
		< queue.declare-ok queue=g11
		> basic.publish routing-key=g11 delivery-mode=3 body=x
		< channel.close 406 PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3} (60,40)
		> basic.get queue=g11`},
	{id: "R340", about: "CC and BCC headers", script: `
		> queue.declare queue=cc1 exclusive
		< queue.declare-ok queue=cc1
		> queue.declare queue=cc2 exclusive
		< queue.declare-ok queue=cc2
		> queue.declare queue=cc3 exclusive
		< queue.declare-ok queue=cc3
		> basic.publish routing-key=cc1 @CC=['cc2'] @BCC=['cc3'] @o=1 body=x
		> basic.qos
		< basic.qos-ok
		> basic.get queue=cc1 no-ack
		< basic.get-ok delivery-tag=1 routing-key=cc1 headers={CC:["cc2"],o:1I} body=x
		> basic.get queue=cc2 no-ack
		< basic.get-ok delivery-tag=2 routing-key=cc1 headers={CC:["cc2"],o:1I} body=x
		> basic.get queue=cc3 no-ack
		< basic.get-ok delivery-tag=3 routing-key=cc1 headers={CC:["cc2"],o:1I} body=x`},
	{id: "R341", about: "publish: CC as a string", script: `
		> basic.publish routing-key=x @CC='cc2' body=x
		< channel.close 406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr} (60,40)`},
	{id: "R342", about: "publish: CC as an int", script: `
		> basic.publish routing-key=x @CC=5 body=x
		< channel.close 406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",signedint} (60,40)`},
	{id: "R343", about: "publish: CC array with an int in it", script: `
		> basic.publish routing-key=x @CC=['a',5] body=x
		> channel.flow active
		< channel.flow-ok active`},
	{id: "R344", about: "publish: BCC as a string", script: `
		> basic.publish routing-key=x @BCC='cc2' body=x
		< channel.close 406 PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"BCC",longstr} (60,40)`},
}
