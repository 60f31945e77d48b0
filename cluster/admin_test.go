package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/brokerd/brokerd/cluster/meta"
)

// secret is a user whose hash costs nothing to make.
func secret(password string) Secret {
	sum := sha256.Sum256([]byte("salt" + password))
	return Secret{Hash: append([]byte("salt"), sum[:]...)}
}

// addUser makes a user with all permissions on /.
func (n *testNode) addUser(name string) {
	n.t.Helper()
	_, err := n.PutUser(n.t.Context(), name, secret("p"), nil)
	must(n.t, err)
	_, err = n.SetPermission(n.t.Context(), meta.Permission{User: name, VHost: "/", Configure: ".*", Write: ".*", Read: ".*"})
	must(n.t, err)
}

// addVHost makes a vhost in which guest may do everything.
func (n *testNode) addVHost(name string) {
	n.t.Helper()
	_, err := n.PutVHost(n.t.Context(), meta.VHost{Name: name})
	must(n.t, err)
	_, err = n.SetPermission(n.t.Context(), meta.Permission{User: "guest", VHost: name, Configure: ".*", Write: ".*", Read: ".*"})
	must(n.t, err)
}

func TestArguments(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	n.addUser("u")
	putVHost := func(v meta.VHost) error { _, err := n.PutVHost(ctx, v); return err }
	putUser := func(name string, s Secret, tags ...string) error { _, err := n.PutUser(ctx, name, s, tags); return err }
	permit := func(p meta.Permission) error { _, err := n.SetPermission(ctx, p); return err }
	permitTopic := func(p meta.TopicPermission) error { _, err := n.SetTopicPermission(ctx, p); return err }
	putPolicy := func(p meta.Policy) error { _, err := n.PutPolicy(ctx, p); return err }
	putParameter := func(p meta.Parameter) error { _, err := n.PutParameter(ctx, p); return err }
	long := strings.Repeat("x", 256)
	for _, c := range []struct {
		name string
		err  error
		want string // the whole text, or its start up to *
	}{
		{"vhost", putVHost(meta.VHost{Name: "ok", Description: "d", Tags: []string{"a", "b"}, DefaultQueueType: "classic"}), ""},
		{"vhost without name", putVHost(meta.VHost{}), `vhost: name: got "", want 1 to 255 bytes of UTF-8 without control characters`},
		{"long vhost", putVHost(meta.VHost{Name: long}), `vhost: name: got "xxx*`},
		{"control character", putVHost(meta.VHost{Name: "a\nb"}), `vhost: name: got "a\nb", want*`},
		{"not UTF-8", putVHost(meta.VHost{Name: "\xff"}), `vhost: name: got "\xff", want*`},
		{"tag", putVHost(meta.VHost{Name: "v", Tags: []string{"a,b"}}), `vhost: tags: got "a,b", want*`},
		{"tag twice", putVHost(meta.VHost{Name: "v", Tags: []string{"a", "a"}}), `vhost: tags: got "a", want each tag once`},
		{"queue type", putVHost(meta.VHost{Name: "v", DefaultQueueType: "quorum"}),
			`vhost: default_queue_type: got "quorum", want classic, the type that this version has`},
		{"description", putVHost(meta.VHost{Name: "v", Description: strings.Repeat("x", 5000)}), `vhost: description: got "xxx*`},
		{"user without password", putUser("nopass", Secret{}), ""},
		{"password and hash", putUser("x", Secret{Password: "p", Hash: []byte("h")}),
			"user: password: want a password or a password_hash, not both"},
		{"short hash", putUser("x", Secret{Hash: []byte("hash")}), "user: password_hash: want 4 bytes of salt and 32 of SHA-256"},
		{"SHA-512", putUser("x", Secret{Hash: make([]byte, 36), Algorithm: meta.HashSHA512}),
			"user: password_hash: want 4 bytes of salt and 64 of SHA-512"},
		{"argon2id", putUser("x", Secret{Hash: []byte("$argon2i$"), Algorithm: meta.HashArgon2id}), "user: password_hash: want $argon2id*"},
		{"MD5", putUser("x", Secret{Hash: make([]byte, 20), Algorithm: "rabbit_password_hashing_md5"}),
			`user: hashing_algorithm: got "rabbit_password_hashing_md5", want rabbit_password_hashing_sha256*`},
		{"long password", putUser("x", Secret{Password: strings.Repeat("x", 5000)}), "user: password: want at most 4096 bytes"},
		{"user tag", putUser("x", secret("p"), "a b"), `user: tags: got "a b", want*`},
		{"secret of nobody", n.SetUserSecret(ctx, "nobody", secret("p")), `no such user: "nobody"`},
		{"tags of nobody", n.SetUserTags(ctx, "nobody", nil), `no such user: "nobody"`},
		{"delete nobody", n.DeleteUser(ctx, "nobody"), `no such user: "nobody"`},
		{"delete no vhost", n.DeleteVHost(ctx, "nowhere"), `no such vhost: "nowhere"`},
		{"permission", permit(meta.Permission{User: "u", VHost: "/", Write: "("}), `permission: write: got "(", want a regular expression*`},
		{"PCRE", permit(meta.Permission{User: "u", VHost: "/", Read: "(?=a)"}), `permission: read: got "(?=a)", want a regular*`},
		{"permission of nobody", permit(meta.Permission{User: "nobody", VHost: "/"}), `no such user: "nobody"`},
		{"clear permission", n.ClearPermission(ctx, "u", "nowhere"), `no such vhost: "nowhere"`},
		{"topic permission", permitTopic(meta.TopicPermission{User: "u", VHost: "/", Exchange: "x", Write: "^{username}-{vhost}$"}), ""},
		{"topic expression", permitTopic(meta.TopicPermission{User: "u", VHost: "/", Exchange: "x", Read: "["}),
			`topic permission: read: got "[", want*`},
		{"topic exchange", permitTopic(meta.TopicPermission{User: "u", VHost: "/"}), `topic permission: exchange: got "", want*`},
		{"clear topic permission", n.ClearTopicPermission(ctx, "nobody", "/", "x"), `no such user: "nobody"`},
		{"clear topic permissions", n.ClearTopicPermissions(ctx, "u", "/"), ""},
		{"policy", putPolicy(meta.Policy{VHost: "/", Name: "p", Pattern: ".*", ApplyTo: "queues", Definition: []byte(`{"max-length": 1}`)}), ""},
		{"policy key", putPolicy(meta.Policy{VHost: "/", Name: "p", Pattern: ".*", ApplyTo: "queues", Definition: []byte(`{"max-length": "x"}`)}),
			`policy: max-length: got "x", want*`},
		{"policy pattern", putPolicy(meta.Policy{VHost: "/", Name: "p", Pattern: "(", ApplyTo: "queues", Definition: []byte(`{"max-length": 1}`)}),
			"policy: pattern: got*"},
		{"no policy", n.DeletePolicy(ctx, "/", "p", true), `no such policy: "p" in vhost "/"`},
		{"delete policy", n.DeletePolicy(ctx, "/", "p", false), ""},
		{"parameter", putParameter(meta.Parameter{VHost: "/", Component: "c", Name: "n", Value: []byte(`1`)}), ""},
		{"global parameter", putParameter(meta.Parameter{Name: "cluster_name", Value: []byte(`"x"`)}), ""},
		{"delete parameter", n.DeleteParameter(ctx, "/", "c", "n"), ""},
		{"no parameter", n.DeleteParameter(ctx, "/", "c", "n"), `no such parameter: "n" in vhost "/"`},
		{"no JSON", putParameter(meta.Parameter{VHost: "/", Component: "c", Name: "n", Value: []byte(`{`)}),
			`parameter: value: got "{", want JSON`},
		{"policy as parameter", putParameter(meta.Parameter{VHost: "/", Component: "operator_policy", Name: "n", Value: []byte(`{}`)}),
			`parameter: component: got "operator_policy", want a policy to be set as a policy`},
		{"limits as parameter", putParameter(meta.Parameter{VHost: "/", Component: "vhost-limits", Name: "limits", Value: []byte(`{"max-queues": 1000}`)}), ""},
		{"unknown limit as parameter", putParameter(meta.Parameter{VHost: "/", Component: "vhost-limits", Name: "limits", Value: []byte(`{"max-x": 1}`)}),
			`vhost-limits: limit: got "max-x", want one of max-connections, max-queues`},
		{"no number", putParameter(meta.Parameter{VHost: "/", Component: "vhost-limits", Name: "limits", Value: []byte(`{"max-queues": "1"}`)}),
			`parameter: value: got "{\"max-queues\": \"1\"}", want a JSON object of integers`},
		{"user limit", n.SetUserLimit(ctx, "u", MaxQueues, 1),
			`user-limits: limit: got "max-queues", want one of max-connections, max-channels`},
		{"limit of nobody", n.SetUserLimit(ctx, "nobody", MaxChannels, 1), `no such user: "nobody"`},
		{"limit of nowhere", n.SetVHostLimit(ctx, "nowhere", MaxQueues, 1), `no such vhost: "nowhere"`},
	} {
		got := ""
		if c.err != nil {
			got = c.err.Error()
		}
		start, open := strings.CutSuffix(c.want, "*")
		if got != start && !(open && strings.HasPrefix(got, start)) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		var wrong *ArgumentError
		if strings.Contains(got, "want ") && !errors.As(c.err, &wrong) {
			t.Errorf("%s: %T", c.name, c.err)
		}
	}
	if l := n.VHostLimits("/"); l[MaxQueues] != 1000 || len(l) != 1 {
		t.Errorf("limits of the vhost: %v", l)
	}
}

func TestDeleteVHostEndsConnections(t *testing.T) {
	n := startNode(t)
	n.addVHost("v")
	guest := &User{Name: "guest"}
	a, err := n.Open(guest, "v", 1)
	must(t, err)
	other := n.connect()
	_, err = a.DeclareQueue(QueueSpec{Name: "q", Durable: true})
	must(t, err)
	must(t, n.SetVHostLimit(t.Context(), "v", MaxQueues, 7))
	must(t, n.DeleteVHost(t.Context(), "v"))
	if !slices.Equal(n.closing, []string{"vhost 'v' is deleted"}) {
		t.Errorf("connections closed for %q", n.closing)
	}
	want(t, a.Revoked(), "CONNECTION_FORCED - vhost 'v' is deleted")
	want(t, other.Revoked(), "")
	if _, err := n.Open(guest, "v", 3); err == nil {
		t.Error("the vhost can be opened")
	}
	// A vhost of the same name has nothing to do with the old connection.
	n.addVHost("v")
	if l := n.VHostLimits("v"); l != nil {
		t.Errorf("limits of the new vhost: %v", l)
	}
	b, err := n.Open(guest, "v", 4)
	must(t, err)
	want(t, b.Revoked(), "")
	want(t, a.Revoked(), "CONNECTION_FORCED - vhost 'v' is deleted")
	a.Close()
	if got := n.VHostUsage("v"); got != (Usage{Connections: 1}) {
		t.Errorf("usage of the new vhost: %+v", got)
	}
	n.propose(meta.PutVHost{VHost: meta.VHost{Name: "v", Protected: true}})
	if err := n.DeleteVHost(t.Context(), "v"); !errors.Is(err, meta.ErrVHostProtected) {
		t.Errorf("deleting a protected vhost: %v", err)
	}
}

func TestDeleteUserEndsConnections(t *testing.T) {
	n := startNode(t)
	n.addUser("u")
	must(t, n.SetUserLimit(t.Context(), "u", MaxChannels, 3))
	a := n.connectAs("u")
	must(t, n.DeleteUser(t.Context(), "u"))
	if !slices.Equal(n.closing, []string{"user 'u' is deleted"}) {
		t.Errorf("connections closed for %q", n.closing)
	}
	want(t, a.Revoked(), "CONNECTION_FORCED - user 'u' is deleted")
	want(t, a.CheckPublish(""), "ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'")
	n.addUser("u")
	if l := n.UserLimits("u"); l != nil {
		t.Errorf("limits of the new user: %v", l)
	}
}

func TestSecrets(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	login := func(password string) bool {
		_, err := n.Authenticate("u", password, false)
		if err != nil && !errors.Is(err, ErrLoginRefused) {
			t.Fatal(err)
		}
		return err == nil
	}
	check := func(what string, right, wrong string) {
		t.Helper()
		if right != "" && !login(right) {
			t.Errorf("%s: %q is refused", what, right)
		}
		if login(wrong) {
			t.Errorf("%s: %q is accepted", what, wrong)
		}
	}
	created, err := n.PutUser(ctx, "u", Secret{Password: "eins"}, []string{"monitoring"})
	if err != nil || !created {
		t.Fatal(created, err)
	}
	check("password", "eins", "zwei")
	must(t, n.SetUserSecret(ctx, "u", secret("zwei")))
	check("imported hash", "zwei", "eins")
	must(t, n.SetUserSecret(ctx, "u", Secret{}))
	check("no password", "", "zwei")
	check("no password", "", "")
	must(t, n.SetUserSecret(ctx, "u", Secret{Password: "eins"}))
	check("the first one again", "eins", "zwei")
	if tags := n.State().User("u").Tags; !slices.Equal(tags, []string{"monitoring"}) {
		t.Errorf("tags: %q", tags)
	}
	must(t, n.SetUserTags(ctx, "u", nil))
	check("other tags", "eins", "zwei")
	if created, err := n.PutUser(ctx, "u", secret("drei"), nil); err != nil || created {
		t.Error(created, err)
	}
	check("put again", "drei", "eins")
}

// Ten thousand logins at once cost one hash, whether the password is right, wrong, or that of nobody.
func TestLoginsShareHashes(t *testing.T) {
	u := &meta.User{Name: "u", PasswordHash: []byte("hash")}
	for _, c := range []struct {
		name  string
		user  *meta.User
		right bool
	}{{"right", u, true}, {"wrong", u, false}, {"unknown user", nil, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				credentials := newCredentials()
				hashes := 0
				proceed := make(chan struct{})
				credentials.check = func(*meta.User, string) bool {
					hashes++
					<-proceed
					return c.right
				}
				var all sync.WaitGroup
				for range 10_000 {
					all.Go(func() {
						if credentials.verify("u", "p", c.user) != c.right {
							t.Errorf("not %v", c.right)
						}
					})
				}
				synctest.Wait() // one hashes, the others wait for it
				close(proceed)
				all.Wait()
				if hashes != 1 {
					t.Errorf("%d hashes", hashes)
				}
			})
		})
	}
}

func TestActor(t *testing.T) {
	n := startNode(t)
	listen := n.listen("#")
	ctx := WithActor(context.Background(), "op")
	_, err := n.PutVHost(ctx, meta.VHost{Name: "w"})
	must(t, err)
	listen.expect("vhost.created", "name", "w", "user_who_performed_action", "op")
}
