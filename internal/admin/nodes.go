package admin

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/amqp/server"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// GetNodeStatus implements adminv1.NodeServiceServer.
func (a *api) GetNodeStatus(ctx context.Context, r *adminv1.GetNodeStatusRequest) (*adminv1.GetNodeStatusResponse, error) {
	conn, err := a.peer(r.GetNode())
	if err != nil {
		return nil, toStatus(err)
	}
	if conn != nil {
		return adminv1.NewNodeServiceClient(conn).GetNodeStatus(a.forPeer(ctx), r)
	}
	return a.nodeStatus(), nil
}

// nodeStatus is that of this node.
func (a *api) nodeStatus() *adminv1.GetNodeStatusResponse {
	u, st := a.Host.Usage(), a.AMQP.Stats()
	out := &adminv1.GetNodeStatusResponse{
		Uptime: durationpb.New(time.Since(a.started)), Started: timestamppb.New(a.started),
		Platform: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Pid: int64(os.Getpid()), DataDir: a.Host.DataDir(),
		Usage: usageOf(&u), Objects: a.objects(), Messages: totalsOf(&st), ReceivedBytes: st.BytesRead, SentBytes: st.BytesWritten,
		Time: timestamppb.Now(),
	}
	out.Objects.Queues = 0
	for _, q := range a.Broker.LedQueues() {
		out.Objects.Queues++
		out.MessagesReady += uint64(q.Ready)
		out.MessagesUnacknowledged += uint64(q.Unacked)
	}
	for _, n := range a.nodes() {
		if n.GetAsked() {
			out.Node = n
		}
	}
	for _, alarm := range a.alarms() {
		if alarm.GetNode() == out.GetNode().GetName() {
			out.Alarms = append(out.Alarms, alarm)
		}
	}
	for _, l := range a.Host.Listeners() {
		out.Listeners = append(out.Listeners, &adminv1.Listener{Protocol: l.Protocol, Address: l.Address})
	}
	return out
}

func usageOf(u *Usage) *adminv1.NodeUsage {
	n := func(v int64) uint64 { return uint64(max(v, 0)) }
	return &adminv1.NodeUsage{
		MemoryUsedBytes: n(u.Memory), MemoryLimitBytes: n(u.MemoryLimit), MessageMemoryBytes: n(u.MessageMemory),
		DiskFreeBytes: n(u.DiskFree), DiskMinFreeBytes: n(u.DiskMin), StoreBytes: n(u.Store), FdsUsed: n(u.FDs), FdsLimit: n(u.MaxFDs),
		Goroutines: uint64(runtime.NumGoroutine()), Processors: uint64(runtime.GOMAXPROCS(0)),
	}
}

// totalsOf shows the counters of a server.
func totalsOf(st *server.Stats) *adminv1.MessageCounts {
	return &adminv1.MessageCounts{
		Published: st.Received, Confirmed: st.Confirmed + st.Refused, Returned: st.Returned, Dropped: st.Dropped,
		Delivered: st.DeliveredManualAck + st.DeliveredAutoAck, Got: st.GotManualAck + st.GotAutoAck,
		Acknowledged: st.Acknowledged, Rejected: st.Rejected,
	}
}

// GetEnvironment implements adminv1.NodeServiceServer.
func (a *api) GetEnvironment(ctx context.Context, r *adminv1.GetEnvironmentRequest) (*adminv1.GetEnvironmentResponse, error) {
	conn, err := a.peer(r.GetNode())
	if err != nil {
		return nil, toStatus(err)
	}
	if conn != nil {
		return adminv1.NewNodeServiceClient(conn).GetEnvironment(a.forPeer(ctx), r)
	}
	out := &adminv1.GetEnvironmentResponse{}
	for _, s := range a.Host.Settings() {
		out.Settings = append(out.Settings, &adminv1.Setting{Key: s.Key, Value: text(s.Value), DefaultValue: s.Default, Help: s.Help})
	}
	return out, nil
}

// DrainNode implements adminv1.NodeServiceServer. The node itself is asked.
func (a *api) DrainNode(r *adminv1.DrainNodeRequest, stream grpc.ServerStreamingServer[adminv1.DrainNodeResponse]) error {
	conn, err := a.peer(r.GetNode())
	if err != nil {
		return toStatus(err)
	}
	if conn != nil {
		steps, err := adminv1.NewNodeServiceClient(conn).DrainNode(a.forPeer(stream.Context()), r)
		if err != nil {
			return err
		}
		return relay(steps, stream.Send)
	}
	return a.drain(stream.Context(), r.GetKeepQueues(), stream.Send)
}

// drainTell is the time between answers of a drain.
const drainTell = 200 * time.Millisecond

// drain drains this node and tells how many of its queues have moved.
func (a *api) drain(ctx context.Context, keepQueues bool, send func(*adminv1.DrainNodeResponse) error) error {
	led := func() (n uint64) {
		for q := range a.Broker.State().Queues() {
			if q.Leader == a.Broker.NodeID() && !q.Exclusive {
				n++
			}
		}
		return n
	}
	total := led()
	if keepQueues {
		total = 0
	}
	if err := send(&adminv1.DrainNodeResponse{Step: "clients are sent away", Total: total}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		if keepQueues {
			ended <- a.Broker.DrainInPlace(a.actor(ctx))
		} else {
			ended <- a.Broker.Drain(a.actor(ctx))
		}
	}()
	moved := func() uint64 { return total - min(total, led()) }
	tick := time.NewTicker(drainTell)
	defer tick.Stop()
	var broken error
	for told := uint64(0); ; {
		select {
		case err := <-ended:
			switch {
			case broken != nil:
				return broken
			case err != nil:
				return toStatus(err)
			}
			return send(&adminv1.DrainNodeResponse{Step: "the node is drained", Done: moved(), Total: total})
		case <-tick.C:
			if n := moved(); n != told && broken == nil {
				told = n
				broken = send(&adminv1.DrainNodeResponse{Step: "queues move to other nodes", Done: n, Total: total})
			}
		}
	}
}

// relay passes on what another node streams.
func relay[T any](from grpc.ServerStreamingClient[T], send func(*T) error) error {
	for {
		m, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(m); err != nil {
			return err
		}
	}
}

// ResumeNode implements adminv1.NodeServiceServer.
func (a *api) ResumeNode(ctx context.Context, r *adminv1.ResumeNodeRequest) (*adminv1.ResumeNodeResponse, error) {
	conn, err := a.peer(r.GetNode())
	if err != nil {
		return nil, toStatus(err)
	}
	if conn != nil {
		return adminv1.NewNodeServiceClient(conn).ResumeNode(a.forPeer(ctx), r)
	}
	return &adminv1.ResumeNodeResponse{}, toStatus(a.Broker.Resume(a.actor(ctx)))
}
