package meta

// DeclareExchange creates an exchange unless there is one of this name; then the result is that one and nothing changes, and
// the caller compares. Errors: ErrNoVHost, ErrOwnerEnded.
type DeclareExchange struct{ Exchange Exchange }

// DeleteExchange deletes an exchange with its bindings. Errors: ErrNoExchange; with IfUnused ErrExchangeInUse when it is the
// source of a binding.
type DeleteExchange struct {
	VHost, Name string
	IfUnused    bool
}

// DeclareQueue creates a queue unless there is one of this name; then the result is that one and nothing changes, and the
// caller compares. Queue.ID is ignored: a new queue gets an id that no queue ever had. Errors: ErrNoVHost, ErrOwnerEnded.
type DeclareQueue struct{ Queue Queue }

// DeleteQueue deletes the queue of this name if it still has this id, with its bindings, so that a late delete does not hit
// a queue that was declared anew. Errors: ErrNoQueue.
type DeleteQueue struct {
	VHost, Name string
	ID          uint64
}

// Bind creates a binding; one that exists is no error. Errors: ErrNoVHost, ErrNoExchange, ErrNoQueue in a *NameError that
// says which end is missing, the source first.
type Bind struct{ Binding Binding }

// Unbind deletes a binding; one that does not exist is no error. An auto-delete exchange that loses the last binding of which it
// is the source goes with it, and so on.
type Unbind struct{ Binding Binding }

// needRunning refuses an owner that is not the current run of its node: what it declared would never be dropped.
func needRunning(t *txn, o Owner) error {
	if o == (Owner{}) {
		return nil
	}
	if run, ok := find(t.nodes, o.Node); !ok || o.Incarnation == 0 || run.Incarnation != o.Incarnation || run.Ended {
		return &NameError{Err: ErrOwnerEnded, Name: o.Node}
	}
	return nil
}

func needExchange(t *txn, vhost, name string) error {
	if _, ok := find(t.exchanges, vhost, name); !ok {
		return &NameError{Err: ErrNoExchange, VHost: vhost, Name: name}
	}
	return nil
}

func (c DeclareExchange) apply(t *txn) (Result, error) {
	x := &c.Exchange
	if err := needName("exchange", x.Name); err != nil {
		return Result{}, err
	}
	if err := needVHost(t, x.VHost); err != nil {
		return Result{}, err
	}
	if old, ok := find(t.exchanges, x.VHost, x.Name); ok {
		return Result{Exchange: old}, nil
	}
	if err := needRunning(t, x.Owner); err != nil {
		return Result{}, err
	}
	t.putExchange(x)
	if q := x.store(); q != nil {
		t.lastQueue++
		q.ID = t.lastQueue
		t.putQueue(q)
	}
	return Result{Created: true, Exchange: x}, nil
}

func (c DeleteExchange) apply(t *txn) (Result, error) {
	x, ok := find(t.exchanges, c.VHost, c.Name)
	if !ok {
		return Result{}, &NameError{Err: ErrNoExchange, VHost: c.VHost, Name: c.Name}
	}
	if c.IfUnused && anyUnder(t.bindings, key(c.VHost, c.Name)) {
		return Result{}, &NameError{Err: ErrExchangeInUse, VHost: c.VHost, Name: c.Name}
	}
	t.drop(x)
	return Result{}, nil
}

func (c DeclareQueue) apply(t *txn) (Result, error) {
	q := &c.Queue
	if err := needName("queue", q.Name); err != nil {
		return Result{}, err
	}
	if err := needVHost(t, q.VHost); err != nil {
		return Result{}, err
	}
	if old, ok := find(t.queues, q.VHost, q.Name); ok {
		return Result{Queue: old}, nil
	}
	if err := needRunning(t, q.Owner); err != nil {
		return Result{}, err
	}
	t.lastQueue++
	q.ID = t.lastQueue
	t.putQueue(q)
	return Result{Created: true, Queue: q}, nil
}

func (c DeleteQueue) apply(t *txn) (Result, error) {
	q, ok := find(t.queues, c.VHost, c.Name)
	if !ok || q.ID != c.ID {
		return Result{}, &NameError{Err: ErrNoQueue, VHost: c.VHost, Name: c.Name}
	}
	t.drop(q)
	return Result{}, nil
}

func (c Bind) apply(t *txn) (Result, error) {
	b := &c.Binding
	if err := needVHost(t, b.VHost); err != nil {
		return Result{}, err
	}
	if err := needExchange(t, b.VHost, b.Source); err != nil {
		return Result{}, err
	}
	if b.DestinationKind == ToExchange {
		if err := needExchange(t, b.VHost, b.Destination); err != nil {
			return Result{}, err
		}
	} else if q, ok := find(t.queues, b.VHost, b.Destination); !ok || q.Type == TypeStore {
		return Result{}, &NameError{Err: ErrNoQueue, VHost: b.VHost, Name: b.Destination}
	}
	return Result{Created: t.putBinding(b)}, nil
}

func (c Unbind) apply(t *txn) (Result, error) {
	b := &c.Binding
	if !t.takeBinding(b) {
		return Result{}, nil
	}
	if x := t.unbound(b.VHost, b.Source); x != nil {
		t.drop(x)
	}
	return Result{}, nil
}
