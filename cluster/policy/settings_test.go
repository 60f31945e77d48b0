package policy

import (
	"reflect"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// unset are the settings of a classic queue of which nobody said anything.
var unset = Settings{MessageTTL: None, Expires: None, MaxLength: None, MaxLengthBytes: None, DeliveryLimit: None, ConsumerTimeout: None,
	DelayedRetryMin: None, DelayedRetryMax: None,
	Deduplication: Deduplication{CacheSize: None, CacheTTL: None, Header: "x-deduplication-header"}}

func text(s string) *string { return &s }

func TestQueueSettings(t *testing.T) {
	fromArgument := Origin{Source: Argument}
	fromPolicy, fromOperator := Origin{Policy, "p"}, Origin{OperatorPolicy, "o"}
	for _, c := range []struct {
		name    string
		kind    string
		args    wire.Table
		policy  string
		op      string
		want    func(s *Settings)
		origins Origins
	}{
		{name: "nothing", want: func(*Settings) {}, origins: Origins{}},
		{name: "quorum has a delivery limit", kind: "quorum", want: func(s *Settings) { s.DeliveryLimit = 20 }, origins: Origins{}},
		{name: "only arguments",
			args: args("x-message-ttl", 0, "x-expires", 2, "x-max-length", 0, "x-max-length-bytes", 4, "x-overflow", "reject-publish-dlx",
				"x-dead-letter-exchange", "", "x-dead-letter-routing-key", "k", "x-consumer-timeout", 5, "x-max-priority", 255,
				"x-single-active-consumer", true, "x-message-deduplication", true, "x-cache-size", 6, "x-cache-ttl", 7,
				"x-deduplication-header", "id", "x-queue-type", "classic"),
			want: func(s *Settings) {
				*s = Settings{MessageTTL: 0, Expires: 2, MaxLength: 0, MaxLengthBytes: 4, Overflow: RejectPublishDLX,
					DeadLetterExchange: text(""), DeadLetterRoutingKey: text("k"), ConsumerTimeout: 5, MaxPriority: 255,
					SingleActiveConsumer: true, Deduplication: Deduplication{true, 6, 7, "id"},
					DeliveryLimit: None, DelayedRetryMin: None, DelayedRetryMax: None}
			},
			origins: Origins{"message-ttl": fromArgument, "expires": fromArgument, "max-length": fromArgument,
				"max-length-bytes": fromArgument, "overflow": fromArgument, "dead-letter-exchange": fromArgument,
				"dead-letter-routing-key": fromArgument, "consumer-timeout": fromArgument, "x-max-priority": fromArgument,
				"x-single-active-consumer": fromArgument, "x-message-deduplication": fromArgument, "x-cache-size": fromArgument,
				"x-cache-ttl": fromArgument, "x-deduplication-header": fromArgument}},
		{name: "only a policy",
			policy: `{"message-ttl":0,"expires":2,"max-length":3,"max-length-bytes":4,"overflow":"reject-publish",
				"dead-letter-exchange":"x","dead-letter-routing-key":"k","consumer-timeout":5}`,
			want: func(s *Settings) {
				s.MessageTTL, s.Expires, s.MaxLength, s.MaxLengthBytes, s.Overflow = 0, 2, 3, 4, RejectPublish
				s.DeadLetterExchange, s.DeadLetterRoutingKey, s.ConsumerTimeout = text("x"), text("k"), 5
			},
			origins: Origins{"message-ttl": fromPolicy, "expires": fromPolicy, "max-length": fromPolicy, "max-length-bytes": fromPolicy,
				"overflow": fromPolicy, "dead-letter-exchange": fromPolicy, "dead-letter-routing-key": fromPolicy,
				"consumer-timeout": fromPolicy}},
		{name: "numbers: the policy's are smaller",
			args:   args("x-message-ttl", 9, "x-expires", 9, "x-max-length", 9, "x-max-length-bytes", 9, "x-consumer-timeout", 9),
			policy: `{"message-ttl":1,"expires":2,"max-length":3,"max-length-bytes":4,"consumer-timeout":5}`,
			want: func(s *Settings) {
				s.MessageTTL, s.Expires, s.MaxLength, s.MaxLengthBytes, s.ConsumerTimeout = 1, 2, 3, 4, 5
			},
			origins: Origins{"message-ttl": fromPolicy, "expires": fromPolicy, "max-length": fromPolicy, "max-length-bytes": fromPolicy, "consumer-timeout": fromPolicy}},
		{name: "numbers: the arguments are smaller, or equal",
			args:   args("x-message-ttl", 1, "x-expires", 2, "x-max-length", 3, "x-max-length-bytes", 4, "x-consumer-timeout", 5),
			policy: `{"message-ttl":9,"expires":9,"max-length":9,"max-length-bytes":9,"consumer-timeout":5}`,
			want: func(s *Settings) {
				s.MessageTTL, s.Expires, s.MaxLength, s.MaxLengthBytes, s.ConsumerTimeout = 1, 2, 3, 4, 5
			},
			origins: Origins{"message-ttl": fromArgument, "expires": fromArgument, "max-length": fromArgument, "max-length-bytes": fromArgument, "consumer-timeout": fromArgument}},
		{name: "numbers: the operator's are smaller", args: args("x-max-length", 8, "x-expires", 8),
			policy: `{"max-length":9,"expires":9}`, op: `{"max-length":7,"expires":9}`,
			want:    func(s *Settings) { s.MaxLength, s.Expires = 7, 8 },
			origins: Origins{"max-length": fromOperator, "expires": fromArgument}},
		{name: "dead-letter: the arguments win, one by one", args: args("x-dead-letter-exchange", "a"),
			policy:  `{"dead-letter-exchange":"p","dead-letter-routing-key":"k"}`,
			want:    func(s *Settings) { s.DeadLetterExchange, s.DeadLetterRoutingKey = text("a"), text("k") },
			origins: Origins{"dead-letter-exchange": fromArgument, "dead-letter-routing-key": fromPolicy}},
		{name: "dead-letter-strategy: the argument wins", kind: "quorum", args: args("x-dead-letter-strategy", "at-most-once", "x-delivery-limit", 1),
			policy:  `{"dead-letter-strategy":"at-least-once"}`,
			want:    func(s *Settings) { s.DeliveryLimit = 1 },
			origins: Origins{"dead-letter-strategy": fromArgument, "delivery-limit": fromArgument}},
		{name: "overflow: the argument wins over the policy", args: args("x-overflow", "reject-publish"), policy: `{"overflow":"drop-head"}`,
			want: func(s *Settings) { s.Overflow = RejectPublish }, origins: Origins{"overflow": fromArgument}},
		{name: "overflow: the operator wins over the argument", args: args("x-overflow", "reject-publish"),
			policy: `{"overflow":"reject-publish"}`, op: `{"overflow":"drop-head"}`,
			want: func(*Settings) {}, origins: Origins{"overflow": fromOperator}},
		{name: "overflow on quorum: as on classic", kind: "quorum", args: args("x-overflow", "reject-publish"), policy: `{"overflow":"drop-head"}`,
			want:    func(s *Settings) { s.Overflow, s.DeliveryLimit = RejectPublish, 20 },
			origins: Origins{"overflow": fromArgument}},
		{name: "delivery-limit: the smaller", kind: "quorum", args: args("x-delivery-limit", 30), policy: `{"delivery-limit":40}`, op: `{"delivery-limit":50}`,
			want: func(s *Settings) { s.DeliveryLimit = 30 }, origins: Origins{"delivery-limit": fromArgument}},
		{name: "delivery-limit: no limit loses", kind: "quorum", args: args("x-delivery-limit", -1), policy: `{"delivery-limit":40}`,
			want: func(s *Settings) { s.DeliveryLimit = 40 }, origins: Origins{"delivery-limit": fromPolicy}},
		{name: "delivery-limit: no limit of the policy loses", kind: "quorum", args: args("x-delivery-limit", 3), policy: `{"delivery-limit":-1}`,
			want: func(s *Settings) { s.DeliveryLimit = 3 }, origins: Origins{"delivery-limit": fromArgument}},
		{name: "delivery-limit: no limit instead of the default", kind: "quorum", policy: `{"delivery-limit":-1}`,
			want: func(s *Settings) { s.DeliveryLimit = None }, origins: Origins{"delivery-limit": fromPolicy}},
		{name: "delayed retry", kind: "quorum", args: args("x-delayed-retry-type", "all", "x-delayed-retry-min", 1, "x-delayed-retry-max", 9),
			policy: `{"delayed-retry-type":"failed","delayed-retry-min":2,"delayed-retry-max":8}`,
			want: func(s *Settings) {
				s.DelayedRetryType, s.DelayedRetryMin, s.DelayedRetryMax, s.DeliveryLimit = "failed", 1, 8, 20
			},
			origins: Origins{"delayed-retry-type": fromPolicy, "delayed-retry-min": fromArgument, "delayed-retry-max": fromPolicy}},
		{name: "stream retention: the policy wins", kind: "stream", args: args("x-max-age", "1D", "x-max-length-bytes", 5),
			policy:  `{"max-age":"7D","max-length-bytes":9}`,
			want:    func(s *Settings) { s.MaxAge, s.MaxLengthBytes = "7D", 9 },
			origins: Origins{"max-age": fromPolicy, "max-length-bytes": fromPolicy}},
		{name: "stream retention: arguments alone", kind: "stream", args: args("x-max-age", "1D", "x-max-length-bytes", 5, "x-max-length", 5),
			want:    func(s *Settings) { s.MaxAge, s.MaxLengthBytes = "1D", 5 },
			origins: Origins{"max-age": fromArgument, "max-length-bytes": fromArgument}},
		{name: "arguments that no declaration would let pass",
			args: args("x-message-ttl", -1, "x-expires", "5", "x-max-length", true, "x-overflow", "drop", "x-dead-letter-exchange", 5,
				"x-max-priority", 256, "x-single-active-consumer", "yes", "x-cache-size", -1, "x-deduplication-header", 1,
				"x-delivery-limit", "5"),
			policy: `{"message-ttl":5}`,
			want:   func(s *Settings) { s.MessageTTL = 5 }, origins: Origins{"message-ttl": fromPolicy}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var policies []*meta.Policy
			if c.policy != "" {
				policies = append(policies, policy("p", "", 0, c.policy))
			}
			if c.op != "" {
				policies = append(policies, operator("o", "", 0, c.op))
			}
			for _, p := range policies {
				if err := Validate(p); err != nil {
					t.Fatal(err)
				}
			}
			var e Effective
			if policies != nil || c.kind != "" {
				e = set(policies...).ForQueue("q", c.kind)
			}
			want := unset
			c.want(&want)
			got, origins := QueueSettings(c.args, e)
			if !got.Equal(want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !reflect.DeepEqual(origins, c.origins) {
				t.Errorf("origins %v\nwant    %v", origins, c.origins)
			}
		})
	}
}

func TestSettingsEqual(t *testing.T) {
	a, b := unset, unset
	a.DeadLetterExchange, b.DeadLetterExchange = text("x"), text("x")
	if !a.Equal(b) {
		t.Error("same settings differ")
	}
	for name, change := range map[string]func(s *Settings){
		"no exchange": func(s *Settings) { s.DeadLetterExchange = nil },
		"exchange":    func(s *Settings) { s.DeadLetterExchange = text("y") },
		"key":         func(s *Settings) { s.DeadLetterRoutingKey = text("") },
		"number":      func(s *Settings) { s.MaxLength++ },
	} {
		c := b
		if change(&c); a.Equal(c) || c.Equal(a) {
			t.Errorf("%s: different settings are equal", name)
		}
	}
}

func TestExchangeSettings(t *testing.T) {
	e := set(policy("p", "", 0, `{"alternate-exchange":"p"}`)).ForExchange("x", "topic")
	for _, c := range []struct {
		name   string
		args   wire.Table
		e      Effective
		want   *string
		origin Origin
	}{
		{"nothing", nil, Effective{}, nil, Origin{}},
		{"argument", args("alternate-exchange", ""), Effective{}, text(""), Origin{Source: Argument}},
		{"policy", nil, e, text("p"), Origin{Policy, "p"}},
		{"the argument wins", args("alternate-exchange", "a"), e, text("a"), Origin{Source: Argument}},
		{"an argument of a wrong type", args("alternate-exchange", 1), e, text("p"), Origin{Policy, "p"}},
	} {
		got, origins := ExchangeSettings(c.args, c.e)
		if !equalText(got.AlternateExchange, c.want) || origins["alternate-exchange"] != c.origin {
			t.Errorf("%s: got %v from %v, want %v from %v", c.name, got.AlternateExchange, origins, c.want, c.origin)
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		DropHead.String(): "drop-head", RejectPublish.String(): "reject-publish", RejectPublishDLX.String(): "reject-publish-dlx",
		AtMostOnce.String(): "at-most-once", AtLeastOnce.String(): "at-least-once",
		Origin{}.String(): "default", Origin{Source: Argument}.String(): "argument", Origin{Policy, "p"}.String(): "policy 'p'",
		Origin{OperatorPolicy, "p"}.String(): "operator policy 'p'",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
