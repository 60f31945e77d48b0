package cluster

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/brokerd/brokerd/cluster/meta"
)

func TestConnectionLimits(t *testing.T) {
	n := startNode(t)
	ctx := t.Context()
	n.addVHost("v")
	n.addUser("u")
	n.addUser("w")
	n.propose(meta.PutUser{User: meta.User{Name: "x"}}) // without permission
	must(t, n.SetVHostLimits(ctx, "/", Limits{MaxConnections: 2, MaxQueues: -1}))
	must(t, n.SetUserLimit(ctx, "u", MaxConnections, 1))
	open := func(user, vhost, text string) *Access {
		t.Helper()
		n.conns++
		a, err := n.Open(&User{Name: user}, vhost, n.conns)
		want(t, err, text)
		return a
	}
	ofVHost := func(user string, limit int) string {
		return fmt.Sprintf("NOT_ALLOWED - access to vhost '/' refused for user '%s': connection limit (%d) is reached", user, limit)
	}
	const ofUser = "NOT_ALLOWED - connection refused for user 'u': user connection limit (%d) is reached"
	a := open("u", "/", "")
	open("u", "/", fmt.Sprintf(ofUser, 1))
	b := open("w", "/", "")
	open("w", "/", ofVHost("w", 2))
	open("u", "/", ofVHost("u", 2)) // the vhost's limit goes first
	open("x", "/", ofVHost("x", 2)) // before the permission
	open("guest", "v", "").Close()  // another vhost
	a.Close()
	open("x", "/", "NOT_ALLOWED - access to vhost '/' refused for user 'x'")
	a = open("u", "/", "")
	must(t, n.SetUserLimit(ctx, "u", MaxConnections, -1))
	must(t, n.SetVHostLimit(ctx, "/", MaxConnections, 0))
	open("w", "/", ofVHost("w", 0))
	must(t, n.SetVHostLimits(ctx, "/", nil))
	c := open("u", "/", "")
	if got := n.UserUsage("u"); got != (Usage{Connections: 2}) {
		t.Errorf("usage: %+v", got)
	}
	for _, x := range []*Access{a, b, c} {
		x.Close()
	}
	if got := n.VHostUsage("/"); got != (Usage{}) {
		t.Errorf("usage after all: %+v", got)
	}
}

func TestChannelLimit(t *testing.T) {
	n := startNode(t)
	n.addUser("u")
	a, b := n.connectAs("u"), n.connectAs("u")
	must(t, a.OpenChannel())
	must(t, a.OpenChannel())
	const text = "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of %d"
	must(t, n.SetUserLimit(t.Context(), "u", MaxChannels, 2)) // counts at once on open connections
	want(t, b.OpenChannel(), fmt.Sprintf(text, 2))
	a.CloseChannel()
	want(t, b.OpenChannel(), "")
	want(t, a.OpenChannel(), fmt.Sprintf(text, 2))
	a.Close() // with a channel open
	want(t, b.OpenChannel(), "")
	want(t, b.OpenChannel(), fmt.Sprintf(text, 2))
	want(t, n.connect().OpenChannel(), "")
	a.CloseChannel() // late: it was given back already
	if got := n.UserUsage("u"); got != (Usage{Connections: 1, Channels: 2}) {
		t.Errorf("usage: %+v", got)
	}
	n.restart()
	if l := n.UserLimits("u"); l[MaxChannels] != 2 {
		t.Errorf("limits after a restart: %v", l)
	}
}

func TestQueueLimit(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	declare := func(name, text string) {
		t.Helper()
		_, err := a.DeclareQueue(QueueSpec{Name: name, Durable: true})
		want(t, err, text)
	}
	full := func(name string, limit int) string {
		return fmt.Sprintf("PRECONDITION_FAILED - cannot declare queue '%s': queue limit in vhost '/' (%d) is reached", name, limit)
	}
	declare("a", "")
	must(t, n.SetVHostLimit(t.Context(), "/", MaxQueues, 2))
	declare("b", "")
	declare("c", full("c", 2))
	declare("b", "") // exists
	_, err := a.DeleteQueue("a", false, false)
	must(t, err)
	declare("c", "")
	n.restart()
	a = n.connect()
	declare("d", full("d", 2))
	must(t, n.SetVHostLimit(t.Context(), "/", MaxQueues, 0))
	declare("d", full("d", 0))
	must(t, n.SetVHostLimit(t.Context(), "/", MaxQueues, -1))
	declare("d", "")
	if got := n.VHostUsage("/").Queues; got != 3 {
		t.Errorf("%d queues", got)
	}
}

// Concurrent declares fill a vhost to its limit, no more and no less.
func TestQueueLimitIsExact(t *testing.T) {
	n := startNode(t)
	a := n.connect()
	const limit, clients = 20, 60
	must(t, n.SetVHostLimit(t.Context(), "/", MaxQueues, limit))
	var made atomic.Int32
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			// Every name is declared twice at the same time: both succeed or none.
			if _, err := a.DeclareQueue(QueueSpec{Name: fmt.Sprint("q", i/2), Durable: true}); err == nil {
				made.Add(1)
			}
		})
	}
	all.Wait()
	if got := n.State().NumQueues(); got != limit {
		t.Errorf("%d queues, want %d", got, limit)
	}
	if got := made.Load(); got != 2*limit {
		t.Errorf("%d declares succeeded, want %d", got, 2*limit)
	}
}
