package admin_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// BenchmarkListQueues lists 10,000 queues in one page, as a dashboard does every second.
func BenchmarkListQueues(b *testing.B) {
	r := start(b)
	ctx := context.Background()
	queues := adminv1.NewQueueServiceClient(r.local)
	var all sync.WaitGroup
	const total, workers = 10_000, 100
	for w := range workers {
		all.Go(func() {
			for i := range total / workers {
				_, err := queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: fmt.Sprintf("q-%d-%d", w, i)}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportAllocs()
	for b.Loop() {
		list, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{PageSize: total})
		if err != nil || len(list.GetQueues()) != total {
			b.Fatalf("%d queues, %v", len(list.GetQueues()), err)
		}
	}
}
