package conformance

import (
	"context"
	"errors"
	"testing"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// policyCases are about policies, sections 14 and 6.7.
var policyCases = []conformanceCase{
	{id: "S14.1", about: "a policy acts on the queues that its pattern matches", prepare: policy("p", "^pol\\.", `{"max-length":1}`), script: `
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> queue.declare queue=other exclusive
		< queue.declare-ok queue=other
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a body=2
		> basic.publish routing-key=other body=1
		> basic.publish routing-key=other body=2
		~> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=1
		> queue.declare queue=other passive
		< queue.declare-ok queue=other message-count=2`},
	{id: "S14.4", about: "of an argument and a policy the smaller limit counts", prepare: policy("p", "^pol\\.", `{"max-length":3}`), script: `
		> queue.declare queue=pol.a exclusive @x-max-length=1
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a body=2
		~> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=1
		> basic.get queue=pol.a no-ack
		< basic.get-ok delivery-tag=1 routing-key=pol.a body=2`},
	{id: "S14.3", about: "an operator policy is merged over that of a user", prepare: func(t testing.TB, b *cluster.Broker) {
		policy("p", "^pol\\.", `{"max-length":9}`)(t, b)
		putPolicy(t, b, meta.Policy{VHost: "/", Name: "o", Operator: true, Pattern: "^pol\\.", ApplyTo: "queues", Definition: []byte(`{"max-length":1}`)})
	}, script: `
		> queue.declare queue=pol.a exclusive
		< queue.declare-ok queue=pol.a
		> basic.publish routing-key=pol.a body=1
		> basic.publish routing-key=pol.a body=2
		~> queue.declare queue=pol.a passive
		< queue.declare-ok queue=pol.a message-count=1
		> basic.get queue=pol.a no-ack
		< basic.get-ok delivery-tag=1 routing-key=pol.a body=2`},
	{id: "S3.18", about: "an alternate exchange by policy", prepare: func(t testing.TB, b *cluster.Broker) {
		putPolicy(t, b, meta.Policy{
			VHost: "/", Name: "ae", Pattern: "^pol\\.x$", ApplyTo: "exchanges", Definition: []byte(`{"alternate-exchange":"amq.fanout"}`),
		})
	}, script: `
		> exchange.declare exchange=pol.x type=direct
		< exchange.declare-ok
		> queue.declare queue=q exclusive
		< queue.declare-ok queue=q
		> queue.bind queue=q exchange=amq.fanout
		< queue.bind-ok
		> basic.publish exchange=pol.x routing-key=k mandatory body=1
		> basic.get queue=q no-ack
		< basic.get-ok delivery-tag=1 exchange=pol.x routing-key=k body=1`},
}

// permissionCases are about what users may do, section 15. The user conf may only touch names that begin with mine.
var permissionCases = []conformanceCase{
	{id: "S15.1a", about: "no permission entry for the vhost", prepare: user("", "", ""), script: `
		connect b user=conf password=secret
		b0< connection.close 530 NOT_ALLOWED - access to vhost '/' refused for user 'conf' (10,40)`},
	denied("S15.2a", "declaring a queue needs configure", "queue.declare queue=theirs", "configure access to queue 'theirs'", "50,10"),
	denied("S15.2b", "deleting a queue needs configure", "queue.delete queue=theirs", "configure access to queue 'theirs'", "50,40"),
	denied("S15.2c", "declaring an exchange needs configure", "exchange.declare exchange=theirs type=direct", "configure access to exchange 'theirs'", "40,10"),
	denied("S15.2d", "publishing needs write", "basic.publish exchange=amq.direct", "write access to exchange 'amq.direct'", "60,40"),
	denied("S15.2e", "publishing to the default exchange needs write on amq.default", "basic.publish routing-key=k", "write access to exchange 'amq.default'", "60,40"),
	denied("S15.2f", "consuming needs read", "basic.consume queue=theirs", "read access to queue 'theirs'", "60,20"),
	denied("S15.2g", "getting needs read", "basic.get queue=theirs", "read access to queue 'theirs'", "60,70"),
	denied("S15.2h", "purging needs read", "queue.purge queue=theirs", "read access to queue 'theirs'", "50,30"),
	denied("S15.2i", "binding needs write on the queue", "queue.bind queue=theirs exchange=amq.direct", "write access to queue 'theirs'", "50,20"),
	{id: "S15.2j", about: "what matches the patterns is allowed", prepare: user("^mine", "^mine", "^mine"), script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b> queue.declare queue=mine exclusive
		b< queue.declare-ok queue=mine
		b> basic.get queue=mine
		b< basic.get-empty`},
	{id: "S15.8a", about: "the queue limit of a vhost", prepare: func(t testing.TB, b *cluster.Broker) {
		if err := b.SetVHostLimit(t.Context(), "/", cluster.MaxQueues, 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { restore(t, b.SetVHostLimit(background(t), "/", cluster.MaxQueues, -1)) })
	}, script: `
		> queue.declare queue=q exclusive
		< channel.close 406 PRECONDITION_FAILED - cannot declare queue 'q': queue limit in vhost '/' (0) is reached (50,10)`},
	{id: "S15.8b", about: "the connection limit of a user", prepare: func(t testing.TB, b *cluster.Broker) {
		user(".*", ".*", ".*")(t, b)
		if err := b.SetUserLimit(t.Context(), "conf", cluster.MaxConnections, 0); err != nil {
			t.Fatal(err)
		}
	}, script: `
		connect b user=conf password=secret
		b0< connection.close 530 NOT_ALLOWED - connection refused for user 'conf': user connection limit (0) is reached (10,40)`},
	{id: "S9.5", about: "an impersonator may set any user_id", prepare: func(t testing.TB, b *cluster.Broker) {
		user(".*", ".*", ".*")(t, b)
		if err := b.SetUserTags(t.Context(), "conf", []string{"impersonator"}); err != nil {
			t.Fatal(err)
		}
	}, script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b> queue.declare queue=q exclusive
		b< queue.declare-ok queue=q
		b> basic.publish routing-key=q user-id=somebody body=x
		b> basic.get queue=q no-ack
		b< basic.get-ok delivery-tag=1 routing-key=q user-id=somebody body=x`},
	{id: "S15.3a", about: "topic permissions restrict routing keys", prepare: topicPermission("^mine\\.", "^mine\\."), script: `
		connect b user=conf password=secret
		b0< connection.open-ok
		b> basic.publish exchange=amq.topic routing-key=mine.a
		b> basic.publish exchange=amq.topic routing-key=theirs.a
		b< channel.close 403 ACCESS_REFUSED - write access to topic 'theirs.a' in exchange 'amq.topic' in vhost '/' refused for user 'conf' (60,40)`},
}

// denied is a request of the user conf that is refused.
func denied(id, about, request, what, method string) conformanceCase {
	return conformanceCase{id: id, about: about, prepare: user("^mine", "^mine", "^mine"), script: script(`
		> queue.declare queue=theirs
		< queue.declare-ok queue=theirs
		connect b user=conf password=secret
		b0< connection.open-ok
		b> ` + request + `
		b< channel.close 403 ACCESS_REFUSED - ` + what + ` in vhost '/' refused for user 'conf' (` + method + `)`)}
}

// user makes the user conf for one case. Empty patterns all together are no entry for the vhost.
func user(configure, write, read string) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		if _, err := b.PutUser(t.Context(), "conf", cluster.Secret{Password: "secret"}, nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := b.DeleteUser(background(t), "conf"); !errors.Is(err, meta.ErrNoUser) {
				restore(t, err)
			}
		})
		if configure+write+read == "" {
			return
		}
		p := meta.Permission{User: "conf", VHost: "/", Configure: configure, Write: write, Read: read}
		if _, err := b.SetPermission(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// userLimit makes the user conf with a limit for one case.
func userLimit(k cluster.Limit, n int64) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		user(".*", ".*", ".*")(t, b)
		if err := b.SetUserLimit(t.Context(), "conf", k, n); err != nil {
			t.Fatal(err)
		}
	}
}

// vhostLimit sets a limit of the vhost / for one case.
func vhostLimit(k cluster.Limit, n int64) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		if err := b.SetVHostLimit(t.Context(), "/", k, n); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { restore(t, b.SetVHostLimit(background(t), "/", k, -1)) })
	}
}

// putVHost makes a vhost in which the default user may do everything. The case deletes it.
func putVHost(name string) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		if _, err := b.PutVHost(t.Context(), meta.VHost{Name: name}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.SetPermission(t.Context(), meta.Permission{User: "guest", VHost: name, Configure: ".*", Write: ".*", Read: ".*"}); err != nil {
			t.Fatal(err)
		}
	}
}

// topicPermission makes the user conf with permissions for routing keys of amq.topic for one case.
func topicPermission(write, read string) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		user(".*", ".*", ".*")(t, b)
		p := meta.TopicPermission{User: "conf", VHost: "/", Exchange: "amq.topic", Write: write, Read: read}
		if _, err := b.SetTopicPermission(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
}

// policy sets a policy for queues for one case.
func policy(name, pattern, definition string) func(testing.TB, *cluster.Broker) {
	return func(t testing.TB, b *cluster.Broker) {
		putPolicy(t, b, meta.Policy{VHost: "/", Name: name, Pattern: pattern, ApplyTo: "queues", Definition: []byte(definition)})
	}
}

func putPolicy(t testing.TB, b *cluster.Broker, p meta.Policy) {
	if _, err := b.PutPolicy(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { restore(t, b.DeletePolicy(background(t), p.VHost, p.Name, p.Operator)) })
}

// background is a context for cleaning up, when the test's own has ended.
func background(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

func restore(t testing.TB, err error) {
	if err != nil {
		t.Errorf("cleaning: %v", err)
	}
}
