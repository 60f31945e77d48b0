package cluster

import (
	"testing"
	"time"
)

// TestPatienceEnds checks that nothing is held back for a member that is away once this node closes: Raft waits for it.
func TestPatienceEnds(t *testing.T) {
	b := &Broker{leaving: make(chan struct{}), membership: &membership{opened: make(chan struct{})}}
	n := newNodes(b)
	n.others["away"], n.others["here"] = &other{}, &other{up: true}
	n.awaitUp("here", nil)
	n.awaitUp("unknown", nil)
	over := make(chan struct{})
	go func() {
		n.awaitUp("away", nil)
		close(over)
	}()
	select {
	case <-over:
		t.Fatal("what is for a member that is away is not held back")
	case <-time.After(20 * time.Millisecond):
	}
	close(b.leaving)
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Fatal("held back although the node closes")
	}
}
