package meta

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func count(t testT, g *Group) (voters, spares int) {
	t.Helper()
	members, err := g.Members()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Voter {
			voters++
		} else {
			spares++
		}
	}
	return voters, spares
}

func (n *network) awaitMembers(voters, spares int) {
	n.t.Helper()
	eventually(n.t, fmt.Sprintf("%d voters and %d spares", voters, spares), func() bool {
		v, s := count(n.t, n.leader())
		return v == voters && s == spares
	})
}

func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 1)
	propose(t, net.group("n1"), queue("q"))
	if err := net.group("n1").Leave(context.Background(), "n1"); !errors.Is(err, ErrNoSuccessor) {
		t.Errorf("the only member leaves: %v", err)
	}
	for i, id := range ids(7)[1:] {
		net.start(id, nil)
		// By way of the member that joined before.
		if err := net.group(fmt.Sprint("n", i+1)).Join(context.Background(), id); err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		net.awaitMembers(min(i+2, MaxVoters), max(0, i+2-MaxVoters))
	}
	net.same()
	if err := net.group("n3").Join(context.Background(), "n2"); err != nil {
		t.Errorf("a member joins again: %v", err)
	}
	propose(t, net.group("n7"), queue("by a spare"))

	// A dead voter is removed, and a spare takes its place.
	dead := net.follower().opts.NodeID
	net.stop(dead)
	if err := net.group("n7").Leave(context.Background(), dead); err != nil {
		t.Fatal(err)
	}
	net.awaitMembers(5, 1)
	// The leader leaves by way of another one.
	lead := net.leader()
	if err := net.follower().Leave(context.Background(), lead.opts.NodeID); err != nil {
		t.Fatal(err)
	}
	net.stop(lead.opts.NodeID)
	net.awaitMembers(5, 0)
	members, err := net.leader().Members()
	if err != nil || slices.ContainsFunc(members, func(m Member) bool { return m.ID == dead || m.ID == lead.opts.NodeID }) {
		t.Errorf("members %+v, %v", members, err)
	}
	if i := slices.IndexFunc(members, func(m Member) bool { return m.Leader }); i < 0 || members[i].ID != net.leader().opts.NodeID {
		t.Errorf("the leader of %+v is %s", members, net.leader().opts.NodeID)
	}
	propose(t, net.follower(), queue("r"))
	net.same()
	for _, wrong := range []error{net.leader().Join(context.Background(), ""), net.follower().Leave(context.Background(), "")} {
		if !errors.Is(wrong, ErrInvalidArgument) {
			t.Errorf("member without an id: %v", wrong)
		}
	}
}

func TestTransferLeadership(t *testing.T) {
	t.Parallel()
	net := newCluster(t, 3)
	lead := net.leader()
	if err := net.follower().TransferLeadership(context.Background()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower hands over: %v", err)
	}
	// The one that cannot be reached is not asked to lead.
	away := net.follower().opts.NodeID
	net.stop(away)
	if err := lead.TransferLeadership(context.Background()); err != nil {
		t.Fatal(err)
	}
	next := net.leader()
	if next == lead {
		t.Error("nothing changed")
	}
	// A leader that is shut down hands over: nobody needs to notice first that it is gone.
	net.start(away, ids(3))
	if err := net.group(away).ReadIndex(context.Background()); err != nil {
		t.Fatal(err)
	}
	net.stop(next.opts.NodeID)
	if id := net.running()[0].Leader(); id == next.opts.NodeID {
		t.Errorf("%q is still known as the leader", id)
	}
	propose(t, net.follower(), queue("q"))
	net.stop(away)
	if last := net.running()[0]; last.IsLeader() {
		if err := last.TransferLeadership(timeout(t, 5*time.Second)); !errors.Is(err, ErrNoSuccessor) && !errors.Is(err, ErrNotLeader) {
			t.Errorf("nobody is left: %v", err)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	old := "n3"
	net.opts = func(o *Options) {
		if o.NodeID == old {
			o.Version = 1
		}
	}
	for _, id := range ids(2) {
		net.start(id, ids(2))
	}
	lead := net.leader()
	propose(t, lead, PutNode{Node{Name: "n3", DisplayName: "old", CommandVersion: 1}})
	// It is announced with its version before it joins, so nothing it does not know comes its way. But its snapshots and log hold
	// PutNode already, which stands for a cluster that has moved on.
	_, err := net.follower().Propose(context.Background(), SetDraining{"n3", true})
	if !errors.Is(err, ErrTooNew) || err.Error() != `command is too new: it needs version 2, and node "n3" has version 1: upgrade or remove that node first` {
		t.Errorf("got %v", err)
	}
	propose(t, lead, queue("q"))
	g := net.start(old, nil)
	if err := lead.Join(context.Background(), old); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the old member stops applying", func() bool { return g.fsm.failure() != nil })
	if err := g.ReadIndex(context.Background()); !errors.Is(err, ErrIncompatible) {
		t.Errorf("read on a member that stopped: %v", err)
	}
	if _, err := g.Propose(context.Background(), queue("r")); !errors.Is(err, ErrIncompatible) {
		t.Errorf("proposal on a member that stopped: %v", err)
	}
	if _, err := g.Propose(context.Background(), SetDraining{"n3", true}); !errors.Is(err, ErrTooNew) {
		t.Errorf("new command on an old member: %v", err)
	}
	if v, _ := count(t, lead); v != 2 {
		t.Errorf("a member that stopped got a vote: %d", v)
	}
	// The upgrade: the same data with the new program.
	net.stop(old)
	net.opts = nil
	g = net.start(old, nil)
	net.awaitMembers(3, 0)
	net.same()
	if g.State().Queue("/", "r") == nil {
		t.Error("the queue is missing after the upgrade")
	}
}

func TestOldLeaderRefusesNewCommands(t *testing.T) {
	t.Parallel()
	net := newNetwork(t, t.TempDir())
	t.Cleanup(net.close)
	net.opts = func(o *Options) {
		if o.NodeID == "n1" {
			o.Version = 1
		}
	}
	g := net.start("n1", ids(1))
	if id := g.State().ClusterID(); id != "" || g.State().version != 1 {
		t.Errorf("cluster id %q of a state of version %d", id, g.State().version)
	}
	n2 := net.start("n2", nil)
	if err := g.Join(context.Background(), "n2"); err != nil {
		t.Fatal(err)
	}
	net.awaitMembers(2, 0)
	if _, err := n2.Propose(context.Background(), SetDraining{"n2", true}); !errors.Is(err, ErrTooNew) {
		t.Errorf("got %v", err)
	}
	// As soon as a new one leads, the cluster gets its id; it is the last that the old one understands.
	if err := g.TransferLeadership(context.Background()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a cluster id", func() bool { return n2.State().ClusterID() != "" })
}
