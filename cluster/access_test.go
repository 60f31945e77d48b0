package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/brokerd/brokerd/cluster/meta"
)

func TestOpenVHost(t *testing.T) {
	n := startNode(t)
	n.propose(meta.PutUser{User: meta.User{Name: "xu"}})
	for _, c := range []struct{ user, vhost, text string }{
		{"guest", "/", ""},
		{"guest", "nope", "NOT_ALLOWED - vhost nope not found"},
		{"guest", "", "NOT_ALLOWED - vhost  not found"},
		{"xu", "/", "NOT_ALLOWED - access to vhost '/' refused for user 'xu'"},
	} {
		_, err := n.Open(&User{Name: c.user}, c.vhost, 1)
		want(t, err, c.text)
	}
}

func TestAuthenticate(t *testing.T) {
	n := startNode(t)
	hash, algorithm, err := meta.HashPassword("xp")
	must(t, err)
	n.propose(meta.PutUser{User: meta.User{Name: "xu", PasswordHash: hash, HashAlgorithm: algorithm, Tags: []string{"monitoring"}}})
	for _, c := range []struct {
		user, password string
		loopback       bool
		reason         string
	}{
		{"guest", "guest", true, ""},
		{"guest", "guest", false, "user 'guest' can only connect via localhost"},
		{"guest", "wrong", true, "wrong password for user 'guest'"},
		{"nobody", "guest", true, "unknown user 'nobody'"},
		{"xu", "xp", false, ""},
		{"xu", "xp", false, ""}, // from the cache
		{"xu", "xq", false, "wrong password for user 'xu'"},
		{"xu", "", false, "wrong password for user 'xu'"},
	} {
		u, err := n.Authenticate(c.user, c.password, c.loopback)
		if c.reason == "" {
			if err != nil || u.Name != c.user || len(u.Tags) != 1 {
				t.Errorf("%s/%s: %+v, %v", c.user, c.password, u, err)
			}
		} else if !errors.Is(err, ErrLoginRefused) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s/%s: %v, want %q", c.user, c.password, err, c.reason)
		}
	}
	for _, c := range []struct {
		user     string
		loopback bool
		reason   string
	}{
		{"xu", false, ""},
		{"guest", true, ""},
		{"guest", false, "user 'guest' can only connect via localhost"},
		{"nobody", true, "unknown user 'nobody'"},
	} {
		u, err := n.AuthenticateExternal(c.user, c.loopback)
		if c.reason == "" {
			if err != nil || u.Name != c.user || len(u.Tags) != 1 {
				t.Errorf("%s by certificate: %+v, %v", c.user, u, err)
			}
		} else if !errors.Is(err, ErrLoginRefused) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s by certificate: %v, want %q", c.user, err, c.reason)
		}
	}
	hash, algorithm, err = meta.HashPassword("new")
	must(t, err)
	n.propose(meta.PutUser{User: meta.User{Name: "xu", PasswordHash: hash, HashAlgorithm: algorithm}})
	if _, err := n.Authenticate("xu", "xp", false); err == nil {
		t.Error("the old password still works")
	}
	if _, err := n.Authenticate("xu", "new", false); err != nil {
		t.Errorf("the new password: %v", err)
	}
	n.propose(meta.DeleteUser{Name: "xu"})
	if _, err := n.Authenticate("xu", "new", false); err == nil {
		t.Error("a deleted user can log in")
	}
}

func TestCredentialsAreBounded(t *testing.T) {
	c := newCredentials()
	c.check = func(*meta.User, string) bool { return true }
	for i := range maxCredentials + 10 {
		c.verify("u", string(rune(i)), nil)
	}
	if len(c.right) > maxCredentials {
		t.Errorf("%d entries", len(c.right))
	}
	if c.digest("ab", "c", nil) == c.digest("a", "bc", nil) {
		t.Error("user and password run into each other")
	}
}

func TestPermissions(t *testing.T) {
	n := startNode(t)
	guest := n.connect()
	_, err := guest.DeclareQueue(QueueSpec{Name: "xno"})
	must(t, err)
	n.propose(meta.PutUser{User: meta.User{Name: "xu"}})
	allow := func(configure, write, read string) {
		n.propose(meta.SetPermission{Permission: meta.Permission{User: "xu", VHost: "/", Configure: configure, Write: write, Read: read}})
	}
	allow("^ok", "^ok", "^ok")
	a := n.connectAs("xu")
	declare := func(s QueueSpec) error { _, err := a.DeclareQueue(s); return err }
	refused := func(op, what string) string {
		return "ACCESS_REFUSED - " + op + " access to " + what + " in vhost '/' refused for user 'xu'"
	}
	for _, c := range []struct {
		name string
		do   func() error
		text string
	}{
		{"declare queue", func() error { return declare(QueueSpec{Name: "no"}) }, refused("configure", "queue 'no'")},
		{"declare exchange", func() error { return a.DeclareExchange(ExchangeSpec{Name: "no", Type: "direct"}) },
			refused("configure", "exchange 'no'")},
		{"delete exchange", func() error { return a.DeleteExchange("no", false) }, refused("configure", "exchange 'no'")},
		{"delete queue", func() error { _, err := a.DeleteQueue("xno", false, false); return err },
			refused("configure", "queue 'xno'")},
		{"bind", func() error { return a.BindQueue(BindingSpec{Source: "amq.direct", Destination: "xno"}) },
			refused("write", "queue 'xno'")},
		{"own queue", func() error { return declare(QueueSpec{Name: "okq"}) }, ""},
		{"bind to a source that may not be read", func() error {
			return a.BindQueue(BindingSpec{Source: "amq.direct", Destination: "okq"})
		}, refused("read", "exchange 'amq.direct'")},
		{"bind exchange", func() error { return a.BindExchange(BindingSpec{Source: "amq.direct", Destination: "amq.fanout"}) },
			refused("write", "exchange 'amq.fanout'")},
		{"read", func() error { _, err := a.QueueForRead("xno"); return err }, refused("read", "queue 'xno'")},
		{"purge", func() error { _, err := a.PurgeQueue("xno"); return err }, refused("read", "queue 'xno'")},
		{"passive", func() error { return declare(QueueSpec{Name: "xno", Passive: true}) }, refused("configure", "queue 'xno'")},
		{"publish", func() error { return a.CheckPublish("amq.direct") }, refused("write", "exchange 'amq.direct'")},
		{"publish to the default exchange", func() error { return a.CheckPublish("") }, refused("write", "exchange 'amq.default'")},
		{"publish allowed", func() error { return a.CheckPublish("ok.exchange") }, ""},
		{"dead-letter exchange", func() error {
			return declare(QueueSpec{Name: "okdlx", Arguments: table("x-dead-letter-exchange", "dlx")})
		}, refused("write", "exchange 'dlx'")},
		{"alternate exchange", func() error {
			return a.DeclareExchange(ExchangeSpec{Name: "okae", Type: "fanout", Arguments: table("alternate-exchange", "ae")})
		}, refused("write", "exchange 'ae'")},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, c.do(), c.text) })
	}
	// A change counts at once on an open connection.
	for _, c := range []struct{ write, text string }{
		{".*", ""},
		{"^amq\\.(default|topic)$", ""},
		{"default", ""},
		{"^$", refused("write", "exchange 'amq.default'")},
		{"", refused("write", "exchange 'amq.default'")},
		{"(", refused("write", "exchange 'amq.default'")},
		{"(?=amq)", refused("write", "exchange 'amq.default'")}, // PCRE only
	} {
		allow("", c.write, "any")
		want(t, a.CheckPublish(""), c.text)
	}
	allow("", "", "xno")
	want(t, declare(QueueSpec{Name: "xno", Passive: true}), "") // any permission will do
	n.propose(meta.ClearPermission{User: "xu", VHost: "/"})
	want(t, a.CheckPublish("ok"), refused("write", "exchange 'ok'"))
}

func TestCheckUserID(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	want(t, a.CheckUserID([]byte("guest")), "")
	want(t, a.CheckUserID([]byte("other")),
		"PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'")
	// Tags count at once, and administrator is not enough.
	must(t, n.SetUserTags(t.Context(), "guest", []string{"administrator", "impersonator"}))
	want(t, a.CheckUserID([]byte("other")), "")
}
