package cluster

import (
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

// The rows are those of RabbitMQ 3.10 on the wire, where it knows the argument.
func TestQueueArguments(t *testing.T) {
	r := resource{kindQueue, "ka", "/"}
	const prefix = "PRECONDITION_FAILED - invalid arg '"
	const big = 9007199254740992
	integers := []string{"x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-max-priority"}
	check := func(args wire.Table, text string) {
		t.Helper()
		want(t, checkQueueArguments(r, args), text)
	}
	for _, key := range integers {
		invalid := func(detail string) string { return prefix + key + "' for queue 'ka' in vhost '/': " + detail }
		check(table(key, "10"), invalid(`"expected integer, got longstr"`))
		check(table(key, -1), invalid("{value_negative,-1}"))
		check(table(key, 1.5), invalid(`"expected integer, got double"`))
		check(table(key, true), invalid(`"expected integer, got bool"`))
		zero := ""
		if key == "x-expires" {
			zero = invalid("{value_zero,0}")
		}
		check(table(key, 0), zero)
		check(table(key, 1), "")
		if key == "x-max-priority" {
			continue
		}
		check(table(key, 4294967296), "")
		tooLarge := ""
		if key == "x-expires" || key == "x-message-ttl" {
			tooLarge = invalid("{value_too_large,9007199254740992}")
			check(table(key, maxExpiry), "")
			check(table(key, maxExpiry+1), invalid("{value_too_large,315360000001}"))
		}
		check(table(key, big), tooLarge)
	}
	for _, c := range []struct {
		args   wire.Table
		key    string
		detail string
	}{
		{table("x-max-priority", 255), "", ""},
		{table("x-max-priority", 256), "x-max-priority", "{max_value_exceeded,256}"},
		{table("x-overflow", "drop-head"), "", ""},
		{table("x-overflow", "reject-publish"), "", ""},
		{table("x-overflow", "reject-publish-dlx"), "", ""},
		{table("x-overflow", "bogus"), "x-overflow", "invalid_overflow"},
		{table("x-overflow", 1), "x-overflow", "{unacceptable_type,signedint}"},
		{table("x-dead-letter-exchange", ""), "", ""},
		{table("x-dead-letter-exchange", "some.dlx", "x-dead-letter-routing-key", "k"), "", ""},
		{table("x-dead-letter-routing-key", "k"), "x-dead-letter-routing-key", "routing_key_but_no_dlx_defined"},
		{table("x-dead-letter-exchange", "", "x-dead-letter-routing-key", 5), "x-dead-letter-routing-key", "{unacceptable_type,signedint}"},
		{table("x-queue-mode", "lazy"), "", ""},
		{table("x-queue-mode", "default"), "", ""},
		{table("x-queue-mode", "bogus"), "x-queue-mode", `"unsupported queue mode 'bogus'"`},
		{table("x-queue-mode", 5), "x-queue-mode", "{unacceptable_type,signedint}"},
		{table("x-single-active-consumer", true), "", ""},
		{table("x-single-active-consumer", false), "", ""},
		{table("x-single-active-consumer", "true"), "x-single-active-consumer", "{unacceptable_type,longstr}"},
		{table("x-single-active-consumer", 1), "x-single-active-consumer", "{unacceptable_type,signedint}"},
		{table("x-queue-type", "classic"), "", ""},
		{table("x-queue-type", "bogus"), "x-queue-type", `"unsupported queue type 'bogus'"`},
		{table("x-queue-type", 5), "x-queue-type", "{unacceptable_type,signedint}"},
		{table("x-queue-version", 2), "", ""},
		{table("x-queue-version", 3), "x-queue-version", `"unsupported queue version '3'"`},
		{table("x-queue-master-locator", "min-masters"), "", ""},
		{table("x-queue-leader-locator", "balanced"), "", ""},
		{table("x-queue-leader-locator", "bogus"), "x-queue-leader-locator", "invalid_queue_locator_arg"},
		{table("x-message-deduplication", true, "x-cache-size", 1, "x-cache-ttl", 1, "x-deduplication-header", "id"), "", ""},
		{table("x-message-deduplication", "true"), "x-message-deduplication", "{unacceptable_type,longstr}"},
		{table("x-cache-size", "many"), "x-cache-size", `"expected integer, got longstr"`},
		{table("x-cache-size", -1), "x-cache-size", "{value_negative,-1}"},
		{table("x-cache-size", 0), "x-cache-size", "{value_zero,0}"},
		{table("x-cache-size", 10_000_001), "x-cache-size", "{max_value_exceeded,10000001}"},
		{table("x-cache-ttl", 0), "x-cache-ttl", "{value_zero,0}"},
		{table("x-cache-ttl", 315_360_000_001), "x-cache-ttl", "{value_too_large,315360000001}"},
		{table("x-deduplication-header", 1), "x-deduplication-header", "{unacceptable_type,signedint}"},
		{table("x-deduplication-header", ""), "x-deduplication-header", "empty_value"},
		{table("x-unknown", "anything"), "", ""},
		{table("x-consumer-timeout", "a"), "x-consumer-timeout", `"expected integer, got longstr"`},
		{table("x-consumer-timeout", -1), "x-consumer-timeout", "{value_negative,-1}"},
		{table("x-consumer-timeout", 0), "", ""},
		{table("x-max-age", "1Y"), "x-max-age", ""},
		{table("x-max-age", "1Q"), "x-max-age", "invalid_max_age"},
		{table("x-queue-type", "stream", "x-max-age", "0h"), "x-max-age", "invalid_max_age"},
		{table("x-queue-type", "stream", "x-max-age", "7D"), "", ""},
		{table("x-queue-type", "stream", "x-stream-max-segment-size-bytes", maxStreamSegment), "", ""},
		{table("x-queue-type", "stream", "x-stream-max-segment-size-bytes", maxStreamSegment+1), "x-stream-max-segment-size-bytes",
			"{max_value_exceeded,3000000001}"},
		{table("x-queue-type", "stream", "x-initial-cluster-size", 0), "x-initial-cluster-size", "{value_zero,0}"},
		{table("x-queue-type", "quorum", "x-delivery-limit", -1), "", ""},
		{table("x-queue-type", "quorum", "x-delivery-limit", -2), "x-delivery-limit", "{value_negative,-2}"},
		{table("x-queue-type", "quorum", "x-dead-letter-strategy", "at-least-once"), "", ""},
		{table("x-queue-type", "quorum", "x-dead-letter-strategy", "maybe"), "x-dead-letter-strategy", "invalid_dlx_strategy"},
		{table("x-queue-type", "quorum", "x-quorum-initial-group-size", 0), "x-quorum-initial-group-size", "{value_zero,0}"},
	} {
		text := ""
		if c.detail != "" {
			text = prefix + c.key + "' for queue 'ka' in vhost '/': " + c.detail
		} else if c.key != "" {
			text = prefix + c.key + "' for queue 'ka' in vhost '/' of queue type rabbit_classic_queue"
		}
		check(c.args, text)
	}
	check(table("x-max-age", "1D"), prefix+"x-max-age' for queue 'ka' in vhost '/' of queue type rabbit_classic_queue")
	check(table("x-queue-type", "quorum", "x-max-priority", 3),
		prefix+"x-max-priority' for queue 'ka' in vhost '/' of queue type rabbit_quorum_queue")
	check(table("x-queue-type", "stream", "x-message-ttl", 3),
		prefix+"x-message-ttl' for queue 'ka' in vhost '/' of queue type rabbit_stream_queue")
}

func TestDeclareChecksArguments(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	property := func(p string) string {
		return "PRECONDITION_FAILED - invalid property '" + p + "' for queue 'ka' in vhost '/'"
	}
	quorum, stream := table("x-queue-type", "quorum"), table("x-queue-type", "stream")
	for _, c := range []struct {
		name string
		s    QueueSpec
		text string
	}{
		{"dlx of wrong type", QueueSpec{Arguments: table("x-dead-letter-exchange", 5)},
			"PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'ka' in vhost '/'"},
		{"ttl", QueueSpec{Arguments: table("x-message-ttl", -1)},
			"PRECONDITION_FAILED - invalid arg 'x-message-ttl' for queue 'ka' in vhost '/': {value_negative,-1}"},
		{"quorum", QueueSpec{Arguments: quorum}, property("non-durable")},
		{"stream", QueueSpec{Arguments: stream}, property("non-durable")},
		{"quorum exclusive", QueueSpec{Durable: true, Exclusive: true, Arguments: quorum}, property("exclusive-owner")},
		{"quorum auto-delete", QueueSpec{Durable: true, AutoDelete: true, Arguments: quorum}, property("auto-delete")},
		{"quorum durable", QueueSpec{Durable: true, Arguments: quorum},
			"PRECONDITION_FAILED - queue type 'quorum' of queue 'ka' in vhost '/' is not available in this version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.Name = "ka"
			_, err := a.DeclareQueue(c.s)
			want(t, err, c.text)
		})
	}
}

func TestConsumeArguments(t *testing.T) {
	const prefix = "PRECONDITION_FAILED - invalid arg '"
	for _, c := range []struct {
		args     wire.Table
		priority int32
		text     string
	}{
		{nil, 0, ""},
		{table("x-priority", "high"), 0, prefix + `x-priority' for queue 'ka' in vhost '/': "expected integer, got longstr"`},
		{table("x-priority", 5), 5, ""},
		{table("x-priority", -5), -5, ""},
		{table("x-priority", 1<<40), 1<<31 - 1, ""},
		{table("x-priority", 1.5), 0, prefix + `x-priority' for queue 'ka' in vhost '/': "expected integer, got double"`},
		{table("x-cancel-on-ha-failover", true), 0, ""},
		{table("x-cancel-on-ha-failover", "yes"), 0,
			prefix + "x-cancel-on-ha-failover' for queue 'ka' in vhost '/': {unacceptable_type,longstr}"},
		{table("x-stream-offset", "bogus"), 0,
			prefix + "x-stream-offset' for queue 'ka' in vhost '/' of queue type rabbit_classic_queue"},
		{table("x-unknown", 1), 0, ""},
		{table("x-consumer-timeout", 0), 0, ""},
		{table("x-consumer-timeout", 60000), 0, ""},
		{table("x-consumer-timeout", "60000"), 0,
			prefix + `x-consumer-timeout' for queue 'ka' in vhost '/': "expected integer, got longstr"`},
		{table("x-consumer-timeout", -1), 0, prefix + "x-consumer-timeout' for queue 'ka' in vhost '/': {value_negative,-1}"},
	} {
		got, err := CheckConsumeArguments("ka", "/", c.args)
		want(t, err, c.text)
		if got.Priority != c.priority {
			t.Errorf("%v: priority %d, want %d", c.args, got.Priority, c.priority)
		}
		if v, ok := c.args.Get("x-consumer-timeout"); c.text == "" && (ok && got.Timeout != v.Int || !ok && got.Timeout != -1) {
			t.Errorf("%v: timeout %d", c.args, got.Timeout)
		}
	}
}

func TestTerm(t *testing.T) {
	for _, c := range []struct {
		v    wire.Value
		want string
	}{
		{wire.Double(1000), "1.0e3"},
		{wire.Double(100), "100.0"},
		{wire.Double(1.5), "1.5"},
		{wire.Double(-0.25), "-0.25"},
		{wire.Double(1e-7), "1.0e-7"},
		{wire.Double(123456), "123456.0"},
		{wire.Int64(-3), "-3"},
		{wire.Bool(true), "true"},
		{wire.Void(), "undefined"},
		{wire.String("a"), `<<"a">>`},
		{wire.Timestamp(1 << 63), "9223372036854775808"},
		{wire.ArrayValue(wire.Int32(1), wire.String("b")), `[{signedint,1},{longstr,<<"b">>}]`},
		{wire.TableValue(table("k", 1)), `[{<<"k">>,signedint,1}]`},
	} {
		if got := term(c.v); got != c.want {
			t.Errorf("%+v: %s, want %s", c.v, got, c.want)
		}
	}
}
