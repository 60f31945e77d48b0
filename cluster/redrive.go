package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/routing"
)

// Redrive says which dead letters go back, and how.
type Redrive struct {
	// Count is the most messages to look at; 0 stands for those that are ready when it begins.
	Count int
	// Rate is the most messages to send per second; 0 stands for no limit.
	Rate float64
	// Exchange, if set, gets all messages, with the routing keys that they had at first, instead of the queues that they came from.
	Exchange *string
	// Wanted says which messages are meant; nil stands for all. r and p are good during the call only.
	Wanted func(r *block.Record, p *wire.Properties) bool
	// DryRun only counts.
	DryRun bool
	// Progress is told now and then how far it is; may be nil.
	Progress func(Redriven)
}

// Redriven says what a Redrive did.
type Redriven struct {
	Total   int    // messages to look at
	Sent    int    // back to where they came from; with DryRun, those that would be
	Skipped int    // not wanted, no dead letters, or without a queue to go to
	Reason  string // why the last one was skipped
}

// redriveWindow is how many messages are on their way at a time.
const redriveWindow = 256

// Redrive sends dead letters back: each goes to the queue that gave it up first, as it was before, without the headers that tell of
// its deaths. A message leaves the queue once it is safe there, so that a crash can double a message but lose none. What is skipped
// stays where it is, at its place. It returns what it did even with an error, which may also be that of ctx.
func (a *Access) Redrive(ctx context.Context, name string, o Redrive) (done Redriven, err error) {
	r := resource{kindQueue, cleanName(name), a.vhost}
	if err := a.check(opRead, r); err != nil {
		return done, err
	}
	to := resource{kindExchange, "", a.vhost}
	if o.Exchange != nil {
		to.name = cleanName(*o.Exchange)
		if err := a.FindExchange(to.name); err != nil {
			return done, err
		}
	}
	if err := a.check(opWrite, to); err != nil {
		return done, err
	}
	_, h, err := a.reach(r)
	if err != nil {
		return done, err
	}
	status, err := h.Status()
	if err != nil {
		return done, a.broker.queueError(err, r)
	}
	done.Total = status.Ready
	if o.Count > 0 {
		done.Total = min(done.Total, o.Count)
	}
	d := &redriver{access: a, from: h, options: &o, done: &done, begin: time.Now()}
	defer d.putBack()
	for seen := 0; seen < done.Total && err == nil; {
		var n int
		if n, err = d.round(ctx, min(redriveWindow, done.Total-seen)); n == 0 {
			break
		}
		seen += n
		if o.Progress != nil {
			o.Progress(done)
		}
	}
	return done, a.broker.queueError(err, r)
}

// redriver is one Redrive under way.
type redriver struct {
	access  *Access
	from    queue.Handle
	options *Redrive
	done    *Redriven
	begin   time.Time
	kept    []queue.Range // taken, and to be put back at the end
}

// transfer is a message on its way.
type transfer struct {
	offset uint64
	batch  *queue.Batch
	settle chan struct{} // closed when batch is done
}

// round takes up to n messages, sends those that are to go, and waits until they are safe. It returns how many it took.
func (d *redriver) round(ctx context.Context, n int) (taken int, err error) {
	var under []transfer
	for ; taken < n && err == nil; taken++ {
		if err = ctx.Err(); err != nil {
			break
		}
		piece, _, ok, getErr := d.from.Get(false)
		if getErr != nil || !ok {
			err = getErr
			break
		}
		targets, r, why := d.look(&piece)
		switch {
		case why != "":
			d.done.Skipped++
			d.done.Reason = why
			d.keep(piece.First)
		case d.options.DryRun:
			d.done.Sent++
			d.keep(piece.First)
		default:
			err = d.pace(ctx)
			if err != nil {
				d.keep(piece.First)
				break
			}
			under = append(under, transfer{offset: piece.First})
			under[len(under)-1].send(targets, r)
		}
	}
	return taken, errors.Join(err, d.finish(under))
}

// look says where a message goes, or why it stays.
func (d *redriver) look(piece *queue.Piece) (targets []*routing.Queue, r *block.Record, why string) {
	r = new(block.Record)
	if _, err := block.Parse(piece.Records, piece.Tail, r); err != nil {
		return nil, nil, err.Error()
	}
	p, err := wire.ParseProperties(r.Properties)
	if err != nil {
		return nil, nil, fmt.Sprintf("its properties cannot be read: %v", err)
	}
	if d.options.Wanted != nil && !d.options.Wanted(r, &p) {
		return nil, nil, "it does not pass the filter"
	}
	from, exchange, keys, ok := origin(p.Headers)
	if !ok {
		return nil, nil, "it is no dead letter: it has no header x-death"
	}
	vhost := d.access.Routes()
	if vhost == nil {
		return nil, nil, fmt.Sprintf("vhost '%s' is gone", d.access.vhost)
	}
	p.Headers = slices.DeleteFunc(slices.Clone(p.Headers), func(f wire.Field) bool { return slices.Contains(deathHeaders, f.Name) })
	if d.options.Exchange != nil {
		exchange = cleanName(*d.options.Exchange)
		var more [][]byte
		for _, k := range keys[1:] {
			more = append(more, []byte(k))
		}
		if x := vhost.Exchange(exchange); x != nil {
			targets = vhost.Route(nil, x, []byte(keys[0]), more, p.Headers.Encode())
		}
		if len(targets) == 0 {
			return nil, nil, fmt.Sprintf("exchange '%s' has no queue for it", exchange)
		}
	} else {
		q := vhost.Queue(from)
		if q == nil {
			return nil, nil, fmt.Sprintf("the queue '%s' that it comes from does not exist", from)
		}
		targets = []*routing.Queue{q}
	}
	r.Properties = p.Append(nil)
	r.Exchange, r.RoutingKey = []byte(exchange), []byte(keys[0])
	r.Arrived, r.Deadline, r.DeliveryCount = time.Now().UnixMilli(), 0, 0
	r.Flags &^= block.Redelivered
	return targets, r, ""
}

// deathHeaders are what dead-lettering adds to a message (SEMANTICS 7).
var deathHeaders = []string{
	"x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
	"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason",
}

// origin returns which queue gave a message up first, and how the message had come there; keys has at least one.
func origin(headers wire.Table) (from, exchange string, keys []string, ok bool) {
	deaths, _ := headers.Get("x-death")
	if deaths.Kind != wire.KindArray || len(deaths.Array) == 0 {
		return "", "", nil, false
	}
	// The latest death comes first, unless one happened again.
	first := deaths.Array[len(deaths.Array)-1]
	if name, ok := headers.Get("x-first-death-queue"); ok {
		for _, d := range slices.Backward(deaths.Array) {
			if v, _ := d.Table.Get("queue"); v.Str == name.Str {
				first = d
				break
			}
		}
	}
	if first.Kind != wire.KindTable {
		return "", "", nil, false
	}
	q, _ := first.Table.Get("queue")
	x, _ := first.Table.Get("exchange")
	list, _ := first.Table.Get("routing-keys")
	for _, k := range list.Array {
		if k.Kind == wire.KindString && len(k.Str) <= maxKeyLen {
			keys = append(keys, k.Str)
		}
	}
	return q.Str, x.Str, keys, q.Str != "" && len(keys) > 0
}

// pace waits until the rate allows one more message.
func (d *redriver) pace(ctx context.Context) error {
	if d.options.Rate > 0 {
		due := d.begin.Add(time.Duration(float64(d.done.Sent) / d.options.Rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	d.done.Sent++
	return nil
}

// send publishes the message.
func (t *transfer) send(targets []*routing.Queue, r *block.Record) {
	t.settle = make(chan struct{})
	settled := t.settle
	t.batch = &queue.Batch{First: 1, Last: 1, Complete: func(*queue.Batch) { close(settled) }}
	t.batch.Add()
	for _, q := range targets {
		p := &queue.Publication{Block: block.Block{Records: block.GetArena(r.Len())}, Batch: t.batch}
		p.Block.Append(r)
		t.batch.Add()
		q.Handle.Publish(p)
	}
	t.batch.Done()
}

// finish waits for messages under way and takes those that are safe out of the queue. The error says that one was refused.
func (d *redriver) finish(under []transfer) error {
	var safe []queue.Range
	refused := 0
	for i := range under {
		t := &under[i]
		<-t.settle
		if len(t.batch.Refused()) > 0 {
			refused++
			d.done.Sent--
			d.done.Skipped++
			d.done.Reason = "its queue refused it"
			d.keep(t.offset)
			continue
		}
		safe = append(safe, queue.Range{First: t.offset, Last: t.offset})
	}
	if len(safe) > 0 {
		d.from.Settle(&queue.Settlement{Handle: d.from, Outcome: queue.Ack, Ranges: safe})
	}
	if refused > 0 && refused == len(under) {
		return errPrecondition("the queues refuse the messages")
	}
	return nil
}

// keep notes a message that stays. It is held until the end, so that it is not taken again.
func (d *redriver) keep(offset uint64) {
	if n := len(d.kept); n > 0 && d.kept[n-1].Last+1 == offset {
		d.kept[n-1].Last = offset
		return
	}
	d.kept = append(d.kept, queue.Range{First: offset, Last: offset})
}

// putBack returns what stays to its place.
func (d *redriver) putBack() {
	if len(d.kept) > 0 {
		d.from.Settle(&queue.Settlement{Handle: d.from, Outcome: queue.Return, Ranges: d.kept})
	}
}
