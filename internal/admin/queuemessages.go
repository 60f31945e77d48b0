package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// Bounds of what is shown of messages.
const (
	defaultCount = 10
	maxCount     = 1000
	defaultBody  = 64 << 10 // bytes
	maxBody      = 1 << 20  // bytes
	maxExamined  = 10_000   // messages that a filtered peek looks at
	peekBatch    = 256
	maxShown     = 32 << 20 // bytes of bodies in one answer
)

// bounds checks count and body_bytes.
func bounds(count, fallback, body uint32) (n int, limit int, err error) {
	if count > maxCount {
		return 0, 0, violation("count", "got %d, want at most %d", count, maxCount)
	}
	if body > maxBody {
		return 0, 0, violation("body_bytes", "got %d, want at most %d", body, maxBody)
	}
	if count == 0 {
		count = fallback
	}
	if body == 0 {
		body = defaultBody
	}
	return int(count), int(body), nil
}

// messageOf shows a message with at most limit bytes of its body.
func messageOf(r *block.Record, offset uint64, lane uint8, redelivered bool, failures uint32, limit int) *adminv1.Message {
	return &adminv1.Message{
		Exchange: text(string(r.Exchange)), RoutingKey: text(string(r.RoutingKey)), Properties: propertiesOf(r.Properties),
		Body: append([]byte(nil), r.Body[:min(len(r.Body), limit)]...), BodySize: uint64(len(r.Body)), Redelivered: redelivered,
		Offset: offset, Priority: uint32(lane), Enqueued: timeOf(r.Arrived), Expires: timeOf(r.Deadline),
		DeliveryCount: failures + uint32(r.DeliveryCount),
	}
}

// PeekMessages implements adminv1.QueueServiceServer. The node that leads the queue answers.
func (a *api) PeekMessages(ctx context.Context, r *adminv1.PeekMessagesRequest) (*adminv1.PeekMessagesResponse, error) {
	count, limit, err := bounds(r.GetCount(), defaultCount, r.GetBodyBytes())
	if err != nil {
		return nil, err
	}
	f, err := newMessageFilter(r.GetFilter())
	if err != nil {
		return nil, err
	}
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	q, engine, err := access.Inspect(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	if engine == nil {
		conn, err := a.leaderOf(q)
		if err != nil {
			return nil, err
		}
		if conn == nil || a.trusted {
			return nil, status.Errorf(codes.Unavailable, "queue '%s' in vhost '%s' is on its way to another node, try again", q.Name, q.VHost)
		}
		return adminv1.NewQueueServiceClient(conn).PeekMessages(a.forPeer(ctx), r, grpc.MaxCallRecvMsgSize(maxAnswer))
	}
	from := queue.PeekFrom{}
	switch r.GetFrom() {
	case adminv1.PeekFrom_PEEK_FROM_TAIL:
		from.Order = queue.PeekBackward
	case adminv1.PeekFrom_PEEK_FROM_OFFSET:
		from.At = &r.Offset
	}
	out := &adminv1.PeekMessagesResponse{}
	shown := 0
	for len(out.Messages) < count && shown < maxShown && ctx.Err() == nil {
		want := count - len(out.Messages)
		if f != nil {
			want = min(peekBatch, maxExamined-int(out.Examined))
		}
		if want <= 0 {
			break
		}
		list, next, err := engine.Peek(from, min(want, peekBatch))
		if err != nil {
			return nil, toStatus(access.QueueError(err, q.Name))
		}
		full := false
		for i := range list {
			m := &list[i]
			if len(out.Messages) == count || shown >= maxShown { // go on here the next time
				out.NextOffset, full = m.Offset, true
				break
			}
			out.Examined++
			if f.match(m.Record.RoutingKey, m.Record.Properties, m.Record.Body) {
				out.Messages = append(out.Messages, messageOf(&m.Record, m.Offset, m.Priority, m.Redelivered, m.Failures, limit))
				shown += min(len(m.Record.Body), limit)
			}
		}
		if full {
			return out, nil
		}
		if next == nil {
			out.End = true
			return out, nil
		}
		from.At = next
		out.NextOffset = *next
	}
	return out, ctx.Err()
}

// GetMessages implements adminv1.QueueServiceServer. What cannot be settled because the call is cut off goes back to the queue.
func (a *api) GetMessages(ctx context.Context, r *adminv1.GetMessagesRequest) (*adminv1.GetMessagesResponse, error) {
	count, limit, err := bounds(r.GetCount(), 1, r.GetBodyBytes())
	if err != nil {
		return nil, err
	}
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return nil, err
	}
	h, err := access.QueueForRead(r.GetName())
	if err != nil {
		return nil, toStatus(err)
	}
	out := &adminv1.GetMessagesResponse{}
	var taken []queue.Range
	outcome := queue.Requeue
	defer func() {
		if len(taken) > 0 {
			h.Settle(&queue.Settlement{Handle: h, Outcome: outcome, Ranges: taken})
		}
	}()
	for shown := 0; len(out.Messages) < count && shown < maxShown && ctx.Err() == nil; {
		p, remaining, ok, err := h.Get(false)
		if err != nil {
			return nil, toStatus(access.QueueError(err, r.GetName()))
		}
		out.Remaining = uint64(remaining)
		if !ok {
			break
		}
		taken = append(taken, queue.Range{First: p.First, Last: p.First})
		var rec block.Record
		if _, err := block.Parse(p.Records, p.Tail, &rec); err != nil {
			return nil, status.Error(codes.DataLoss, err.Error())
		}
		out.Messages = append(out.Messages, messageOf(&rec, p.First, rec.Priority, p.Redelivered, p.Failures, limit))
		shown += min(len(rec.Body), limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch r.GetAckMode() {
	case adminv1.AckMode_ACK_MODE_ACKNOWLEDGE:
		outcome = queue.Ack
	case adminv1.AckMode_ACK_MODE_REJECT:
		outcome = queue.Drop
	}
	return out, nil
}

// redriveTell is how many messages are looked at between two answers.
const redriveTell = 100

// RedriveMessages implements adminv1.QueueServiceServer. Each message is published where it came from, with a confirm, and only then
// taken out of the queue, so that a crash in between leaves a copy more and never one less.
func (a *api) RedriveMessages(r *adminv1.RedriveMessagesRequest, stream grpc.ServerStreamingServer[adminv1.RedriveMessagesResponse]) error {
	ctx := stream.Context()
	f, err := newMessageFilter(r.GetFilter())
	if err != nil {
		return err
	}
	access, err := a.act(ctx, r.GetVhost())
	if err != nil {
		return err
	}
	h, err := access.QueueForRead(r.GetName())
	if err != nil {
		return toStatus(err)
	}
	st, err := h.Status()
	if err != nil {
		return toStatus(access.QueueError(err, r.GetName()))
	}
	d := &redrive{api: a, access: access, request: r, filter: f, handle: h, user: &cluster.User{Name: a.callerOf(ctx).name}}
	d.progress.Total = uint64(st.Ready)
	if c := r.GetCount(); c > 0 {
		d.progress.Total = min(d.progress.Total, c)
	}
	defer d.giveBack()
	for looked := uint64(1); looked <= uint64(st.Ready); looked++ {
		if c := r.GetCount(); c > 0 && d.progress.Sent >= c {
			break
		}
		more, err := d.next(ctx)
		if err != nil {
			return toStatus(err)
		}
		if !more {
			break
		}
		if looked%redriveTell == 0 {
			if err := stream.Send(d.shown()); err != nil {
				return err
			}
		}
	}
	return stream.Send(d.shown())
}

// redrive is one call of RedriveMessages.
type redrive struct {
	api      *api
	access   *cluster.Access
	user     *cluster.User
	request  *adminv1.RedriveMessagesRequest
	filter   *messageFilter
	handle   queue.Handle
	progress adminv1.RedriveMessagesResponse
	kept     []queue.Range // what stays, given back at the end so that it is not met again
}

func (d *redrive) shown() *adminv1.RedriveMessagesResponse {
	return &adminv1.RedriveMessagesResponse{Sent: d.progress.Sent, Skipped: d.progress.Skipped, Total: d.progress.Total, Reason: d.progress.Reason}
}

// giveBack returns what stays in the queue. Nobody has seen it, so it does not count as a failed delivery.
func (d *redrive) giveBack() {
	if len(d.kept) > 0 {
		d.handle.Settle(&queue.Settlement{Handle: d.handle, Outcome: queue.Return, Ranges: d.kept})
	}
}

func (d *redrive) keep(offset uint64, reason string) {
	d.progress.Skipped++
	d.progress.Reason = reason
	if n := len(d.kept); n > 0 && d.kept[n-1].Last+1 == offset {
		d.kept[n-1].Last++
		return
	}
	d.kept = append(d.kept, queue.Range{First: offset, Last: offset})
}

// next looks at one message. more is false when there is none.
func (d *redrive) next(ctx context.Context) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	p, _, ok, err := d.handle.Get(false)
	if err != nil {
		return false, d.access.QueueError(err, d.request.GetName())
	}
	if !ok {
		return false, nil
	}
	var rec block.Record
	if _, err := block.Parse(p.Records, p.Tail, &rec); err != nil {
		d.keep(p.First, "damaged: "+err.Error())
		return true, nil
	}
	if !d.filter.match(rec.RoutingKey, rec.Properties, rec.Body) {
		d.keep(p.First, "does not pass the filter")
		return true, nil
	}
	m, reason := d.origin(&rec)
	if reason != "" {
		d.keep(p.First, reason)
		return true, nil
	}
	if d.request.GetDryRun() {
		d.keep(p.First, "")
		d.progress.Skipped--
		d.progress.Sent++
		return true, nil
	}
	if rate := d.request.GetRate(); rate > 0 {
		if err := wait(ctx, time.Second/time.Duration(rate)); err != nil {
			d.keep(p.First, "")
			return false, err
		}
	}
	routed, confirmed, err := d.api.AMQP.Publish(ctx, d.access, d.user, d.request.GetVhost(), m)
	switch {
	case err != nil:
		d.keep(p.First, err.Error())
		var amqp *wire.Error
		if !errors.As(err, &amqp) || errors.Is(err, server.ErrBlocked) {
			return false, err
		}
	case !routed:
		d.keep(p.First, "no queue takes it any more")
	case !confirmed:
		d.keep(p.First, "a queue refused it")
	default:
		d.handle.Settle(&queue.Settlement{Handle: d.handle, Outcome: queue.Ack, Ranges: []queue.Range{{First: p.First, Last: p.First}}})
		d.progress.Sent++
	}
	return true, nil
}

// deathHeaders are what dead-lettering has added to a message; a message that is sent back has them no more.
var deathHeaders = []string{"x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
	"x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"}

// origin makes the message that goes back to where rec came from before its first death; reason says why there is none.
func (d *redrive) origin(rec *block.Record) (m server.Message, reason string) {
	p, err := wire.ParseProperties(rec.Properties)
	if err != nil {
		return m, "damaged: " + err.Error()
	}
	m = server.Message{Exchange: string(rec.Exchange), RoutingKey: string(rec.RoutingKey), Body: rec.Body}
	deaths, dead := p.Headers.Get("x-death")
	if d.request.Exchange != nil {
		m.Exchange = d.request.GetExchange()
	} else {
		if !dead || deaths.Kind != wire.KindArray || len(deaths.Array) == 0 {
			return m, "is no dead letter: it has no x-death"
		}
		oldest := deaths.Array[len(deaths.Array)-1].Table
		from, _ := oldest.Get("exchange")
		m.Exchange = from.Str
		if keys, ok := oldest.Get("routing-keys"); ok && len(keys.Array) > 0 {
			m.RoutingKey = keys.Array[0].Str
		}
	}
	p.Headers = slices.DeleteFunc(p.Headers, func(f wire.Field) bool { return slices.Contains(deathHeaders, f.Name) })
	if len(p.Headers) == 0 {
		p.Clear(wire.FlagHeaders)
	}
	p.Clear(wire.FlagUserID) // of the first publisher, whom nobody impersonates
	m.Properties = p
	return m, ""
}

// wait waits for d or the end of ctx.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
