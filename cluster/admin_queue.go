package cluster

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
)

// Act returns what user may do in a vhost without a connection, for one administrative operation that ctx bounds; nil stands for the
// administrator, who may do everything. It is not counted and need not be closed. Errors: *meta.NameError for a vhost that does not
// exist, 403 for a user without permissions in it.
func (b *Broker) Act(ctx context.Context, user *User, vhost string) (*Access, error) {
	a, err := b.administrator(ctx, vhost)
	if err != nil || user == nil {
		return a, err
	}
	if b.State().Permission(user.Name, vhost) == nil {
		return nil, errAccessRefused(fmt.Sprintf("access to vhost '%s' refused for user '%s'", vhost, user.Name))
	}
	a.administrator = false
	a.user = *user
	return a, nil
}

// Inspect finds a queue that a's user may read. engine is nil if another node leads it. Errors: 403, 404, 405.
func (a *Access) Inspect(name string) (q *meta.Queue, engine *queue.Queue, err error) {
	r := resource{kindQueue, cleanName(name), a.vhost}
	if err := a.check(opRead, r); err != nil {
		return nil, nil, err
	}
	if q, _, err = a.reach(r); err != nil {
		return nil, nil, err
	}
	if e := a.broker.engines.get(q.ID); e != nil {
		engine = e.queue
	}
	return q, engine, nil
}

// QueueFigures are the figures of a queue that this node leads.
type QueueFigures struct {
	queue.Status
	UnusedSince int64 // Unix milliseconds, see queue.UnusedSince
	// Policy and OperatorPolicy name those in force, empty for none.
	Policy, OperatorPolicy string
}

// QueueFigures returns the figures of a queue; ok is false if another node leads it. It waits for nothing and takes no lock that the
// message path takes.
func (b *Broker) QueueFigures(id uint64) (f QueueFigures, ok bool) {
	e := b.engines.get(id)
	if e == nil {
		return f, false
	}
	f = QueueFigures{Status: e.queue.Counters(), UnusedSince: e.queue.UnusedSince()}
	if p := e.policies.Load(); p != nil {
		f.Policy, f.OperatorPolicy = p[0], p[1]
	}
	return f, true
}

// Setting is one value in force on a queue or exchange, or one that another one wins over.
type Setting struct {
	Key    string // of the policy, or the argument for what only arguments set
	Value  any    // string, int64, float64 or bool; for anything else the name of its type
	Origin policy.Origin
	// Ignored says why it has no effect, empty if it has.
	Ignored string
}

// EffectiveSettings returns what arguments and policies make of a queue or exchange of the state, by key, and the names of the
// policies. One of q and x is nil.
func (b *Broker) EffectiveSettings(q *meta.Queue, x *meta.Exchange) (list []Setting, effective policy.Effective) {
	s := b.State()
	var args wire.Table
	var origins policy.Origins
	if q != nil {
		args, _ = wire.ParseTable(q.Arguments) // those in the state were parsed before
		effective = policy.Compile(s.PoliciesIn(q.VHost)).ForQueue(q.Name, q.Type)
		_, origins = policy.QueueSettings(args, effective)
	} else {
		args, _ = wire.ParseTable(x.Arguments)
		effective = policy.Compile(s.PoliciesIn(x.VHost)).ForExchange(x.Name, x.Type)
		_, origins = policy.ExchangeSettings(args, effective)
	}
	inert := inertArguments(args)
	shown := make(map[string]bool, len(args))
	for _, f := range args {
		key := policy.KeyOfArgument(f.Name)
		o, used := origins[key]
		set := Setting{Key: key, Value: plainValue(f.Value), Origin: policy.Origin{Source: policy.Argument}}
		switch {
		case used && o.Source != policy.Argument:
			set.Ignored = "overruled by " + o.String()
		case slices.Contains(inert, f.Name):
			set.Ignored = "has no meaning here"
		}
		shown[key] = set.Ignored == ""
		list = append(list, set)
	}
	for _, v := range effective.Values {
		set := Setting{Key: v.Key, Value: v.Number, Origin: v.Origin}
		if v.IsText {
			set.Value = v.Text
		}
		if o, used := origins[v.Key]; shown[v.Key] && used && o.Source == policy.Argument {
			set.Ignored = "overruled by the argument"
		}
		list = append(list, set)
	}
	for _, k := range effective.Skipped {
		source := policy.Policy
		if k.Operator {
			source = policy.OperatorPolicy
		}
		list = append(list, Setting{Key: k.Key, Origin: policy.Origin{Source: source, Policy: k.Policy}, Ignored: k.Why})
	}
	slices.SortStableFunc(list, func(a, b Setting) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(len(a.Ignored), len(b.Ignored)))
	})
	return list, effective
}

// plainValue returns the value of an argument as JSON has it.
func plainValue(v wire.Value) any {
	switch {
	case v.IsInteger():
		return v.Int
	case v.Kind == wire.KindBool:
		return v.Int != 0
	case v.Kind == wire.KindString:
		return v.Str
	case v.Kind == wire.KindDouble, v.Kind == wire.KindFloat:
		return v.Float
	}
	return v.Kind.String()
}
