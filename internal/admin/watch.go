package admin

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/cluster"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// feed is a bounded queue of answers for one reader. It lags for good when the reader is too slow.
type feed[T any] struct {
	items  chan T
	lagged chan struct{}
	once   sync.Once
}

func newFeed[T any]() *feed[T] {
	return &feed[T]{items: make(chan T, watchBuffer), lagged: make(chan struct{})}
}

// put adds an item and never waits.
func (f *feed[T]) put(item T) {
	select {
	case f.items <- item:
	default:
		f.once.Do(func() { close(f.lagged) })
	}
}

// serve sends the items until the stream ends or the reader lags: then the stream is ended from here, which also ends a Send that
// waits for the reader.
func (f *feed[T]) serve(ctx context.Context, send func(T) error) error {
	failed := make(chan error, 1)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case item := <-f.items:
				if err := send(item); err != nil {
					failed <- err
					return
				}
			case <-done:
				return
			}
		}
	}()
	select {
	case err := <-failed:
		return err
	case <-f.lagged:
		return status.Errorf(codes.ResourceExhausted, "%v: %d items were waiting for it", errSlow, cap(f.items))
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// follow feeds from the streams of all other nodes, and opens those that break again until ctx ends. It returns at once; done is
// to be waited for.
func follow[T any](ctx context.Context, a *api, done *sync.WaitGroup,
	open func(context.Context, grpc.ClientConnInterface) (grpc.ServerStreamingClient[T], error), put func(*T)) {
	ctx = a.forPeer(ctx)
	for _, conn := range a.peers() {
		done.Go(func() {
			for ctx.Err() == nil {
				if stream, err := open(ctx, conn); err == nil {
					_ = relay(stream, func(m *T) error { put(m); return nil })
				}
				_ = wait(ctx, followPause)
			}
		})
	}
}

// followPause is the time between attempts to follow another node.
const followPause = time.Second

// WatchEvents implements adminv1.WatchServiceServer.
func (a *api) WatchEvents(r *adminv1.WatchEventsRequest, stream grpc.ServerStreamingServer[adminv1.WatchEventsResponse]) error {
	if len(r.GetPatterns()) > 100 {
		return violation("patterns", "got %d, want at most 100", len(r.GetPatterns()))
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	f := newFeed[*adminv1.WatchEventsResponse]()
	sub := a.Broker.Subscribe(watchBuffer)
	defer sub.Close()
	node := a.nodeName(a.Broker.NodeID())
	others.Go(func() {
		for {
			select {
			case e := <-sub.Events():
				if wantedEvent(r, &e) {
					f.put(&adminv1.WatchEventsResponse{Time: timestamppb.New(e.Time), Name: e.Name, Node: node, Details: fieldsOf(e.Details)})
				}
			case <-sub.Lagged():
				f.once.Do(func() { close(f.lagged) })
				return
			case <-ctx.Done():
				return
			}
		}
	})
	if !r.GetLocalOnly() {
		follow(ctx, a, &others, func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[adminv1.WatchEventsResponse], error) {
			return adminv1.NewWatchServiceClient(conn).WatchEvents(ctx, &adminv1.WatchEventsRequest{Patterns: r.GetPatterns(), Vhost: r.GetVhost(), LocalOnly: true})
		}, f.put)
	}
	if err := begin(stream); err != nil {
		return err
	}
	return f.serve(ctx, stream.Send)
}

// begin sends the header, so that the caller knows that from now on nothing is missed.
func begin(stream grpc.ServerStream) error { return stream.SendHeader(nil) }

// wantedEvent says whether an event passes the request.
func wantedEvent(r *adminv1.WatchEventsRequest, e *cluster.Event) bool {
	if v := r.GetVhost(); v != "" {
		if in, ok := e.Details.Get("vhost"); !ok || in.Str != v {
			return false
		}
	}
	if len(r.GetPatterns()) == 0 {
		return true
	}
	for _, p := range r.GetPatterns() {
		if topicMatch(strings.Split(p, "."), strings.Split(e.Name, ".")) {
			return true
		}
	}
	return false
}

// topicMatch matches words against a pattern of words, * for one and # for any number.
func topicMatch(pattern, words []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "#" {
			for i := range len(words) + 1 {
				if topicMatch(pattern[1:], words[i:]) {
					return true
				}
			}
			return false
		}
		if len(words) == 0 || pattern[0] != "*" && pattern[0] != words[0] {
			return false
		}
		pattern, words = pattern[1:], words[1:]
	}
	return len(words) == 0
}

// Bounds of the interval of WatchRates.
const (
	defaultInterval = time.Second
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
)

// WatchRates implements adminv1.WatchServiceServer. The first figures come at once and have no rates.
func (a *api) WatchRates(r *adminv1.WatchRatesRequest, stream grpc.ServerStreamingServer[adminv1.WatchRatesResponse]) error {
	interval := defaultInterval
	if r.GetInterval() != nil {
		if interval = r.GetInterval().AsDuration(); interval < minInterval || interval > maxInterval {
			return violation("interval", "got %v, want %v to %v", interval, minInterval, maxInterval)
		}
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var sampling sync.WaitGroup
	defer sampling.Wait()
	defer cancel()
	f := newFeed[*adminv1.WatchRatesResponse]()
	sampling.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		before := map[string]*adminv1.GetNodeStatusResponse{}
		for {
			f.put(a.rates(ctx, r.GetLocalOnly(), before))
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return f.serve(ctx, stream.Send)
}

// rates takes the figures of the nodes and compares them with those before, which it replaces.
func (a *api) rates(ctx context.Context, localOnly bool, before map[string]*adminv1.GetNodeStatusResponse) *adminv1.WatchRatesResponse {
	out := &adminv1.WatchRatesResponse{Time: timestamppb.Now()}
	all := []*adminv1.GetNodeStatusResponse{a.nodeStatus()}
	if !localOnly {
		var answers []*adminv1.GetNodeStatusResponse
		answers, out.UnreachableNodes = gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.GetNodeStatusResponse, error) {
			return adminv1.NewNodeServiceClient(conn).GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{})
		})
		all = append(all, answers...)
	}
	for _, now := range all {
		id := now.GetNode().GetId()
		out.Nodes = append(out.Nodes, ratesOf(before[id], now))
		before[id] = now
	}
	return out
}

// ratesOf compares two figures of one node; before may be nil, or of an earlier run.
func ratesOf(before, now *adminv1.GetNodeStatusResponse) *adminv1.NodeRates {
	out := &adminv1.NodeRates{
		Node: now.GetNode().GetName(), MessagesReady: now.GetMessagesReady(), MessagesUnacknowledged: now.GetMessagesUnacknowledged(),
		Objects: now.GetObjects(), MemoryUsedBytes: now.GetUsage().GetMemoryUsedBytes(), DiskFreeBytes: now.GetUsage().GetDiskFreeBytes(),
		Messages: now.GetMessages(),
	}
	var short []string
	for _, alarm := range now.GetAlarms() {
		short = append(short, alarm.GetResource())
	}
	out.Alarm = strings.Join(short, " & ")
	seconds := now.GetTime().AsTime().Sub(before.GetTime().AsTime()).Seconds()
	if before == nil || !before.GetStarted().AsTime().Equal(now.GetStarted().AsTime()) || seconds <= 0 {
		return out
	}
	rate := func(old, new uint64) float64 { return float64(max(new, old)-old) / seconds }
	m, n := before.GetMessages(), now.GetMessages()
	out.PublishRate = rate(m.GetPublished(), n.GetPublished())
	out.ConfirmRate = rate(m.GetConfirmed(), n.GetConfirmed())
	out.DeliverRate = rate(m.GetDelivered()+m.GetGot(), n.GetDelivered()+n.GetGot())
	out.AckRate = rate(m.GetAcknowledged(), n.GetAcknowledged())
	out.UnroutableRate = rate(m.GetDropped()+m.GetReturned(), n.GetDropped()+n.GetReturned())
	out.ReceiveRate = rate(before.GetReceivedBytes(), now.GetReceivedBytes())
	out.SendRate = rate(before.GetSentBytes(), now.GetSentBytes())
	return out
}

// WatchLogs implements adminv1.WatchServiceServer. Lines of the past come node by node.
func (a *api) WatchLogs(r *adminv1.WatchLogsRequest, stream grpc.ServerStreamingServer[adminv1.WatchLogsResponse]) error {
	if a.Logs == nil {
		return notHere("this node keeps no log lines")
	}
	level := slog.LevelInfo
	if r.GetLevel() != "" {
		if err := level.UnmarshalText([]byte(r.GetLevel())); err != nil {
			return violation("level", "got %q, want debug, info, warn or error", r.GetLevel())
		}
	}
	if r.GetTail() > keptLines {
		return violation("tail", "got %d, want at most %d", r.GetTail(), keptLines)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	node := a.nodeName(a.Broker.NodeID())
	show := func(l *logLine) *adminv1.WatchLogsResponse {
		m := proto.CloneOf(l.line)
		m.Node = node
		return m
	}
	var w *logWatcher
	if !r.GetNoFollow() {
		w = &logWatcher{lines: make(chan *logLine, watchBuffer), lagged: make(chan struct{})}
		defer a.Logs.unwatch(w)
	}
	for _, l := range a.Logs.watch(int(r.GetTail()), level, w) {
		if err := stream.Send(show(l)); err != nil {
			return err
		}
	}
	if r.GetNoFollow() {
		return a.pastLogs(ctx, r, stream)
	}
	f := newFeed[*adminv1.WatchLogsResponse]()
	others.Go(func() {
		for {
			select {
			case l := <-w.lines:
				if l.level >= level {
					f.put(show(l))
				}
			case <-w.lagged:
				f.once.Do(func() { close(f.lagged) })
				return
			case <-ctx.Done():
				return
			}
		}
	})
	if !r.GetLocalOnly() {
		tail := r.GetTail()
		follow(ctx, a, &others, func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[adminv1.WatchLogsResponse], error) {
			return adminv1.NewWatchServiceClient(conn).WatchLogs(ctx, &adminv1.WatchLogsRequest{Level: r.GetLevel(), Tail: tail, LocalOnly: true})
		}, f.put)
	}
	return f.serve(ctx, stream.Send)
}

// pastLogs sends the lines of the past of the other nodes.
func (a *api) pastLogs(ctx context.Context, r *adminv1.WatchLogsRequest, stream grpc.ServerStreamingServer[adminv1.WatchLogsResponse]) error {
	if r.GetLocalOnly() {
		return nil
	}
	answers, _ := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (list []*adminv1.WatchLogsResponse, err error) {
		lines, err := adminv1.NewWatchServiceClient(conn).WatchLogs(ctx, &adminv1.WatchLogsRequest{Level: r.GetLevel(), Tail: r.GetTail(),
			NoFollow: true, LocalOnly: true})
		if err != nil {
			return nil, err
		}
		return list, relay(lines, func(m *adminv1.WatchLogsResponse) error { list = append(list, m); return nil })
	})
	for _, lines := range answers {
		for _, l := range lines {
			if err := stream.Send(l); err != nil {
				return err
			}
		}
	}
	return nil
}
