//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
)

// TestClusterForming starts the initial members in the wrong order, lets a fourth one join, and restarts one at another address.
func TestClusterForming(t *testing.T) {
	t.Parallel()
	g := newGroup(t, 3)
	for _, m := range slices.Backward(g.nodes) { // the first of the list makes the cluster, and comes last
		m.launch()
	}
	for _, m := range g.nodes {
		m.awaitUp()
	}
	g.awaitLinks()
	fourth := g.join(g.nodes[2])
	g.awaitLinks()

	moved := g.nodes[1]
	moved.stop()
	moved.listen = freeAddress(t)
	moved.set("cluster.listen", moved.listen)
	moved.start()
	g.awaitLinks()

	// A restart of all: nobody remembers anything but what is on disk, and one has moved again meanwhile.
	for _, m := range g.nodes {
		m.kill()
	}
	moved.listen = freeAddress(t)
	moved.set("cluster.listen", moved.listen)
	for _, m := range g.nodes {
		m.launch()
	}
	for _, m := range g.nodes {
		m.awaitUp()
	}
	g.awaitLinks()
	fourth.stop()
}

// TestClusterRefusesToJoin gives each reason for which a node is not taken into a cluster.
func TestClusterRefusesToJoin(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 1)
	alone := newGroup(t, 1) // another cluster
	alone.nodes[0].start()
	for _, c := range []struct {
		name   string
		change func(*member)
		text   string
	}{
		{"wrong secret", func(m *member) { m.set("cluster.secret", "not the secret that it is") }, "wrong cluster secret: cluster.secret differs"},
		{"no secret", func(m *member) { m.set("cluster.secret", "") }, "wrong cluster secret"},
		{"name taken", func(m *member) { m.set("node.name", g.nodes[0].name) }, `another node of the cluster has the name "node0"`},
		{"data not empty", func(m *member) {
			join := m.env[len(m.env)-1]
			m.env = m.env[:len(m.env)-1]
			m.start()
			m.stop()
			m.env = append(m.env, join)
		}, "a node that joins needs an empty data directory"},
		{"initial members of different clusters", func(m *member) {
			m.set("cluster.join", "")
			m.set("cluster.initial", alone.nodes[0].address+","+freeAddress(t))
			m.set("cluster.secret", "not the secret that it is")
		}, "wrong cluster secret"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := g.add()
			g.nodes = g.nodes[:1]
			m.t = t
			m.set("node.name", "stranger")
			m.set("cluster.join", g.nodes[0].address)
			c.change(m)
			offset := m.logSize()
			m.launch()
			if code := m.wait(patience); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			if log := m.log(offset); !strings.Contains(log, "brokerd: ") || !strings.Contains(log, c.text) {
				t.Errorf("log without %q:\n%s", c.text, log)
			}
		})
	}
	t.Run("member of another cluster", func(t *testing.T) {
		m := alone.nodes[0]
		m.t = t
		second := alone.join(m)
		second.stop()
		second.set("cluster.join", g.nodes[0].address)
		offset := second.logSize()
		second.launch()
		if code := second.wait(patience); code != 1 {
			t.Errorf("exit code %d, want 1", code)
		}
		if log := second.log(offset); !strings.Contains(log, "belongs to another cluster") {
			t.Errorf("log without the reason:\n%s", log)
		}
	})
}

// inProcess starts a node of the cluster in this process, where its Broker can be reached.
func (g *group) inProcess(name string, more ...func(*config.Config)) *node.Node {
	g.t.Helper()
	cfg := config.Default()
	cfg.DataDir = filepath.Join(g.t.TempDir(), "data")
	cfg.Node.Name = name
	cfg.AMQP.Listen = []string{"127.0.0.1:0"}
	cfg.Cluster.Listen = "127.0.0.1:0"
	cfg.Cluster.Secret = testSecret
	cfg.Cluster.Join = []string{g.nodes[0].address}
	cfg.Cluster.CommitTimeout = commitTimeout
	for _, f := range more {
		f(cfg)
	}
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	n, err := node.Start(ctx, cfg, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		g.t.Fatalf("node %s in this process: %v", name, err)
	}
	g.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			g.t.Errorf("shutdown of node %s in this process: %v", name, err)
		}
	})
	return n
}

// votes returns the members of the metadata group as n sees them, "name" for those with a vote and "(name)" for others.
func votes(n *node.Node) (list []string) {
	for _, s := range n.Broker().Nodes() {
		switch {
		case s.Voter:
			list = append(list, s.DisplayName)
		case s.Member:
			list = append(list, "("+s.DisplayName+")")
		}
	}
	slices.Sort(list)
	return list
}

// TestClusterMembers makes a cluster of six, of which five vote, removes a dead one, whose place the sixth takes, and lets one
// leave.
func TestClusterMembers(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 2)
	admin := g.inProcess("node2")
	g.inProcess("node3")
	leaving := g.inProcess("node4")
	awaitVotes(t, admin, "[node0 node1 node2 node3 node4]")
	g.inProcess("node5")
	awaitVotes(t, admin, "[(node5) node0 node1 node2 node3 node4]")

	dead := g.nodes[1]
	dead.led("kept", nil)
	if err := admin.Broker().RemoveNode(t.Context(), dead.name, false); err == nil || !strings.Contains(err.Error(), "is running") {
		t.Errorf("removing a running node: %v", err)
	}
	dead.kill()
	eventually(t, patience, "the others see that the node is gone", func() bool {
		n, err := admin.Broker().FindNode(dead.name)
		return err == nil && !admin.Broker().Reachable(n.Name)
	})
	if err := admin.Broker().RemoveNode(t.Context(), dead.name, false); err == nil {
		t.Error("a node with a queue was removed without force")
	}
	if err := admin.Broker().RemoveNode(t.Context(), dead.name, true); err != nil {
		t.Fatalf("removing a dead node: %v", err)
	}
	awaitVotes(t, admin, "[node0 node2 node3 node4 node5]")
	ch := g.nodes[0].channel()
	_, err := ch.QueueDeclarePassive("kept", true, false, false, false, nil)
	wantRefusal(t, "a queue of the removed node", err, 404, "no queue 'kept'")

	// The removed one learns of it when it comes back.
	offset := dead.logSize()
	dead.launch()
	if code := dead.wait(patience); code != 1 || !strings.Contains(dead.log(offset), "this node was removed from its cluster") {
		t.Errorf("the removed node came back: code %d\n%s", code, dead.log(offset))
	}

	if err := leaving.Broker().Leave(t.Context(), false); err != nil {
		t.Fatalf("leave: %v", err)
	}
	awaitVotes(t, admin, "[node0 node2 node3 node5]")
}

func awaitVotes(t *testing.T, n *node.Node, want string) {
	t.Helper()
	begin, got := time.Now(), ""
	for got != want {
		if time.Since(begin) > patience {
			t.Fatalf("members of the metadata group: %s, want %s", got, want)
		}
		time.Sleep(20 * time.Millisecond)
		got = fmt.Sprint(votes(n))
	}
}

// TestClusterTLS forms a cluster with certificates in place of a secret, and refuses a node whose certificate another authority has
// signed, and one without.
func TestClusterTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := newAuthority(t, dir, "good"), newAuthority(t, dir, "bad")
	g := newGroup(t, 3)
	for _, m := range g.nodes {
		m.set("cluster.secret", "")
		good.equip(m)
	}
	for _, m := range g.nodes {
		m.launch()
	}
	for _, m := range g.nodes {
		m.awaitUp()
	}
	g.awaitLinks()
	g.nodes[0].led("tls", nil)
	if nacked := g.nodes[1].publishAll("tls", 10); nacked != 0 {
		t.Errorf("%d messages of 10 were refused", nacked)
	}
	if got := g.nodes[2].takeAll("tls"); len(got) != 10 {
		t.Errorf("messages by way of a TLS link: %q", got)
	}
	for _, c := range []struct {
		name  string
		equip func(*member)
		text  string
	}{
		{"another authority", func(m *member) { m.set("cluster.secret", ""); bad.equip(m) }, "cluster TLS"},
		{"no certificate", func(*member) {}, "cluster TLS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := g.add()
			g.nodes = g.nodes[:3]
			m.t = t
			m.set("node.name", "stranger")
			m.set("cluster.join", g.nodes[0].address)
			c.equip(m)
			m.launch()
			if code := m.wait(patience); code != 1 || !strings.Contains(m.log(0), c.text) {
				t.Errorf("code %d, log without %q:\n%s", code, c.text, m.log(0))
			}
		})
	}
}
