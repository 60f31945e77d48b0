package admin_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func TestWatchEvents(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := adminv1.NewWatchServiceClient(r.local).WatchEvents(ctx, &adminv1.WatchEventsRequest{Patterns: []string{"queue.*", "connection.#"}})
	must(t, err)
	_, err = stream.Header() // from now on nothing is missed
	must(t, err)
	_, err = adminv1.NewExchangeServiceClient(r.local).DeclareExchange(ctx, &adminv1.DeclareExchangeRequest{Exchange: &adminv1.Exchange{Vhost: "/", Name: "x", Type: "fanout"}})
	must(t, err)
	_, err = adminv1.NewQueueServiceClient(r.local).DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: "q"}})
	must(t, err)
	m, err := stream.Recv()
	must(t, err)
	if m.GetName() != "queue.created" || m.GetDetails()["name"].GetStringValue() != "q" {
		t.Errorf("event: %v", m)
	}
	r.amqp()
	if m, err = stream.Recv(); err != nil || m.GetName() != "connection.created" {
		t.Errorf("event: %v, %v", m, err)
	}
}

func TestWatchRates(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := adminv1.NewWatchServiceClient(r.local)
	stream, err := w.WatchRates(ctx, &adminv1.WatchRatesRequest{Interval: durationpb.New(100_000_000)})
	must(t, err)
	for {
		m, err := stream.Recv()
		must(t, err)
		n := m.GetNodes()[0]
		if n.GetMemoryUsedBytes() == 0 {
			t.Errorf("rates: %v", n)
		}
		if n.GetPublishRate() > 0 {
			break
		}
		_, err = adminv1.NewMessageServiceClient(r.local).PublishMessage(ctx, &adminv1.PublishMessageRequest{Vhost: "/", Exchange: "amq.fanout"})
		must(t, err)
	}
	bad, err := w.WatchRates(ctx, &adminv1.WatchRatesRequest{Interval: durationpb.New(1)})
	must(t, err)
	_, err = bad.Recv()
	wantCode(t, err, codes.InvalidArgument, "interval")
}

func TestWatchLogs(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w := adminv1.NewWatchServiceClient(r.local)
	past, err := w.WatchLogs(ctx, &adminv1.WatchLogsRequest{Tail: 1000, NoFollow: true})
	must(t, err)
	lines := 0
	for {
		if _, err := past.Recv(); err != nil {
			break
		}
		lines++
	}
	if lines == 0 {
		t.Error("no lines of the start")
	}
	stream, err := w.WatchLogs(ctx, &adminv1.WatchLogsRequest{})
	must(t, err)
	_, err = stream.Header()
	must(t, err)
	_, err = adminv1.NewQueueServiceClient(r.local).DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: "q"}})
	must(t, err)
	m, err := stream.Recv()
	must(t, err)
	got := map[string]string{}
	for _, a := range m.GetAttributes() {
		got[a.GetKey()] = a.GetValue()
	}
	if m.GetMessage() != "admin change" || got["user"] != "local administrator" || got["address"] != "admin.sock" ||
		got["method"] != "/brokerd.admin.v1.QueueService/DeclareQueue" {
		t.Errorf("line: %v", m)
	}
	_, err = adminv1.NewUserServiceClient(r.local).PutUser(ctx, &adminv1.PutUserRequest{Name: "u", Secret: &adminv1.Secret{Secret: &adminv1.Secret_Password{Password: "hush"}}})
	must(t, err)
	m, err = stream.Recv()
	must(t, err)
	for _, a := range m.GetAttributes() {
		if a.GetKey() == "request" && a.GetValue() != `{"name":"u"}` {
			t.Errorf("a secret in the log: %v", a)
		}
	}
}

// A reader that does not read is cut off, while the broker goes on and holds a bounded number of lines for it.
func TestSlowReaderIsCutOff(t *testing.T) {
	r := start(t)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	stream, err := adminv1.NewWatchServiceClient(r.local).WatchLogs(ctx, &adminv1.WatchLogsRequest{})
	must(t, err)
	_, err = stream.Header()
	must(t, err)
	// Each failed change is a line of a kilobyte.
	queues := adminv1.NewQueueServiceClient(r.local)
	request := &adminv1.DeleteQueueRequest{Vhost: "/", Name: strings.Repeat("q", 1000)}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				if _, err := queues.DeleteQueue(ctx, request); status.Code(err) != codes.NotFound {
					t.Errorf("delete: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	for {
		_, err := stream.Recv()
		if err == nil {
			continue // what was on the way
		}
		wantCode(t, err, codes.ResourceExhausted)
		return
	}
}
