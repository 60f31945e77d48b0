package definitions

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// ApplyOptions say how to carry a plan out.
type ApplyOptions struct {
	// Prune carries the deletions out, too. Queues are deleted with their messages.
	Prune bool
	// DryRun checks everything and changes nothing.
	DryRun bool
	// Actor is the user in whose name the changes are made. He is never deleted.
	Actor string
	// Progress is told how many steps of how many are done, from several goroutines, one at a time. May be nil.
	Progress func(done, total int)
}

// Report says what became of a plan.
type Report struct {
	// Counts are the steps that were done; with DryRun, those that would be. Deletions that were not asked for do not count.
	Counts Counts `json:"counts"`
	// Conflicts are the queues and exchanges that differ from their definitions and were left as they are.
	Conflicts []Step        `json:"conflicts,omitempty"`
	DryRun    bool          `json:"dry_run,omitempty"`
	Took      time.Duration `json:"-"`
}

// inFlight is how many changes are under way at a time. All that wait share the next entry of the Raft log, so this is nearly the
// number of changes per sync.
const inFlight = 512

// phases are the kinds that do not depend on each other; each phase needs those before it.
var phases = [][]Kind{
	{VHosts},
	{Users},
	{Permissions, TopicPermissions},
	{Parameters, GlobalParameters, Policies},
	{Exchanges, Queues},
	{Bindings},
}

// Apply carries a plan out: what is new or different in the order of dependence, then, with Prune, what is to go in the reverse
// order. Before the first change it checks that no deletion takes away what the definitions need, a protected vhost, the actor, or
// the last administrator; then the error is an [Errors]. An error in between leaves what was done, which the report counts;
// applying again does the rest. The report is never nil.
func Apply(ctx context.Context, b *cluster.Broker, plan Plan, o ApplyOptions) (*Report, error) {
	start := time.Now()
	a := &application{b: b, o: o, report: &Report{DryRun: o.DryRun}}
	if o.Actor != "" {
		ctx = cluster.WithActor(ctx, o.Actor)
	}
	if err := a.check(plan); err != nil {
		return a.report, err
	}
	for i := range plan {
		if a.wanted(plan[i].Action) {
			a.total++
		}
	}
	err := a.run(ctx, plan)
	a.report.Took = time.Since(start)
	return a.report, err
}

// application is one run of Apply.
type application struct {
	b     *cluster.Broker
	o     ApplyOptions
	total int

	mu     sync.Mutex // guards what follows
	done   int
	report *Report
}

func (a *application) wanted(action Action) bool { return action != Delete || a.o.Prune }

func (a *application) run(ctx context.Context, plan Plan) error {
	for _, kinds := range phases {
		if err := a.phase(ctx, plan, kinds, false); err != nil {
			return err
		}
	}
	if !a.o.Prune {
		return nil
	}
	for _, kinds := range slices.Backward(phases) {
		if err := a.phase(ctx, plan, kinds, true); err != nil {
			return err
		}
	}
	return nil
}

// phase carries the steps of some kinds out, all at once.
func (a *application) phase(ctx context.Context, plan Plan, kinds []Kind, deletions bool) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(inFlight)
	for i := range plan {
		step := &plan[i]
		if !slices.Contains(kinds, step.Kind) || (step.Action == Delete) != deletions {
			continue
		}
		if a.o.DryRun || step.Action == Unchanged || step.Action == Conflict {
			a.finish(step, step.Action)
			continue
		}
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return a.step(running, step) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("%w (%s before that; what was done stays, and applying again does the rest)", err, a.summary())
	}
	return context.Cause(ctx)
}

func (a *application) summary() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := &a.report.Counts
	return fmt.Sprintf("%d created, %d updated, %d deleted", c.Create, c.Update, c.Delete)
}

// finish counts a step.
func (a *application) finish(step *Step, as Action) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.report.Counts.of(as)++
	if as == Conflict {
		a.report.Conflicts = append(a.report.Conflicts, *step)
	}
	a.done++
	if a.o.Progress != nil {
		a.o.Progress(a.done, a.total)
	}
}

func (a *application) step(ctx context.Context, step *Step) error {
	var err error
	if step.Action == Delete {
		err = a.delete(ctx, step.item)
	} else {
		err = a.put(ctx, step)
	}
	as := step.Action
	var amqp *wire.Error
	if step.Action == Create && errors.As(err, &amqp) && (amqp.Code == wire.PreconditionFailed || amqp.Code == wire.ResourceLocked) {
		// Somebody else has declared it since, in another way.
		found := *step
		found.Changes = []FieldChange{{Field: amqp.Text}}
		a.finish(&found, Conflict)
		return nil
	}
	if err != nil {
		where := ""
		if p := step.Position().String(); p != "" {
			where = p + ": "
		}
		return fmt.Errorf("%s%s: %w", where, step, err)
	}
	a.finish(step, as)
	return nil
}

// put creates or changes what a step says.
func (a *application) put(ctx context.Context, step *Step) (err error) {
	switch i := step.item.(type) {
	case *vhost:
		_, err = a.b.PutVHost(ctx, i.VHost)
	case *user:
		err = a.putUser(ctx, step, i)
	case *permission:
		_, err = a.b.SetPermission(ctx, i.Permission)
	case *topicPermission:
		_, err = a.b.SetTopicPermission(ctx, i.TopicPermission)
	case *parameter:
		_, err = a.b.PutParameter(ctx, i.Parameter)
	case *policy:
		_, err = a.b.PutPolicy(ctx, i.Policy)
	case *exchange:
		_, err = a.b.DeclareExchange(ctx, i.VHost, *i.spec())
	case *queue:
		_, _, err = a.b.DeclareQueue(ctx, i.VHost, *i.spec())
	case *binding:
		_, err = a.b.Bind(ctx, i.Binding)
	}
	return err
}

// putUser leaves alone what does not change: a hash that is put again ends the log-ins that were remembered.
func (a *application) putUser(ctx context.Context, step *Step, u *user) error {
	changes := func(field string) bool {
		return step.Action == Create || slices.ContainsFunc(step.Changes, func(c FieldChange) bool { return c.Field == field })
	}
	if changes(secretField) {
		if _, err := a.b.PutUser(ctx, u.Name, u.secret(), u.Tags); err != nil {
			return err
		}
	} else if changes("tags") {
		if err := a.b.SetUserTags(ctx, u.Name, u.Tags); err != nil {
			return err
		}
	}
	if changes(limitsField) && (step.Action != Create || len(u.limits) > 0) {
		return a.b.SetUserLimits(ctx, u.Name, u.limits)
	}
	return nil
}

// delete deletes an item of the state. One that is gone already is no error.
func (a *application) delete(ctx context.Context, i item) (err error) {
	switch i := i.(type) {
	case *vhost:
		err = a.b.DeleteVHost(ctx, i.Name)
	case *user:
		err = a.b.DeleteUser(ctx, i.Name)
	case *permission:
		err = a.b.ClearPermission(ctx, i.User, i.VHost)
	case *topicPermission:
		err = a.b.ClearTopicPermission(ctx, i.User, i.VHost, i.Exchange)
	case *parameter:
		err = a.b.DeleteParameter(ctx, i.VHost, i.Component, i.Name)
	case *policy:
		err = a.b.DeletePolicy(ctx, i.VHost, i.Name, i.Operator)
	case *exchange:
		err = a.b.DeleteExchange(ctx, i.VHost, i.Name, false)
	case *queue:
		_, err = a.b.DeleteQueue(ctx, i.VHost, i.Name, false, false)
	case *binding:
		_, err = a.b.Unbind(ctx, i.Binding)
	}
	for _, gone := range []error{meta.ErrNoVHost, meta.ErrNoUser, meta.ErrNoPolicy, meta.ErrNoParameter, meta.ErrNoExchange, meta.ErrNoQueue} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

const administrator = "administrator"

// check refuses plans that would leave the cluster without what it needs.
func (a *application) check(plan Plan) error {
	var wrong problems
	administrators := make(map[string]bool)
	for u := range a.b.State().Users() {
		if slices.Contains(u.Tags, administrator) {
			administrators[u.Name] = true
		}
	}
	had := len(administrators) > 0
	for i := range plan {
		step := &plan[i]
		if !a.wanted(step.Action) {
			continue
		}
		if u, ok := step.item.(*user); ok {
			if step.Action != Delete && slices.Contains(u.Tags, administrator) {
				administrators[u.Name] = true
			} else {
				delete(administrators, u.Name)
			}
		}
		if step.Action == Delete {
			a.checkDeletion(step, &wrong)
		}
	}
	if had && len(administrators) == 0 {
		wrong.add(&Problem{Field: string(Users), Text: "no user with the tag " + administrator + " would be left; add one to the file"})
	}
	return wrong.err()
}

func (a *application) checkDeletion(step *Step, wrong *problems) {
	p := &Problem{Field: string(step.Kind), Value: quote(step.Name)}
	switch i := step.item.(type) {
	case *vhost:
		if v := a.b.State().VHost(i.Name); v != nil && v.Protected {
			p.Text = "the vhost is protected from deletion; add it to the file, or take the protection away first"
		}
	case *user:
		if i.Name == a.o.Actor {
			p.Text = "would delete the user who makes the change; add it to the file, or let somebody else apply it"
		}
	}
	if n := step.neededBy; n != nil {
		p.Position = n.where().position()
		p.Text = fmt.Sprintf("would be deleted, but %s needs it; add it to %s", n.path(), step.Kind)
	}
	if p.Text != "" {
		wrong.add(p)
	}
}
