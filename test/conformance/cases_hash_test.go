package conformance

import (
	"fmt"
	"strings"
)

// hashCases are about the exchanges that choose one of their destinations, sections 3.13 to 3.15, which are plugins of RabbitMQ.
var hashCases = []conformanceCase{
	{id: "S3.13a", about: "x-consistent-hash: every message goes to one queue, and equal keys to the same", prepare: own,
		script: spread("x-consistent-hash", "", "1") + `
		> basic.publish exchange=h routing-key=same mandatory
		> basic.publish exchange=h routing-key=same mandatory
		do even`, do: map[string]func(*run) error{"even": func(r *run) error { return depths(r, 2, 0) }}},
	{id: "S3.13b", about: "x-consistent-hash: the binding key is the weight", prepare: own, script: spread("x-consistent-hash", "", "9", "1") + `
		do publish`, do: map[string]func(*run) error{"publish": shares(900, 100)}},
	{id: "S3.13c", about: "x-consistent-hash: weight that is no number", prepare: own, script: `
		> exchange.declare exchange=h type=x-consistent-hash
		< exchange.declare-ok
		> queue.declare queue=h1 exclusive
		< queue.declare-ok queue=h1
		> queue.bind queue=h1 exchange=h routing-key=much
		< channel.close 406 PRECONDITION_FAILED - The binding key must be an integer: … (50,20)`},
	{id: "S3.13d", about: "x-consistent-hash: weight 0", prepare: own, script: `
		> exchange.declare exchange=h type=x-consistent-hash
		< exchange.declare-ok
		> queue.declare queue=h1 exclusive
		< queue.declare-ok queue=h1
		> queue.bind queue=h1 exchange=h routing-key=0
		< channel.close 406 PRECONDITION_FAILED - The binding key must be greater than 0 (50,20)`},
	{id: "S3.13e", about: "x-consistent-hash: weight beyond 10000", prepare: own, script: `
		> exchange.declare exchange=h type=x-consistent-hash
		< exchange.declare-ok
		> queue.declare queue=h1 exclusive
		< queue.declare-ok queue=h1
		> queue.bind queue=h1 exchange=h routing-key=10000
		< queue.bind-ok
		> queue.bind queue=h1 exchange=h routing-key=10001
		< channel.close 406 PRECONDITION_FAILED - The binding key must not exceed 10000 (50,20)`},
	{id: "S3.13f", about: "x-consistent-hash: two sources", prepare: own, script: `
		> exchange.declare exchange=h type=x-consistent-hash @hash-header='a' @hash-property='message_id'
		< channel.close 406 PRECONDITION_FAILED - hash-header and hash-property are mutually exclusive (40,10)`},
	{id: "S3.13g", about: "x-consistent-hash: unknown property", prepare: own, script: `
		> exchange.declare exchange=h type=x-consistent-hash @hash-property='priority'
		< channel.close 406 PRECONDITION_FAILED - Unsupported property: priority (40,10)`},
	{id: "S3.13h", about: "x-consistent-hash on a header: one value, one queue; without the header always the same", prepare: own,
		script: spread("x-consistent-hash", "@hash-header='id'", "1", "1") + `
		> basic.publish exchange=h routing-key=a mandatory
		> basic.publish exchange=h routing-key=b mandatory
		> basic.publish exchange=h routing-key=c mandatory
		> basic.publish exchange=h routing-key=d mandatory
		> basic.publish exchange=h routing-key=e mandatory
		do together`, do: map[string]func(*run) error{"together": func(r *run) error { return depths(r, 5, 0) }}},
	{id: "S3.13i", about: "x-consistent-hash on a property", prepare: own, script: spread("x-consistent-hash", "@hash-property='message_id'", "1", "1") + `
		> basic.publish exchange=h routing-key=a message-id=m mandatory
		> basic.publish exchange=h routing-key=b message-id=m mandatory
		> basic.publish exchange=h routing-key=c message-id=m mandatory
		do together`, do: map[string]func(*run) error{"together": func(r *run) error { return depths(r, 3, 0) }}},
	{id: "S3.13j", about: "x-consistent-hash: after one queue went, the others keep their keys", prepare: own,
		script: spread("x-consistent-hash", "", "1", "1", "1") + `
		do publish
		> queue.delete queue=h3
		< queue.delete-ok message-count=…
		do again`, do: map[string]func(*run) error{"publish": shares(334, 333, 333), "again": func(r *run) error {
			before := []int{depth(r, "h1"), depth(r, "h2")}
			publishKeys(r)
			for i, q := range []string{"h1", "h2"} {
				if got := depth(r, q); got < 2*before[i] {
					return fmt.Errorf("%s took %d messages, and %d of the same keys after h3 was gone", q, before[i], got-before[i])
				}
			}
			return nil
		}}},
	{id: "S3.14", about: "x-modulus-hash: every message goes to one queue, all of them get some", prepare: own,
		script: spread("x-modulus-hash", "", "", "") + "\ndo publish", do: map[string]func(*run) error{"publish": shares(500, 500)}},
	{id: "S3.15a", about: "x-random: every message goes to one queue, all of them get some", prepare: own,
		script: spread("x-random", "", "", "") + "\ndo publish", do: map[string]func(*run) error{"publish": shares(500, 500)}},
	{id: "S3.15b", about: "x-local-random: every message goes to one queue, all of them get some", prepare: own,
		script: spread("x-local-random", "", "", "") + "\ndo publish", do: map[string]func(*run) error{"publish": shares(500, 500)}},
	{id: "S3.15c", about: "x-local-random takes no binding key", prepare: own, script: `
		> exchange.declare exchange=h type=x-local-random
		< exchange.declare-ok
		> queue.declare queue=h1 exclusive
		< queue.declare-ok queue=h1
		> queue.bind queue=h1 exchange=h routing-key=k
		< channel.close 406 PRECONDITION_FAILED - Non empty binding 'k' key not permitted (50,20)`},
	{id: "S3.15d", about: "an exchange that chooses has nothing to choose from", prepare: own, script: `
		> exchange.declare exchange=h type=x-random
		< exchange.declare-ok
		> basic.publish exchange=h routing-key=k mandatory body=x
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=h routing-key=k body=x`},
}

// spread declares the exchange h with the queues h1, h2 and so on, bound with the keys.
func spread(kind, arguments string, keys ...string) script {
	var b strings.Builder
	fmt.Fprintf(&b, "> exchange.declare exchange=h type=%s %s\n< exchange.declare-ok\n", kind, arguments)
	for i, k := range keys {
		fmt.Fprintf(&b, "> queue.declare queue=h%d exclusive\n< queue.declare-ok queue=h%d\n", i+1, i+1)
		fmt.Fprintf(&b, "> queue.bind queue=h%d exchange=h routing-key=%s\n< queue.bind-ok\n", i+1, k)
	}
	return script(b.String())
}

// sharedKeys is the number of messages that publishKeys publishes.
const sharedKeys = 1000

// publishKeys publishes messages with all different keys.
func publishKeys(r *run) {
	for i := range sharedKeys {
		_ = r.step(fmt.Sprintf("> basic.publish exchange=h routing-key=key.%d mandatory", i))
	}
}

// shares publishes messages and checks that the queues got about as many as said, which are all.
func shares(want ...int) func(*run) error {
	return func(r *run) error {
		publishKeys(r)
		total := 0
		for i, w := range want {
			got := depth(r, fmt.Sprintf("h%d", i+1))
			total += got
			if slack := 80; got < w-slack || got > w+slack { // five standard deviations of a fair choice
				return fmt.Errorf("queue h%d got %d of %d messages, expected about %d", i+1, got, sharedKeys, w)
			}
		}
		if total != sharedKeys {
			return fmt.Errorf("%d of %d messages are in a queue", total, sharedKeys)
		}
		return nil
	}
}

// depths checks how many messages the fullest queue and all others together have.
func depths(r *run, most, rest int) error {
	a, b := depth(r, "h1"), 0
	if r.queues["h2"] {
		b = depth(r, "h2")
	}
	if max(a, b) != most || min(a, b) != rest {
		return fmt.Errorf("expected %d and %d messages, got %d and %d", most, rest, a, b)
	}
	return nil
}

// depth asks how many messages are ready in a queue; -1 if the answer is another one.
func depth(r *run, name string) int {
	c := r.clients["a"]
	if err := r.step("> queue.declare queue=" + name + " passive"); err != nil {
		return -1
	}
	got := c.next(1)
	var n int
	if _, err := fmt.Sscanf(got, "queue.declare-ok queue="+name+" message-count=%d", &n); err != nil && got != "queue.declare-ok queue="+name {
		r.t.Errorf("depth of %s: %s", name, got)
		return -1
	}
	return n
}
