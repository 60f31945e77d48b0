package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// DeclareQueue is queue.declare (SEMANTICS 5.1 to 5.13). A declare of what exists changes nothing and asks only the queue
// for its counts.
func (a *Access) DeclareQueue(s QueueSpec) (QueueInfo, error) {
	s.Name = cleanName(s.Name)
	if s.Passive {
		return a.passiveQueue(resource{kindQueue, s.Name, a.vhost})
	}
	generated := s.Name == ""
	if generated {
		if err := nameQueue(&s, a.vhost); err != nil {
			return QueueInfo{}, err
		}
	}
	r := resource{kindQueue, s.Name, a.vhost}
	if err := a.check(opConfigure, r); err != nil {
		return QueueInfo{}, err
	}
	for attempt := 1; ; attempt++ {
		q, h, err := a.ensureQueue(r, &s, generated)
		if err != nil {
			return QueueInfo{}, err
		}
		if err := checkQueueEquivalence(q, &s, a.conn); err != nil {
			return QueueInfo{}, err
		}
		h.Touch()
		status, err := h.Status()
		if errors.Is(err, queue.ErrGone) && attempt < maxDeclareAttempts {
			// Deleted since. The node that leads it may know that before this one does.
			if err := a.broker.catchUp(r); err != nil {
				return QueueInfo{}, err
			}
			continue
		}
		if err != nil {
			return QueueInfo{}, a.broker.queueError(err, r)
		}
		return QueueInfo{Name: r.name, Messages: status.Ready, Consumers: status.Consumers}, nil
	}
}

// maxDeclareAttempts bounds how often a declare begins again because somebody deleted the queue under it.
const maxDeclareAttempts = 10

// ensureQueue returns the queue of this name, whatever its properties, and makes it as s asks for if there is none.
func (a *Access) ensureQueue(r resource, s *QueueSpec, generated bool) (*meta.Queue, queue.Handle, error) {
	if q, h := a.broker.find(r); q != nil {
		a.broker.agreed()
		return q, h, nil
	}
	if reserved(r.name) && !generated {
		return nil, nil, errReserved(r)
	}
	if err := a.checkNewQueue(r, s); err != nil {
		return nil, nil, err
	}
	q, err := a.makeQueue(r, s)
	if err != nil {
		return nil, nil, err
	}
	return q, a.broker.engines.handle(q), nil
}

func (a *Access) passiveQueue(r resource) (QueueInfo, error) {
	if err := a.checkAny(r); err != nil {
		return QueueInfo{}, err
	}
	_, h, err := a.reach(r)
	if err != nil {
		return QueueInfo{}, err
	}
	h.Touch()
	status, err := h.Status()
	if err != nil {
		return QueueInfo{}, a.broker.queueError(err, r)
	}
	return QueueInfo{Name: r.name, Messages: status.Ready, Consumers: status.Consumers}, nil
}

// nameQueue gives s a name that was never used before (SEMANTICS 5.2).
func nameQueue(s *QueueSpec, vhost string) error {
	if v, ok := s.Arguments.Get(argQueueType); ok && (v.Str == typeQuorum || v.Str == typeStream) {
		return errPrecondition("Cannot declare a server-named queue for type %s", v.Str)
	}
	prefix := generatedPrefix
	if v, ok := s.Arguments.Get(argNamePrefix); ok && v.Kind == wire.KindString && v.Str != "" {
		if len(v.Str) > maxNamePrefix {
			return errPrecondition("Queue name prefix '%s' exceeds the %d-byte limit", v.Str, maxNamePrefix)
		}
		prefix = cleanName(v.Str)
		if reserved(prefix) && prefix != generatedPrefix {
			return errReserved(resource{kindQueue, prefix, vhost})
		}
		s.Arguments = slices.DeleteFunc(slices.Clone(s.Arguments), func(f wire.Field) bool { return f.Name == argNamePrefix })
	}
	s.Name = generateName(prefix)
	return nil
}

// checkNewQueue checks what is asked of a queue only when it is made.
func (a *Access) checkNewQueue(r resource, s *QueueSpec) error {
	if v, ok := s.Arguments.Get(argDeadLetter); ok {
		if v.Kind != wire.KindString {
			return errInvalidType(v.Kind.String(), argDeadLetter, r)
		}
		if err := a.check(opRead, r); err != nil {
			return err
		}
		if err := a.check(opWrite, resource{kindExchange, v.Str, a.vhost}); err != nil {
			return err
		}
	}
	if err := checkQueueArguments(r, s.Arguments); err != nil {
		return err
	}
	return checkQueueType(r, s)
}

// makeQueue declares a queue that was not there a moment ago and returns the one that is there now.
func (a *Access) makeQueue(r resource, s *QueueSpec) (*meta.Queue, error) {
	ctx, cancel := context.WithTimeout(a.broker.ctx, a.broker.opts.CommitTimeout)
	defer cancel()
	done, err := a.broker.usage.declareQueue(ctx, r)
	if err != nil {
		// The last one that the limit allows may be this very queue, which somebody else has just declared.
		if q := a.broker.State().Queue(r.vhost, r.name); q != nil {
			return q, nil
		}
		return nil, err
	}
	defer done()
	leader := a.broker.place(a.vhost, s.Name, s.Exclusive, s.Arguments)
	q := meta.Queue{
		VHost:      a.vhost,
		Name:       s.Name,
		Type:       typeClassic,
		Durable:    s.Durable && !s.Exclusive,
		AutoDelete: s.AutoDelete,
		Exclusive:  s.Exclusive,
		Arguments:  s.Arguments.Encode(),
		Leader:     leader.Node,
	}
	if !q.Durable {
		q.Owner = leader
	}
	propose := func() (meta.Result, error) { return a.propose(meta.DeclareQueue{Queue: q}) }
	if q.Exclusive {
		q.Connection = a.conn.id
		declare := propose
		propose = func() (meta.Result, error) { return a.declareOwned(declare) }
	}
	result, err := propose()
	if err != nil {
		return nil, clientError(err, r)
	}
	if result.Created {
		if keys := inertArguments(s.Arguments); len(keys) > 0 {
			a.broker.log.Warn("queue arguments without a meaning here are stored and ignored",
				"vhost", r.vhost, "queue", r.name, "arguments", keys)
		}
	}
	return result.Queue, nil
}

// DeleteQueue is queue.delete (SEMANTICS 5.14). It returns the number of ready messages that went with the queue; deleting
// what does not exist succeeds with 0.
func (a *Access) DeleteQueue(name string, ifUnused, ifEmpty bool) (messages int, err error) {
	r := resource{kindQueue, cleanName(name), a.vhost}
	if err := a.check(opConfigure, r); err != nil {
		return 0, err
	}
	q, h, err := a.broker.findQueue(r)
	if q == nil || err != nil {
		return 0, err
	}
	if err := a.checkExclusive(q); err != nil {
		return 0, err
	}
	messages, err = a.broker.deleteQueue(a.user.Name, q, h, ifUnused, ifEmpty)
	return messages, a.broker.queueError(err, r)
}

// deleteQueue deletes q, for the user actor (empty for the broker itself), if its queue engine h finds the conditions met. The
// engine holds the queue still from then until the cluster has agreed, so that nothing gets in that the conditions would have
// forbidden, and nothing is lost when the cluster does not agree. A crash in between leaves the queue as the metadata has it. Errors are those of queue.Handle and meta.
func (b *Broker) deleteQueue(actor string, q *meta.Queue, h queue.Handle, ifUnused, ifEmpty bool) (messages int, err error) {
	unlock := b.engines.lockDelete(q.ID)
	defer unlock()
	messages, err = h.PrepareDelete(ifUnused, ifEmpty)
	if errors.Is(err, queue.ErrGone) {
		return 0, b.awaitDeleted(q)
	}
	if err != nil {
		return 0, err
	}
	_, err = b.proposeAs(b.ctx, actor, meta.DeleteQueue{VHost: q.VHost, Name: q.Name, ID: q.ID})
	switch {
	case errors.Is(err, meta.ErrNoQueue): // it went with its owner, its vhost, or by another delete
		return messages, b.awaitDeleted(q)
	case err != nil:
		// If the change is committed after all, the apply hook drops the engine.
		h.Resume()
		return 0, err
	}
	return messages, nil
}

// awaitDeleted is for a delete that finds that another one was faster: it returns once all nodes know. If the queue is there still, the
// node that leads it is going down: that is queue.ErrUnavailable.
func (b *Broker) awaitDeleted(q *meta.Queue) error {
	if err := b.catchUp(resource{kindQueue, q.Name, q.VHost}); err != nil {
		return err
	}
	b.mu.RLock() // an engine goes a moment before the state says so
	defer b.mu.RUnlock()
	if b.State().QueueByID(q.ID) != nil {
		return queue.ErrUnavailable
	}
	return nil
}

// PurgeQueue is queue.purge (SEMANTICS 5.15). It returns the number of ready messages that it removed.
func (a *Access) PurgeQueue(name string) (messages int, err error) {
	r := resource{kindQueue, cleanName(name), a.vhost}
	if err := a.check(opRead, r); err != nil {
		return 0, err
	}
	_, h, err := a.reach(r)
	if err != nil {
		return 0, err
	}
	messages, err = h.Purge()
	return messages, a.broker.queueError(err, r)
}
