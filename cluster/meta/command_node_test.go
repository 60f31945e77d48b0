package meta

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	n := Node{Name: "n2", DisplayName: "two", Address: "h:1", AMQP: []string{"h:2", "h:3"}, Admin: "a", HTTP: "b", Release: "1.0", Protocol: 3, CommandVersion: 2}
	put := n
	put.Incarnation, put.Ended = 7, true // not for PutNode to say
	if r := m.ok(PutNode{put}); !r.Created {
		t.Error("not created")
	}
	check := func(want Node) {
		t.Helper()
		if got := m.state().Node("n2"); got == nil || line(*got) != line(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	check(n)
	if _, err := m.do(DeclareQueue{Queue{VHost: "/", Name: "e", Owner: Owner{"n2", 0}}}); !errors.Is(err, ErrOwnerEnded) {
		t.Errorf("declare for a node that never started: %v", err)
	}
	m.ok(StartNode{"n2"}, SetDraining{"n2", true}, EndOwner{Owner: Owner{"n2", 1}})
	n.Incarnation, n.Ended, n.Draining = 1, true, true
	check(n)
	if r := m.ok(PutNode{put}); r.Created {
		t.Error("created again")
	}
	n.Draining = false
	check(n)
	for _, tc := range []struct {
		command Command
		want    error
		text    string
	}{
		{PutNode{Node{Name: "n3", DisplayName: "two"}}, ErrNodeNameTaken, `another node has this name: "two"`},
		{SetDraining{"n9", true}, ErrNoNode, `no such node: "n9"`},
		{RemoveNode{Node: "n9"}, ErrNoNode, `no such node: "n9"`},
	} {
		if _, err := m.do(tc.command); !errors.Is(err, tc.want) || err.Error() != tc.text {
			t.Errorf("%+v: %v", tc.command, err)
		}
	}
	restored, err := readSnapshot(bytes.NewReader(m.snapshot()), CommandVersion)
	if err != nil {
		t.Fatal(err)
	}
	if listState(restored) != listState(m.state()) {
		t.Errorf("restored:\n%s", listState(restored))
	}
}

func TestRemoveNode(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	led := func(name, node string, durable bool) Command {
		return DeclareQueue{Queue{VHost: "/", Name: name, Durable: durable, Leader: node}}
	}
	m.ok(PutNode{Node{Name: "n2"}}, StartNode{"n2"}, led("here", "n1", true), led("transient", "n2", false),
		DeclareQueue{Queue{VHost: "/", Name: "owned", Leader: "n2", Owner: Owner{"n2", 1}}})
	if n := m.state().QueuesLedBy("n2"); n != 2 {
		t.Errorf("n2 leads %d queues, want 2", n)
	}
	m.ok(led("a", "n2", true), led("b", "n2", true),
		DeclareExchange{Exchange{VHost: "/", Name: "x", Durable: true, Leader: "n2"}}, Bind{toQueue("x", "here", "")})
	_, err := m.do(RemoveNode{Node: "n2"})
	var named *NameError
	if !errors.Is(err, ErrNodeInUse) || !errors.As(err, &named) || named.Count != 3 || err.Error() != `node leads durable queues: "n2" leads 3` {
		t.Errorf("got %v", err)
	}
	if m.state().Queue("/", "owned") == nil {
		t.Error("a refused command dropped something")
	}
	m.ok(RemoveNode{Node: "n2", Force: true})
	s := m.state()
	if s.NumQueues() != 1 || s.Exchange("/", "x") != nil || s.Node("n2") != nil || s.QueuesLedBy("n2") != 0 || s.QueuesLedBy("n1") != 1 ||
		s.NumBindings() != 0 || len(slices.Collect(s.OwnedBy("n2"))) != 0 {
		t.Errorf("left: %s", listState(s))
	}
	m.ok(RemoveNode{Node: "n1", Force: true})
}

func TestMoveQueue(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok(StartNode{"n2"}, StartNode{"n2"}, queue("durable"),
		DeclareQueue{Queue{VHost: "/", Name: "transient", Leader: "n1", Owner: Owner{"n1", 1}}},
		DeclareQueue{Queue{VHost: "/", Name: "exclusive", Leader: "n1", Owner: Owner{"n1", 1}, Connection: 5}},
		DeclareExchange{Exchange{VHost: "/", Name: "x", Leader: "n1", Owner: Owner{"n1", 1}}})
	id := func(name string) uint64 {
		for q := range m.state().AllQueues() {
			if q.Name == name {
				return q.ID
			}
		}
		t.Fatalf("no queue %s", name)
		return 0
	}
	for name, owner := range map[string]Owner{
		"durable": {}, "transient": {"n2", 2}, "exclusive": {"n1", 1}, storePrefix + "x": {"n2", 2},
	} {
		r := m.ok(MoveQueue{ID: id(name), From: "n1", To: "n2"})
		if r.Queue == nil || r.Queue != m.state().QueueByID(id(name)) || r.Queue.Leader != "n2" || r.Queue.Owner != owner {
			t.Errorf("%s: %+v", name, r.Queue)
		}
		if _, err := m.do(MoveQueue{ID: id(name), From: "n1", To: "n2"}); !errors.Is(err, ErrQueueMoved) {
			t.Errorf("%s again: %v", name, err)
		}
	}
	if x := m.state().Exchange("/", "x"); x.Leader != "n2" || x.Owner != (Owner{"n2", 2}) {
		t.Errorf("exchange %+v", x)
	}
	if m.state().QueuesLedBy("n1") != 0 || m.state().QueuesLedBy("n2") != 4 {
		t.Errorf("n1 leads %d, n2 %d", m.state().QueuesLedBy("n1"), m.state().QueuesLedBy("n2"))
	}
	if _, err := m.do(MoveQueue{ID: 99, From: "n1", To: "n2"}); !errors.Is(err, ErrNoQueue) {
		t.Errorf("no queue: %v", err)
	}
	if _, err := m.do(MoveQueue{ID: id("durable"), From: "n2", To: "n9"}); !errors.Is(err, ErrNoNode) {
		t.Errorf("no node: %v", err)
	}
	// A transient queue cannot go with a run that is over; a durable one waits for the next.
	m.ok(EndOwner{Owner: Owner{"n1", 1}})
	if _, err := m.do(MoveQueue{ID: id("transient"), From: "n2", To: "n1"}); !errors.Is(err, ErrOwnerEnded) {
		t.Errorf("ended: %v", err)
	}
	m.ok(MoveQueue{ID: id("durable"), From: "n2", To: "n1"}, EndOwner{Owner: Owner{"n2", 2}})
	if s := m.state(); s.NumQueues() != 1 || s.Exchange("/", "x") != nil {
		t.Errorf("left: %s", listState(s))
	}
}

func TestClusterID(t *testing.T) {
	t.Parallel()
	m := newMachine(t) // initialized by an old version
	if _, err := m.do(EnsureClusterID{}); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("empty: %v", err)
	}
	if r := m.ok(EnsureClusterID{"c1"}); !r.Created {
		t.Error("not created")
	}
	if r := m.ok(EnsureClusterID{"c2"}); r.Created || m.state().ClusterID() != "c1" {
		t.Errorf("cluster id %q", m.state().ClusterID())
	}
	fresh := &machine{t: t, fsm: newFSM(slog.New(slog.DiscardHandler), nil)}
	fresh.ok(Initialize{ClusterID: "c3", VHost: VHost{Name: "/"}, User: User{Name: "u"}})
	restored, err := readSnapshot(bytes.NewReader(fresh.snapshot()), CommandVersion)
	if err != nil || restored.ClusterID() != "c3" {
		t.Errorf("restored %+v, %v", restored, err)
	}
}

// TestOlderVersion has a member that knows version 1 only. It follows as long as nothing newer is in the log, and reads and
// writes what the first release did.
func TestOlderVersion(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.ok(queue("q"))
	old := newFSM(slog.New(slog.DiscardHandler), nil)
	old.version = 1
	if err := old.Restore(io.NopCloser(bytes.NewReader(m.snapshot()))); err != nil {
		t.Fatal(err)
	}
	if _, ok := old.Apply(logEntry(t, 9, queue("r"))).([]outcome); !ok {
		t.Error("did not follow")
	}
	entry := logEntry(t, 10, queue("s"), PutNode{Node{Name: "n1"}})
	if err, ok := old.Apply(entry).(error); !ok || !errors.Is(err, ErrIncompatible) || old.state.Load().Queue("/", "s") != nil {
		t.Errorf("entry of version 2: %v", err)
	}
	m.ok(PutNode{Node{Name: "n1"}})
	if err := newOld().Restore(io.NopCloser(bytes.NewReader(m.snapshot()))); !errors.Is(err, ErrIncompatible) {
		t.Errorf("snapshot of version 2: %v", err)
	}
	// As the first release wrote it.
	run, err := proto.Marshal(&metav1.Batch{Version: 1, Commands: []*metav1.Command{StartNode{"n1"}.encode()}})
	if err != nil {
		t.Fatal(err)
	}
	f := newFSM(slog.New(slog.DiscardHandler), nil)
	f.Apply(&raft.Log{Index: 1, Type: raft.LogCommand, Data: seal(run)})
	if n := f.state.Load().Node("n1"); n == nil || n.Incarnation != 1 || n.CommandVersion != 0 {
		t.Errorf("node %+v", n)
	}
}

func newOld() *fsm {
	f := newFSM(slog.New(slog.DiscardHandler), nil)
	f.version = 1
	return f
}

func TestErrorsCross(t *testing.T) {
	t.Parallel()
	for code, sentinel := range wireErrors {
		named := &NameError{Err: sentinel, VHost: "v\xff", Name: "n", Count: 3}
		var got *NameError
		if err := decodeError(encodeError(named)); !errors.As(err, &got) || *got != *named {
			t.Errorf("%v: got %v, want %v", code, err, named)
		}
		text := errors.Join(sentinel, io.EOF)
		if err := decodeError(encodeError(text)); !errors.Is(err, sentinel) || err.Error() != text.Error() {
			t.Errorf("%v: got %v", code, err)
		}
	}
	if decodeError(encodeError(nil)) != nil {
		t.Error("nil became an error")
	}
	if err := decodeError(encodeError(io.EOF)); err == nil || err.Error() != "error of the metadata leader: EOF" {
		t.Errorf("no sentinel: %v", err)
	}
}
