package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/brokerd/brokerd/internal/config"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// Answers are for the whole cluster, whichever node is asked; nodes that do not answer are named.
func TestWholeCluster(t *testing.T) {
	clustered := func(name string, join ...string) *rig {
		return start(t, func(c *config.Config) {
			c.Node.Name = name
			c.Cluster.Listen, c.Cluster.Join = "127.0.0.1:0", join
		})
	}
	a := clustered("a")
	st, err := adminv1.NewClusterServiceClient(a.local).ListNodes(context.Background(), &adminv1.ListNodesRequest{})
	must(t, err)
	b := clustered("b", st.GetNodes()[0].GetAddress())
	ctx := context.Background()
	for _, r := range []*rig{a, b} {
		eventually(t, "the nodes see each other", func() bool {
			st, err := adminv1.NewClusterServiceClient(r.local).GetClusterStatus(ctx, &adminv1.GetClusterStatusRequest{})
			must(t, err)
			return len(st.GetNodes()) == 2 && len(st.GetUnreachableNodes()) == 0 && st.GetNodes()[0].GetState() == adminv1.NodeState_NODE_STATE_RUNNING &&
				st.GetNodes()[1].GetState() == adminv1.NodeState_NODE_STATE_RUNNING
		})
	}
	for _, c := range []struct {
		r    *rig
		name string
	}{{a, "on-a"}, {b, "on-b"}, {a, "on-a2"}} {
		_, ch := c.r.amqp()
		_, err := ch.QueueDeclare(c.name, true, false, false, false, nil)
		must(t, err)
		must(t, ch.Confirm(false))
		confirmed := ch.NotifyPublish(make(chan amqp.Confirmation, 1))
		must(t, ch.Publish("", c.name, false, false, amqp.Publishing{Body: []byte(c.name)}))
		<-confirmed
		_, err = ch.Consume(c.name, "", false, false, false, false, nil)
		must(t, err)
	}
	for _, r := range []*rig{a, b} {
		queues := adminv1.NewQueueServiceClient(r.local)
		eventually(t, "the figures of all queues", func() bool {
			list, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{PageSize: 2})
			must(t, err)
			more, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{PageSize: 2, PageToken: list.GetNextPageToken()})
			must(t, err)
			all := append(list.GetQueues(), more.GetQueues()...)
			if len(all) != 3 || list.GetTotalSize() != 3 || more.GetNextPageToken() != "" {
				t.Fatalf("queues: %v, %v", list, more)
			}
			for i, want := range []string{"on-a", "on-a2", "on-b"} {
				if all[i].GetName() != want || all[i].GetMessagesUnacknowledged() != 1 || all[i].GetConsumers() != 1 || all[i].GetLeader() != want[3:4] {
					return false
				}
			}
			return true
		})
		connections, err := adminv1.NewConnectionServiceClient(r.local).ListConnections(ctx, &adminv1.ListConnectionsRequest{})
		must(t, err)
		channels, err := adminv1.NewChannelServiceClient(r.local).ListChannels(ctx, &adminv1.ListChannelsRequest{})
		must(t, err)
		consumers, err := adminv1.NewConsumerServiceClient(r.local).ListConsumers(ctx, &adminv1.ListConsumersRequest{Vhost: "/"})
		must(t, err)
		if len(connections.GetConnections()) != 3 || len(channels.GetChannels()) != 3 || len(consumers.GetConsumers()) != 3 {
			t.Errorf("clients: %v\n%v\n%v", connections, channels, consumers)
		}
		vhosts, err := adminv1.NewVHostServiceClient(r.local).ListVHosts(ctx, &adminv1.ListVHostsRequest{})
		must(t, err)
		if v := vhosts.GetVhosts()[0]; v.GetMessagesUnacknowledged() != 3 || v.GetConnections() != 3 {
			t.Errorf("vhost: %v", v)
		}
		node, err := adminv1.NewNodeServiceClient(r.local).GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{Node: "b"})
		must(t, err)
		if node.GetNode().GetName() != "b" || node.GetMessagesUnacknowledged() != 1 {
			t.Errorf("node b: %v", node)
		}
		for _, name := range []string{"on-a", "on-b"} {
			q, err := queues.GetQueue(ctx, &adminv1.GetQueueRequest{Vhost: "/", Name: name})
			must(t, err)
			if q.GetQueue().GetMessagesUnacknowledged() != 1 {
				t.Errorf("queue: %v", q)
			}
		}
	}
	// A queue that another node leads is looked into there.
	queues := adminv1.NewQueueServiceClient(a.local)
	_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: "far", Durable: true, Leader: "b"}})
	must(t, err)
	out, err := adminv1.NewMessageServiceClient(a.local).PublishMessage(ctx, &adminv1.PublishMessageRequest{Vhost: "/", RoutingKey: "far", Body: []byte("x")})
	must(t, err)
	if !out.GetConfirmed() {
		t.Errorf("publish: %v", out)
	}
	peeked, err := queues.PeekMessages(ctx, &adminv1.PeekMessagesRequest{Vhost: "/", Name: "far"})
	must(t, err)
	if len(peeked.GetMessages()) != 1 {
		t.Errorf("peek: %v", peeked)
	}
	// A connection of the other node is closed from here.
	list, err := adminv1.NewConnectionServiceClient(a.local).ListConnections(ctx, &adminv1.ListConnectionsRequest{})
	must(t, err)
	for _, c := range list.GetConnections() {
		if c.GetNode() == "b" {
			_, err := adminv1.NewConnectionServiceClient(a.local).CloseConnection(ctx, &adminv1.CloseConnectionRequest{Name: c.GetName()})
			must(t, err)
		}
	}
	eventually(t, "it is closed", func() bool { return b.node.Broker().VHostUsage("/").Connections == 0 })

	// Events of both nodes.
	watch, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	events, err := adminv1.NewWatchServiceClient(a.local).WatchEvents(watch, &adminv1.WatchEventsRequest{Patterns: []string{"connection.created"}})
	must(t, err)
	_, err = events.Header()
	must(t, err)
	seen := make(chan string, 16)
	go func() {
		for {
			m, err := events.Recv()
			if err != nil {
				return
			}
			select {
			case seen <- m.GetNode():
			default:
			}
		}
	}()
	eventually(t, "an event of the other node", func() bool {
		b.amqp()
		select {
		case node := <-seen:
			return node == "b"
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})

	// Queues move, nodes are drained, and come back.
	_, err = queues.MoveQueue(ctx, &adminv1.MoveQueueRequest{Vhost: "/", Name: "far", Node: "a"})
	must(t, err)
	moved, err := queues.GetQueue(ctx, &adminv1.GetQueueRequest{Vhost: "/", Name: "far"})
	must(t, err)
	if q := moved.GetQueue(); q.GetLeader() != "a" || q.GetMessagesReady() != 1 {
		t.Errorf("moved queue: %v", q)
	}
	drain, err := adminv1.NewNodeServiceClient(b.local).DrainNode(ctx, &adminv1.DrainNodeRequest{Node: "a"})
	must(t, err)
	var last *adminv1.DrainNodeResponse
	for {
		m, err := drain.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("drain: %v", err)
			}
			break
		}
		last = m
	}
	if last.GetDone() != last.GetTotal() || last.GetTotal() == 0 {
		t.Errorf("drain: %v", last)
	}
	nodes, err := adminv1.NewClusterServiceClient(b.local).ListNodes(ctx, &adminv1.ListNodesRequest{NamePrefix: "a"})
	must(t, err)
	if n := nodes.GetNodes()[0]; n.GetState() != adminv1.NodeState_NODE_STATE_DRAINING || n.GetQueues() != 0 {
		t.Errorf("drained node: %v", n)
	}
	_, err = adminv1.NewNodeServiceClient(b.local).ResumeNode(ctx, &adminv1.ResumeNodeRequest{Node: "a"})
	must(t, err)
	for _, dry := range []bool{true, false} {
		spread, err := adminv1.NewClusterServiceClient(a.local).RebalanceQueues(ctx, &adminv1.RebalanceQueuesRequest{Vhost: "/", DryRun: dry})
		must(t, err)
		moves := 0
		for {
			m, err := spread.Recv()
			if err != nil {
				break
			}
			moves++
			if m.GetFrom() != "b" || m.GetTo() != "a" || m.GetError() != "" || m.GetTotal() != 2 {
				t.Errorf("move: %v", m)
			}
		}
		if moves != 2 {
			t.Errorf("%d moves, want 2 (dry run: %v)", moves, dry)
		}
	}

	// A node that is down is named, and its queues are known by the metadata.
	cancel()
	b.stop()
	queues = adminv1.NewQueueServiceClient(a.local)
	eventually(t, "node b does not answer", func() bool {
		list, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{})
		must(t, err)
		connections, err := adminv1.NewConnectionServiceClient(a.local).ListConnections(ctx, &adminv1.ListConnectionsRequest{})
		must(t, err)
		if len(list.GetQueues()) != 4 {
			t.Fatalf("queues: %v", list)
		}
		down := 0
		for _, q := range list.GetQueues() {
			if q.GetState() == adminv1.QueueState_QUEUE_STATE_DOWN && q.GetLeader() == "b" {
				down++
			}
		}
		return fmt.Sprint(list.GetUnreachableNodes(), connections.GetUnreachableNodes()) == "[b] [b]" && down == 2
	})
}
