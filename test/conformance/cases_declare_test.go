package conformance

import (
	"testing"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// longName is a queue that is not there, whose name leaves no room for the text that says so.
const longName = "lllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll" +
	"llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll" +
	"llllllllllllllllllllllllllllllllllllllllllllllllll"

// exchangeCases are about exchanges and bindings, sections 3 and 4.
var exchangeCases = []conformanceCase{
	{id: "R137", about: "a line feed is taken out of a name", script: `
		> exchange.declare exchange='a\nb' type=direct
		< exchange.declare-ok
		> exchange.declare exchange=ab passive
		< exchange.declare-ok`},
	{id: "S3.6", about: "an auto-delete exchange counts the bindings in which it is the source", script: `
		> exchange.declare exchange=ad type=fanout auto-delete
		< exchange.declare-ok
		> exchange.declare exchange=src type=fanout
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> exchange.bind destination=ad source=src
		< exchange.bind-ok
		> exchange.unbind destination=ad source=src
		< exchange.unbind-ok
		> exchange.declare exchange=ad passive
		< exchange.declare-ok
		> exchange.bind destination=ad source=src
		< exchange.bind-ok
		> queue.bind queue=q exchange=ad
		< queue.bind-ok
		> queue.unbind queue=q exchange=ad
		< queue.unbind-ok
		> exchange.declare exchange=ad passive
		< channel.close 404 NOT_FOUND - no exchange 'ad' in vhost '/' (40,10)`},
	{id: "S3.7", about: "an internal exchange takes messages from other exchanges", script: `
		> exchange.declare exchange=in type=fanout internal
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=in
		< queue.bind-ok
		> exchange.bind destination=in source=amq.fanout
		< exchange.bind-ok
		> basic.publish exchange=amq.fanout body=x
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.fanout body=x`},
	{id: "S3.9", about: "direct: the exact key, and every key of CC and BCC", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.declare queue=r exclusive
		< queue.declare-ok queue=r
		> queue.bind queue=q exchange=amq.direct routing-key=k
		< queue.bind-ok
		> queue.bind queue=r exchange=amq.direct routing-key=other
		< queue.bind-ok
		> basic.publish exchange=amq.direct routing-key=K mandatory body=upper
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=K body=upper
		> basic.publish exchange=amq.direct routing-key=k @BCC=['other'] body=x
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.direct routing-key=k body=x
		> basic.get queue=r no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.direct routing-key=k body=x`},
	{id: "S3.10", about: "fanout ignores keys and arguments", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.fanout routing-key=one @a=1
		< queue.bind-ok
		> basic.publish exchange=amq.fanout routing-key=other body=x
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.fanout routing-key=other body=x`},
	topic("S3.11a", "# alone matches all, also the empty key", "#", "", "a", "a.b"),
	topic("S3.11b", "a.# matches a and what is below", "a.#", "a", "a.b", "a.b.c"),
	topic("S3.11c", "#.a matches a and what is above", "#.a", "a", "b.a", "c.b.a"),
	topic("S3.11d", "*.* matches empty words", "*.*", ".", "a.", ".b", "a.b"),
	topic("S3.11e", "a word is compared octet by octet", "Aé.b", "Aé.b"),
	topicMiss("S3.11f", "* is exactly one word", "a.*", "a", "a.b.c", "A.b"),
	topicMiss("S3.11g", "a.# is no prefix of a word", "a.#", "ab", "b.a", ""),
	topic("S3.11i", "any number of #", "#.a.#.b.#", "a.b", "x.a.y.b.z", "a.a.b.b"),
	{id: "S3.11h", about: "keys of 255 octets", script: script(`
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.topic routing-key=` + longName + `.aaaa
		< queue.bind-ok
		> basic.publish exchange=amq.topic routing-key=` + longName + `.aaaa body=x
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.topic routing-key=` + longName + `.aaaa body=x`)},
	{id: "S3.12", about: "headers: the width of an integer does not count, its kind does", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.headers @n=1
		< queue.bind-ok
		> basic.publish exchange=amq.headers mandatory @n=l:1 body=wide
		> basic.publish exchange=amq.headers mandatory @n=b:1 body=narrow
		> basic.publish exchange=amq.headers mandatory @n='1' body=text
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.headers headers={n:"1"} body=text
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=amq.headers message-count=1 headers={n:1l} body=wide
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=2 exchange=amq.headers headers={n:1b} body=narrow`},
	{id: "S3.18b", about: "alternate exchanges in a chain, and in a circle", script: `
		> exchange.declare exchange=a1 type=direct @alternate-exchange='a2'
		< exchange.declare-ok
		> exchange.declare exchange=a2 type=direct @alternate-exchange='a1'
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=a2 routing-key=k
		< queue.bind-ok
		> basic.publish exchange=a1 routing-key=k mandatory body=x
		> basic.publish exchange=a1 routing-key=j mandatory body=y
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=a1 routing-key=j body=y
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=a1 routing-key=k body=x`},
	{id: "S3.18c", about: "an alternate exchange is not asked when a binding leads to another exchange", script: `
		> exchange.declare exchange=a1 type=direct @alternate-exchange='amq.fanout'
		< exchange.declare-ok
		> exchange.declare exchange=dead type=direct
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.fanout
		< queue.bind-ok
		> exchange.bind destination=dead source=a1 routing-key=k
		< exchange.bind-ok
		> basic.publish exchange=a1 routing-key=k mandatory body=x
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=a1 routing-key=k body=x`},
	{id: "S4.3", about: "the binding to the default exchange goes with the queue only", script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.unbind queue=q exchange= routing-key=q
		< channel.close 403 ACCESS_REFUSED - operation not permitted on the default exchange (50,50)
		2> basic.publish routing-key=q body=x
		2> basic.get queue=q no-ack
		2< basic.get-ok delivery-tag=1 routing-key=q body=x`},
	{id: "S4.4", about: "a binding goes with the queue that is its destination", script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.direct routing-key=k
		< queue.bind-ok
		> queue.delete queue=q
		< queue.delete-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> basic.publish exchange=amq.direct routing-key=k mandatory body=x
		< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.direct routing-key=k body=x`},
}

// topic publishes keys that all match a binding, topicMiss some that do not.
func topic(id, about, binding string, keys ...string) conformanceCase {
	s := "> queue.declare queue=q exclusive\n< queue.declare-ok queue=q\n" +
		"> queue.bind queue=q exchange=amq.topic routing-key='" + binding + "'\n< queue.bind-ok\n> basic.consume queue=q consumer-tag=t no-ack\n< basic.consume-ok consumer-tag=t"
	for _, k := range keys {
		s += "\n> basic.publish exchange=amq.topic routing-key='" + k + "' mandatory body=x\n< basic.deliver consumer-tag=t … exchange=amq.topic "
		if k != "" {
			s += "routing-key=" + k + " "
		}
		s += "body=x"
	}
	return conformanceCase{id: id, about: "topic: " + about, script: script(s)}
}

func topicMiss(id, about, binding string, keys ...string) conformanceCase {
	s := "> queue.declare queue=q exclusive\n< queue.declare-ok queue=q\n" +
		"> queue.bind queue=q exchange=amq.topic routing-key='" + binding + "'\n< queue.bind-ok"
	for _, k := range keys {
		s += "\n> basic.publish exchange=amq.topic routing-key='" + k + "' mandatory body=x\n< basic.return reply-code=312 reply-text=NO_ROUTE exchange=amq.topic …body=x"
	}
	return conformanceCase{id: id, about: "topic: " + about, script: script(s)}
}

// declareCases are about channels and the declaration of queues, sections 0, 2 and 5.
var declareCases = []conformanceCase{
	{id: "S0.2", about: "a reply text is cut at 255 octets", script: script(`
		> queue.declare queue=` + longName + ` passive
		< channel.close 404 NOT_FOUND - no queue '` + longName[:252-len("NOT_FOUND - no queue '")] + `... (50,10)`)},
	{id: "S0.6", about: "a channel that fails gives back its messages and its consumers", script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		2> queue.declare queue=q passive
		2< queue.declare-ok queue=q
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q body=x
		< basic.ack delivery-tag=1
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< basic.deliver consumer-tag=t delivery-tag=1 routing-key=q body=x
		> queue.declare queue=missing passive
		< channel.close 404 NOT_FOUND - no queue 'missing' in vhost '/' (50,10)
		~2> queue.declare queue=q passive
		2< queue.declare-ok queue=q message-count=1
		2> basic.get queue=q no-ack
		2< basic.get-ok delivery-tag=1 redelivered routing-key=q body=x`},
	{id: "S2.8", about: "what a client pipelines is done in order", script: `
		> queue.declare queue=q exclusive
		> queue.bind queue=q exchange=amq.direct routing-key=k
		> basic.publish exchange=amq.direct routing-key=k body=x
		> basic.get queue=q no-ack
		> queue.delete queue=q
		< queue.declare-ok queue=q
		< queue.bind-ok
		< basic.get-ok delivery-tag=1 exchange=amq.direct routing-key=k body=x
		< queue.delete-ok`},
	{id: "S5.2a", about: "every declaration without a name makes another queue", script: `
		> queue.declare exclusive
		< queue.declare-ok queue=amq.gen-…
		> queue.declare exclusive
		do other
		> queue.delete queue=amq.gen-$
		< queue.delete-ok`, do: map[string]func(*run) error{"other": func(r *run) error {
		got := r.clients["a"].next(1)
		if _, ok := match("queue.declare-ok queue=amq.gen-…", got); !ok || got == "queue.declare-ok queue=amq.gen-"+r.matched {
			r.t.Errorf("second declaration after amq.gen-%s: %s", r.matched, got)
		}
		return nil
	}}},
	{id: "S5.2b", about: "the beginning of a generated name", prepare: own, script: `
		> queue.declare exclusive @x-name-prefix='mine'
		< queue.declare-ok queue=mine-…`},
	{id: "S5.2c", about: "a beginning that is too long", prepare: own, script: script(`
		> queue.declare exclusive @x-name-prefix='` + longName[:65] + `'
		< channel.close 406 PRECONDITION_FAILED - Queue name prefix '` + longName[:65] + `' exceeds the 64-byte limit (50,10)`)},
	{id: "S5.10", about: "a queue may be neither durable nor exclusive", script: `
		> queue.declare queue=q
		< queue.declare-ok queue=q
		b> queue.declare queue=q
		b< queue.declare-ok queue=q`},
	{id: "S5.11", about: "a vhost's default type of queues counts as none", prepare: defaultType("classic"), script: `
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q`},
	{id: "S6.6a", about: "x-expires counts from the last basic.get", script: `
		> queue.declare queue=q @x-expires=400
		< queue.declare-ok queue=q
		do visit
		do gone`, do: map[string]func(*run) error{"visit": visit, "gone": gone}},
	{id: "S6.6b", about: "a queue with a consumer does not expire", script: `
		> queue.declare queue=q @x-expires=200
		< queue.declare-ok queue=q
		> basic.consume queue=q consumer-tag=t
		< basic.consume-ok consumer-tag=t
		< (nothing)
		< (nothing)
		< (nothing)
		2> queue.declare queue=q passive
		2< queue.declare-ok queue=q consumer-count=1`},
	{id: "S6.6c", about: "the messages of a queue that expires are not dead-lettered", script: `
		> queue.declare queue=dl exclusive
		< queue.declare-ok queue=dl
		> queue.declare queue=q @x-expires=200 @x-dead-letter-exchange='' @x-dead-letter-routing-key='dl'
		< queue.declare-ok queue=q
		> confirm.select
		< confirm.select-ok
		> basic.publish routing-key=q body=x
		< basic.ack delivery-tag=1
		do gone
		2> queue.declare queue=dl passive
		2< queue.declare-ok queue=dl`, do: map[string]func(*run) error{"gone": gone}},
}

// defaultType gives queues of the vhost / another type unless they say one, for one case.
func defaultType(kind string) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		if _, err := b.PutVHost(t.Context(), meta.VHost{Name: "/", DefaultQueueType: kind}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, err := b.PutVHost(background(t), meta.VHost{Name: "/"})
			restore(t, err)
		})
	}
}
