package cluster

import (
	"iter"

	"github.com/brokerd/brokerd/amqp/dedup"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
)

// policies are the compiled policies of each vhost that has some. They change with the state, under Broker.mu.
type policies map[string]*policy.Set

// compilePolicies compiles the policies of one vhost.
func (b *Broker) compilePolicies(s *meta.State, vhost string) {
	if b.policies == nil {
		b.policies = make(policies)
	}
	set := policy.Compile(s.PoliciesIn(vhost))
	for _, err := range set.Problems() {
		b.log.Warn("part of a policy has no effect", "vhost", vhost, "error", err)
	}
	b.policies[vhost] = set
}

// compileAllPolicies compiles what a state has.
func (b *Broker) compileAllPolicies(s *meta.State) {
	b.policies = make(policies)
	for v := range vhostsWithPolicies(s) {
		b.compilePolicies(s, v)
	}
}

func vhostsWithPolicies(s *meta.State) iter.Seq[string] {
	return func(yield func(string) bool) {
		last, first := "", true
		for p := range s.Policies() {
			if first || p.VHost != last {
				first, last = false, p.VHost
				if !yield(last) {
					return
				}
			}
		}
	}
}

// settingsOf returns what the arguments and policies make of a queue, and the names of the policy and the operator policy.
func (b *Broker) settingsOf(q *meta.Queue) (*policy.Settings, *[2]string) {
	if q.Type == meta.TypeStore { // no policy is meant for it
		set, _ := policy.QueueSettings(nil, policy.Effective{})
		return &set, nil
	}
	args, err := wire.ParseTable(q.Arguments)
	if err != nil {
		b.log.Error("arguments of a queue cannot be read", "vhost", q.VHost, "queue", q.Name, "error", err)
	}
	effective := b.policies[q.VHost].ForQueue(q.Name, q.Type)
	for _, s := range effective.Skipped {
		b.log.Debug("a policy key has no effect on a queue", "vhost", q.VHost, "queue", q.Name, "policy", s.Policy, "key", s.Key,
			"reason", s.Why)
	}
	set, _ := policy.QueueSettings(args, effective)
	if effective.Policy == "" && effective.OperatorPolicy == "" {
		return &set, nil // as most queues, which then need no memory for it
	}
	return &set, &[2]string{effective.Policy, effective.OperatorPolicy}
}

// engineSettings translates settings for the engine.
func engineSettings(s *policy.Settings) queue.Settings {
	return queue.Settings{
		MessageTTL:    s.MessageTTL,
		Expires:       s.Expires,
		MaxLength:     s.MaxLength,
		MaxBytes:      s.MaxLengthBytes,
		Overflow:      overflows[s.Overflow],
		DeadLetters:   s.DeadLetterExchange != nil,
		DeliveryLimit: s.DeliveryLimit,
	}
}

// deduplication translates the settings of a queue or an exchange; nil if it takes all messages.
func deduplication(d policy.Deduplication) *dedup.Options {
	if !d.Enabled {
		return nil
	}
	return &dedup.Options{Size: int(min(max(d.CacheSize, 0), dedup.MaxSize)), TTL: max(d.CacheTTL, 0), Header: d.Header}
}

var overflows = map[policy.Overflow]queue.Overflow{
	policy.DropHead:         queue.DropHead,
	policy.RejectPublish:    queue.RejectPublish,
	policy.RejectPublishDLX: queue.RejectPublishDLX,
}

// reconfigure gives the queues of a vhost the settings that its policies say now.
func (b *Broker) reconfigure(vhost string) {
	for _, e := range b.engines.all() {
		if e.def.VHost != vhost {
			continue
		}
		set, names := b.settingsOf(e.def)
		e.policies.Store(names)
		if !set.Equal(*e.settings.Load()) {
			e.settings.Store(set)
			e.queue.Configure(engineSettings(set))
		}
	}
}

// ConsumerTimeout returns for how many milliseconds the consumers of a queue may keep deliveries without acknowledging them, 0 for
// ever, as the queue's argument and the policies say now; ok is false if they do not. It never waits.
func (a *Access) ConsumerTimeout(queueID uint64) (ms int64, ok bool) {
	b := a.broker
	if e := b.engines.get(queueID); e != nil {
		ms = e.settings.Load().ConsumerTimeout
		return ms, ms >= 0
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	q := b.current.Load().QueueByID(queueID)
	if q == nil {
		return 0, false
	}
	set, _ := b.settingsOf(q)
	ms = set.ConsumerTimeout
	return ms, ms >= 0
}

// expired deletes a queue that was unused for too long. It is called by the queue's runner and does not wait.
func (b *Broker) expired(e *engine) {
	b.spawn(func() {
		if _, err := b.deleteQueue("", e.def, e.queue, true, false); err != nil {
			b.log.Debug("expired queue not deleted", "vhost", e.def.VHost, "queue", e.def.Name, "error", err)
			e.queue.Touch()
		}
	})
}
