package conformance

import (
	"fmt"
	"time"
)

// visit asks a queue that expires after 400 ms for a message, several times, and longer than that in all. A machine that was
// too slow for that says nothing.
func visit(r *run) error {
	c := r.clients["a"]
	last, deadline := time.Now(), time.Now().Add(time.Second)
	for time.Now().Before(deadline) {
		if err := r.step("> basic.get queue=q"); err != nil {
			return err
		}
		got := c.next(1)
		late := time.Since(last) > 300*time.Millisecond
		last = time.Now()
		if got != "basic.get-empty" && !late {
			return fmt.Errorf("a queue in use: %s", got)
		}
		if got != "basic.get-empty" {
			r.t.Skip("the machine is too slow for this case")
		}
		c.await(1, 50*time.Millisecond)
	}
	return nil
}

// gone waits until there is no queue q, without touching it.
func gone(r *run) error {
	return r.until("> basic.publish routing-key=q mandatory body=probe", "< basic.return reply-code=312 reply-text=NO_ROUTE routing-key=q body=probe")
}

// delayedCases are about x-delayed-message exchanges, section 3.16.
var delayedCases = []conformanceCase{
	{id: "S3.16a", about: "a message comes after its delay, and what was sent later comes before it", prepare: own, script: `
		> exchange.declare exchange=d type=x-delayed-message @x-delayed-type='direct'
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=d routing-key=k
		< queue.bind-ok
		> basic.consume queue=q consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.publish exchange=d routing-key=k @x-delay=300 body=late
		> basic.publish exchange=d routing-key=k body=soon
		< basic.deliver consumer-tag=t delivery-tag=1 exchange=d routing-key=k body=soon
		< basic.deliver consumer-tag=t delivery-tag=2 exchange=d routing-key=k headers={x-delay:-300…} body=late`},
	{id: "S3.16b", about: "messages come in the order of their times", prepare: own, script: `
		> exchange.declare exchange=d type=x-delayed-message @x-delayed-type='fanout'
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=d
		< queue.bind-ok
		> basic.consume queue=q consumer-tag=t no-ack
		< basic.consume-ok consumer-tag=t
		> basic.publish exchange=d @x-delay=900 body=3
		> basic.publish exchange=d @x-delay=600 body=2
		> basic.publish exchange=d @x-delay=300 body=1
		> basic.publish exchange=d @x-delay=-5 body=0
		< basic.deliver consumer-tag=t delivery-tag=1 exchange=d headers=… body=0
		< basic.deliver consumer-tag=t delivery-tag=2 exchange=d headers=… body=1
		< basic.deliver consumer-tag=t delivery-tag=3 exchange=d headers=… body=2
		< basic.deliver consumer-tag=t delivery-tag=4 exchange=d headers=… body=3`},
	{id: "S3.16c", about: "without x-delayed-type", prepare: own, script: `
		> exchange.declare exchange=d type=x-delayed-message
		< channel.close 406 PRECONDITION_FAILED - Invalid argument, 'x-delayed-type' must be an existing exchange type (40,10)`},
	{id: "S3.16d", about: "a delayed message is confirmed when it is safe, not when it comes", prepare: own, script: `
		> exchange.declare exchange=d type=x-delayed-message @x-delayed-type='fanout'
		< exchange.declare-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=d @x-delay=60000 mandatory body=x
		< basic.ack delivery-tag=1`},
}

// repetitionCases are about deduplication, the last line of section 5.12.
var repetitionCases = []conformanceCase{
	{id: "S5.12a", about: "a queue drops and confirms what it has had", prepare: own, script: `
		> queue.declare queue=q exclusive @x-message-deduplication=true
		< queue.declare-ok queue=q
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q @x-deduplication-header='one' body=1
		< basic.ack delivery-tag=1
		> basic.publish routing-key=q @x-deduplication-header='one' body=2
		< basic.ack delivery-tag=2
		> basic.publish routing-key=q @x-deduplication-header='two' body=3
		< basic.ack delivery-tag=3
		> basic.publish routing-key=q body=4
		< basic.ack delivery-tag=4
		> basic.publish routing-key=q body=5
		< basic.ack delivery-tag=5
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 routing-key=q message-count=3 … body=1
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=2 routing-key=q message-count=2 … body=3
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=3 routing-key=q message-count=1 body=4
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=4 routing-key=q body=5`},
	{id: "S5.12b", about: "a queue forgets what is beyond its window", prepare: own, script: `
		> queue.declare queue=q exclusive @x-message-deduplication=true @x-cache-size=1 @x-deduplication-header='message_id'
		< queue.declare-ok queue=q
		> basic.publish routing-key=q message-id=a body=1
		> basic.publish routing-key=q message-id=a body=2
		> basic.publish routing-key=q message-id=b body=3
		> basic.publish routing-key=q message-id=a body=4
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 routing-key=q message-count=2 message-id=a body=1
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=2 routing-key=q message-count=1 message-id=b body=3
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=3 routing-key=q message-id=a body=4`},
	{id: "S5.12c", about: "an exchange drops what it has had", prepare: own, script: `
		> exchange.declare exchange=x type=fanout @x-message-deduplication=true
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=x
		< queue.bind-ok
		> confirm.select
		< confirm.select-ok
		> basic.publish exchange=x @x-deduplication-header='one' body=1
		< basic.ack delivery-tag=1
		> basic.publish exchange=x @x-deduplication-header='one' body=2
		< basic.ack delivery-tag=2
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=x headers=… body=1
		> basic.get queue=q no-ack
		< basic.get-empty`},
	{id: "S5.12d", about: "x-cache-size 0", prepare: own, script: `
		> queue.declare queue=q exclusive @x-message-deduplication=true @x-cache-size=0
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-cache-size' for queue 'q' in vhost '/': {value_zero,0} (50,10)`},
	{id: "S5.12e", about: "x-message-deduplication that is no bool", prepare: own, script: `
		> queue.declare queue=q exclusive @x-message-deduplication=1
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-deduplication' for queue 'q' in vhost '/': {unacceptable_type,signedint} (50,10)`},
	{id: "S5.12f", about: "x-message-ttl of ten years", script: `
		> queue.declare queue=q exclusive @x-message-ttl=315360000000
		< queue.declare-ok queue=q`},
	{id: "S5.12g", about: "x-message-ttl beyond ten years", script: `
		> queue.declare queue=q exclusive @x-message-ttl=315360000001
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'q' in vhost '/': {value_too_large,315360000001} (50,10)`},
	{id: "S5.12h", about: "x-expires of 1 ms and of ten years", script: `
		> queue.declare queue=q @x-expires=315360000000
		< queue.declare-ok queue=q
		> queue.declare queue=r @x-expires=1
		< queue.declare-ok queue=r
		> queue.declare queue=s @x-expires=315360000001
		< channel.close 406 PRECONDITION_FAILED - invalid arg 'x-expires' for queue 's' in vhost '/': {value_too_large,315360000001} (50,10)`},
}
