package admin

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

var traceSteps = map[server.TraceStep]adminv1.TraceStep{
	server.TracePublish: adminv1.TraceStep_TRACE_STEP_PUBLISH,
	server.TraceRoute:   adminv1.TraceStep_TRACE_STEP_ROUTE,
	server.TraceEnqueue: adminv1.TraceStep_TRACE_STEP_ENQUEUE,
	server.TraceCommit:  adminv1.TraceStep_TRACE_STEP_COMMIT,
	server.TraceDeliver: adminv1.TraceStep_TRACE_STEP_DELIVER,
	server.TraceAck:     adminv1.TraceStep_TRACE_STEP_ACK,
}

// TraceMessages implements adminv1.MessageServiceServer. Each node tells the steps of its clients and of the queues that it leads.
func (a *api) TraceMessages(r *adminv1.TraceMessagesRequest, stream grpc.ServerStreamingServer[adminv1.TraceMessagesResponse]) error {
	if r.GetFilter().GetBodyContains() != "" {
		return violation("filter.body_contains", "want nothing: bodies are not looked into")
	}
	filter, err := newMessageFilter(r.GetFilter())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer cancel()
	f := newFeed[*adminv1.TraceMessagesResponse]()
	match := func(vhost string, exchange, routingKey, properties []byte) bool {
		return (r.GetVhost() == "" || vhost == r.GetVhost()) && (r.Exchange == nil || string(exchange) == r.GetExchange()) &&
			filter.match(routingKey, properties, nil)
	}
	node := a.nodeName(a.Broker.NodeID())
	stop := a.AMQP.Follow(&server.Tracer{Match: match, Emit: func(m server.Traced) {
		if q := r.GetQueue(); q == "" || m.Queue == q || m.Queue == "" && slices.Contains(m.Queues, q) {
			f.put(tracedOf(node, &m))
		}
	}})
	defer stop()
	stopLetters := a.Broker.FollowDeadLetters(func(l *cluster.DeadLetter) {
		if match(l.VHost, l.Exchange, l.RoutingKey, l.Properties) && (r.GetQueue() == "" || l.Queue == r.GetQueue()) {
			f.put(letterOf(node, l))
		}
	})
	defer stopLetters()
	if !r.GetLocalOnly() {
		follow(ctx, a, &others, func(ctx context.Context, conn grpc.ClientConnInterface) (grpc.ServerStreamingClient[adminv1.TraceMessagesResponse], error) {
			return adminv1.NewMessageServiceClient(conn).TraceMessages(ctx, &adminv1.TraceMessagesRequest{Vhost: r.GetVhost(), Filter: r.GetFilter(),
				Exchange: r.Exchange, Queue: r.GetQueue(), LocalOnly: true})
		}, f.put)
	}
	if err := begin(stream); err != nil {
		return err
	}
	return f.serve(ctx, stream.Send)
}

func tracedOf(node string, m *server.Traced) *adminv1.TraceMessagesResponse {
	out := &adminv1.TraceMessagesResponse{
		Time: timestamppb.New(m.Time), Step: traceSteps[m.Step], Node: node, Vhost: text(m.VHost), Exchange: text(m.Exchange),
		RoutingKey: text(m.RoutingKey), Queue: text(m.Queue), MessageId: text(m.MessageID), CorrelationId: text(m.CorrelationID),
		Connection: text(m.Connection), Channel: uint32(m.Channel), User: text(m.User), BodySize: uint64(m.BodySize),
		Headers: fieldsOf(m.Headers), Redelivered: m.Redelivered,
	}
	if m.Step == server.TraceRoute {
		out.Queues = texts(m.Queues)
	}
	return out
}

func letterOf(node string, l *cluster.DeadLetter) *adminv1.TraceMessagesResponse {
	out := &adminv1.TraceMessagesResponse{
		Time: timestamppb.New(time.Now()), Step: adminv1.TraceStep_TRACE_STEP_DEAD_LETTER, Node: node, Vhost: text(l.VHost),
		Exchange: text(string(l.Exchange)), RoutingKey: text(string(l.RoutingKey)), Queue: text(l.Queue), BodySize: uint64(l.BodySize),
	}
	if p, err := wire.ParseProperties(l.Properties); err == nil {
		out.MessageId, out.CorrelationId = text(p.MessageID), text(p.CorrelationID)
	}
	for _, t := range l.Targets {
		out.Queues = append(out.Queues, text(t.Def.Name))
	}
	return out
}
