package meta

import "fmt"

// PutNode announces a node, or replaces what is known of it, except for Incarnation and Ended, which the runs decide. Errors:
// ErrNodeNameTaken when another node has the DisplayName.
//
// A node that joins is announced before it becomes a member, so that the leader knows what it can apply.
type PutNode struct{ Node Node }

// SetDraining says whether a node is being emptied. Errors: ErrNoNode.
type SetDraining struct {
	Node     string
	Draining bool
}

// RemoveNode forgets a node, and drops what any run of it owns and the transient queues that it leads. Errors: ErrNoNode;
// ErrNodeInUse with the number of durable queues and stores of exchanges that it leads, unless Force is set: then those are
// dropped too, a store with its exchange.
type RemoveNode struct {
	Node  string
	Force bool
}

// MoveQueue makes To the leader of the queue with this id, which may be the store of an exchange, if From is it still. A queue
// that goes with From's run without being a connection's goes with To's run then. Errors: ErrNoQueue, ErrQueueMoved, ErrNoNode,
// and ErrOwnerEnded when the queue would have to go with a run of To that is over.
//
// FromRun and ToRun are the incarnations of the nodes that prepared the move, 0 for any. If one of them has another by now the answer is
// ErrOwnerEnded: what was prepared is gone. So a command that was lost on its way does no harm after a restart.
type MoveQueue struct {
	ID             uint64
	From, To       string
	FromRun, ToRun uint64
}

// EnsureClusterID gives the cluster an id unless it has one.
type EnsureClusterID struct{ ID string }

// StartNode begins the next run of a node: the result is its incarnation, one more than the last. What earlier runs own is
// dropped, with all cascades.
type StartNode struct{ Node string }

// EndOwner drops what a connection owns: its exclusive queues. Connection 0 stands for the whole run: everything that it owns
// is dropped, and it can own nothing any more. Ending what has ended is no error.
type EndOwner struct {
	Owner      Owner
	Connection uint64
}

func needNode(t *txn, name string) (*Node, error) {
	n, ok := find(t.nodes, name)
	if !ok {
		return nil, &NameError{Err: ErrNoNode, Name: name}
	}
	return n, nil
}

func (c PutNode) apply(t *txn) (Result, error) {
	n := &c.Node
	if err := needName("node", n.Name); err != nil {
		return Result{}, err
	}
	if n.DisplayName != "" {
		for _, other := range under(t.nodes, nil) {
			if other.DisplayName == n.DisplayName && other.Name != n.Name {
				return Result{}, &NameError{Err: ErrNodeNameTaken, Name: n.DisplayName}
			}
		}
	}
	n.Incarnation, n.Ended = 0, false
	if old, ok := find(t.nodes, n.Name); ok {
		n.Incarnation, n.Ended = old.Incarnation, old.Ended
	}
	return Result{Created: put(t, t.nodes, key(n.Name), n)}, nil
}

func (c SetDraining) apply(t *txn) (Result, error) {
	old, err := needNode(t, c.Node)
	if err != nil || old.Draining == c.Draining {
		return Result{}, err
	}
	n := *old
	n.Draining = c.Draining
	put(t, t.nodes, key(n.Name), &n)
	return Result{}, nil
}

func (c RemoveNode) apply(t *txn) (Result, error) {
	if _, err := needNode(t, c.Node); err != nil {
		return Result{}, err
	}
	var led []Entity
	durable := 0
	for _, q := range under(t.queues, nil) {
		if q.Leader != c.Node {
			continue
		}
		if q.Durable && q.Owner.Node != c.Node {
			durable++
		}
		led = append(led, q)
		if name, ok := q.StoreOf(); ok {
			if x, ok := find(t.exchanges, q.VHost, name); ok {
				led = append(led, x)
			}
		}
	}
	if durable > 0 && !c.Force {
		return Result{}, &NameError{Err: ErrNodeInUse, Name: c.Node, Count: durable}
	}
	t.drop(under(t.owned, key(c.Node))...)
	t.drop(led...)
	remove(t, t.nodes, key(c.Node))
	return Result{}, nil
}

func (c MoveQueue) apply(t *txn) (Result, error) {
	old, ok := t.queuesByID.Get(idKey(nil, c.ID))
	if !ok {
		return Result{}, &NameError{Err: ErrNoQueue, Name: fmt.Sprintf("id %d", c.ID)}
	}
	if old.Leader != c.From {
		return Result{}, &NameError{Err: ErrQueueMoved, VHost: old.VHost, Name: old.Name}
	}
	to, err := needNode(t, c.To)
	if err != nil {
		return Result{}, err
	}
	if from, ok := find(t.nodes, c.From); c.FromRun != 0 && (!ok || from.Incarnation != c.FromRun) {
		return Result{}, &NameError{Err: ErrOwnerEnded, Name: c.From}
	}
	if c.ToRun != 0 && to.Incarnation != c.ToRun {
		return Result{}, &NameError{Err: ErrOwnerEnded, Name: c.To}
	}
	if c.From == c.To {
		return Result{Queue: old}, nil
	}
	q := *old
	q.Leader = c.To
	if q.Owner.Node == c.From && q.Connection == 0 {
		q.Owner = Owner{Node: to.Name, Incarnation: to.Incarnation}
		if err := needRunning(t, q.Owner); err != nil {
			return Result{}, err
		}
	}
	t.replaceQueue(old, &q)
	if name, ok := q.StoreOf(); ok {
		if x, ok := find(t.exchanges, q.VHost, name); ok {
			moved := *x
			moved.Leader, moved.Owner = q.Leader, q.Owner
			t.replaceExchange(x, &moved)
		}
	}
	return Result{Queue: &q}, nil
}

func (c EnsureClusterID) apply(t *txn) (Result, error) {
	if err := needName("cluster", c.ID); err != nil {
		return Result{}, err
	}
	if t.clusterID != "" {
		return Result{}, nil
	}
	t.clusterID = c.ID
	return Result{Created: true}, nil
}

func (c StartNode) apply(t *txn) (Result, error) {
	if err := needName("node", c.Node); err != nil {
		return Result{}, err
	}
	// All that is there belongs to an earlier run, for only the current one may own anything.
	t.drop(under(t.owned, key(c.Node))...)
	n := Node{Name: c.Node}
	if last, ok := find(t.nodes, c.Node); ok {
		n = *last
	}
	n.Incarnation, n.Ended = n.Incarnation+1, false
	put(t, t.nodes, key(c.Node), &n)
	return Result{Incarnation: n.Incarnation}, nil
}

func (c EndOwner) apply(t *txn) (Result, error) {
	if c.Connection != 0 {
		k := append(ownerKey(c.Owner), 'q')
		t.drop(under(t.owned, idKey(k, c.Connection))...)
		return Result{}, nil
	}
	t.drop(under(t.owned, ownerKey(c.Owner))...)
	if last, ok := find(t.nodes, c.Owner.Node); ok && last.Incarnation == c.Owner.Incarnation && !last.Ended {
		n := *last
		n.Ended = true
		put(t, t.nodes, key(n.Name), &n)
	}
	return Result{}, nil
}
