package admin_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/grpc/codes"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func TestConnectionsChannelsConsumers(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	conn, ch := r.amqp()
	_, err := ch.QueueDeclare("q", false, false, false, false, nil)
	must(t, err)
	must(t, ch.Confirm(false))
	must(t, ch.Qos(7, 0, false))
	deliveries, err := ch.Consume("q", "tag", false, false, false, false, amqp.Table{"x-priority": int32(3)})
	must(t, err)
	confirmed := ch.NotifyPublish(make(chan amqp.Confirmation, 8))
	for range 5 {
		must(t, ch.Publish("", "q", false, false, amqp.Publishing{Body: []byte("body")}))
		<-confirmed
	}
	must(t, ch.Publish("", "nowhere", false, false, amqp.Publishing{}))
	<-confirmed
	first := <-deliveries
	must(t, first.Ack(false))

	channels := adminv1.NewChannelServiceClient(r.local)
	var c *adminv1.Channel
	eventually(t, "the acknowledgement counts", func() bool {
		list, err := channels.ListChannels(ctx, &adminv1.ListChannelsRequest{})
		must(t, err)
		c = list.GetChannels()[0]
		return c.GetMessages().GetAcknowledged() == 1 && c.GetMessages().GetDelivered() == 5
	})
	if m := c.GetMessages(); m.GetPublished() != 6 || m.GetConfirmed() != 6 || m.GetDropped() != 1 || c.GetMessagesUnacknowledged() != 4 ||
		c.GetPrefetch() != 7 || !c.GetConfirms() || c.GetConsumers() != 1 || c.GetMessagesUnconfirmed() != 0 {
		t.Errorf("channel: %v", c)
	}
	consumers, err := adminv1.NewConsumerServiceClient(r.local).ListConsumers(ctx, &adminv1.ListConsumersRequest{Queue: "q"})
	must(t, err)
	if k := consumers.GetConsumers()[0]; k.GetTag() != "tag" || !k.GetAckRequired() || k.GetPrefetch() != 7 || k.GetPriority() != 3 ||
		k.GetMessagesUnacknowledged() != 4 || k.GetMessagesDelivered() != 5 || k.GetArguments()["x-priority"].GetIntValue() != 3 {
		t.Errorf("consumer: %v", k)
	}
	queues := adminv1.NewQueueServiceClient(r.local)
	eventually(t, "the queue's figures", func() bool {
		list, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{WithMessages: true})
		must(t, err)
		return len(list.GetQueues()) == 1 && list.GetQueues()[0].GetMessagesUnacknowledged() == 4 && list.GetQueues()[0].GetConsumers() == 1
	})

	connections := adminv1.NewConnectionServiceClient(r.local)
	list, err := connections.ListConnections(ctx, &adminv1.ListConnectionsRequest{User: "guest", NameRegex: "^rig$"})
	must(t, err)
	one := list.GetConnections()[0]
	if one.GetName() != fmt.Sprintf("%s -> %s", conn.LocalAddr(), conn.RemoteAddr()) || one.GetClientName() != "rig" || one.GetChannels() != 1 ||
		one.GetReceivedBytes() == 0 || one.GetSentBytes() == 0 || one.GetClientProperties()["connection_name"].GetStringValue() != "rig" ||
		one.GetMechanism() != "PLAIN" || one.GetMessages().GetPublished() != 6 {
		t.Errorf("connection: %v", one)
	}
	_, err = connections.GetConnection(ctx, &adminv1.GetConnectionRequest{Name: "none"})
	wantCode(t, err, codes.NotFound)
	_, err = connections.CloseConnections(ctx, &adminv1.CloseConnectionsRequest{})
	wantCode(t, err, codes.InvalidArgument, "all")
	closed := conn.NotifyClose(make(chan *amqp.Error, 1))
	_, err = connections.CloseConnection(ctx, &adminv1.CloseConnectionRequest{Name: one.GetName(), Reason: "enough"})
	must(t, err)
	if e := <-closed; e.Code != 320 || !strings.Contains(e.Reason, "enough") {
		t.Errorf("closed with %v", e)
	}
	conn, _ = r.amqp()
	closed = conn.NotifyClose(make(chan *amqp.Error, 1))
	n, err := connections.CloseConnections(ctx, &adminv1.CloseConnectionsRequest{Vhost: "/"})
	must(t, err)
	if n.GetClosed() != 1 {
		t.Errorf("closed %v connections", n)
	}
	<-closed
}

func TestMessages(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	messages, queues := adminv1.NewMessageServiceClient(r.local), adminv1.NewQueueServiceClient(r.local)
	for name, args := range map[string]map[string]*adminv1.Value{
		"q": {"x-dead-letter-exchange": text(""), "x-dead-letter-routing-key": text("dead")}, "dead": nil,
		"full": {"x-max-length": {Kind: &adminv1.Value_IntValue{}}, "x-overflow": text("reject-publish")},
	} {
		_, err := queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: name, Durable: true, Arguments: args}})
		must(t, err)
	}
	publish := func(key, body string) *adminv1.PublishMessageResponse {
		t.Helper()
		id, mode := "id-"+body, uint32(2)
		out, err := messages.PublishMessage(ctx, &adminv1.PublishMessageRequest{Vhost: "/", RoutingKey: key, Body: []byte(body),
			Properties: &adminv1.Properties{MessageId: &id, DeliveryMode: &mode, Headers: map[string]*adminv1.Value{"h": text(body)}}})
		must(t, err)
		return out
	}
	if out := publish("nowhere", "x"); out.GetRouted() {
		t.Errorf("nowhere: %v", out)
	}
	if out := publish("full", "x"); !out.GetRouted() || out.GetConfirmed() {
		t.Errorf("full queue: %v", out)
	}
	for _, body := range []string{"one", "two", "three"} {
		if out := publish("q", body); !out.GetRouted() || !out.GetConfirmed() {
			t.Errorf("publish: %v", out)
		}
	}
	_, err := messages.PublishMessage(ctx, &adminv1.PublishMessageRequest{Vhost: "/", Exchange: "none"})
	wantCode(t, err, codes.NotFound)

	peek := func(o *adminv1.PeekMessagesRequest) (bodies string) {
		t.Helper()
		o.Vhost, o.Name = "/", "q"
		out, err := queues.PeekMessages(ctx, o)
		must(t, err)
		for _, m := range out.GetMessages() {
			bodies += string(m.GetBody()) + " "
		}
		return bodies
	}
	for _, c := range []struct {
		o    *adminv1.PeekMessagesRequest
		want string
	}{
		{&adminv1.PeekMessagesRequest{}, "one two three "},
		{&adminv1.PeekMessagesRequest{Count: 2, From: adminv1.PeekFrom_PEEK_FROM_TAIL}, "three two "},
		{&adminv1.PeekMessagesRequest{From: adminv1.PeekFrom_PEEK_FROM_OFFSET, Offset: 1}, "two three "},
		{&adminv1.PeekMessagesRequest{BodyBytes: 2}, "on tw th "},
		{&adminv1.PeekMessagesRequest{Filter: &adminv1.MessageFilter{BodyContains: "o"}}, "one two "},
		{&adminv1.PeekMessagesRequest{Filter: &adminv1.MessageFilter{MessageId: "id-two"}}, "two "},
		{&adminv1.PeekMessagesRequest{Filter: &adminv1.MessageFilter{Headers: map[string]*adminv1.Value{"h": text("three")}}}, "three "},
		{&adminv1.PeekMessagesRequest{Filter: &adminv1.MessageFilter{RoutingKeyRegex: "^x"}}, ""},
	} {
		if got := peek(c.o); got != c.want {
			t.Errorf("%v: got %q, want %q", c.o, got, c.want)
		}
	}
	_, err = queues.PeekMessages(ctx, &adminv1.PeekMessagesRequest{Vhost: "/", Name: "none"})
	wantCode(t, err, codes.NotFound)
	_, err = queues.PeekMessages(ctx, &adminv1.PeekMessagesRequest{Vhost: "/", Name: "q", Count: 9999})
	wantCode(t, err, codes.InvalidArgument, "count")

	get := func(mode adminv1.AckMode, n uint32) *adminv1.GetMessagesResponse {
		t.Helper()
		out, err := queues.GetMessages(ctx, &adminv1.GetMessagesRequest{Vhost: "/", Name: "q", Count: n, AckMode: mode})
		must(t, err)
		return out
	}
	if out := get(adminv1.AckMode_ACK_MODE_REQUEUE, 1); string(out.GetMessages()[0].GetBody()) != "one" || out.GetRemaining() != 2 {
		t.Errorf("get: %v", out)
	}
	eventually(t, "the message is back", func() bool { return peek(&adminv1.PeekMessagesRequest{}) == "one two three " })
	if out := get(adminv1.AckMode_ACK_MODE_ACKNOWLEDGE, 1); !out.GetMessages()[0].GetRedelivered() {
		t.Errorf("second get: %v", out)
	}
	if out := get(adminv1.AckMode_ACK_MODE_REJECT, 5); len(out.GetMessages()) != 2 {
		t.Errorf("third get: %v", out)
	}
	ready := func(name string) uint64 {
		q, err := queues.GetQueue(ctx, &adminv1.GetQueueRequest{Vhost: "/", Name: name})
		must(t, err)
		return q.GetQueue().GetMessagesReady()
	}
	eventually(t, "dead letters", func() bool { return ready("dead") == 2 && ready("q") == 0 })
	redrive := func(o *adminv1.RedriveMessagesRequest) (last *adminv1.RedriveMessagesResponse) {
		t.Helper()
		o.Vhost, o.Name = "/", "dead"
		stream, err := queues.RedriveMessages(ctx, o)
		must(t, err)
		for {
			m, err := stream.Recv()
			if err != nil {
				return last
			}
			last = m
		}
	}
	if out := redrive(&adminv1.RedriveMessagesRequest{DryRun: true}); out.GetSent() != 2 || ready("q") != 0 {
		t.Errorf("dry run: %v", out)
	}
	eventually(t, "dead letters are back", func() bool { return ready("dead") == 2 })
	if out := redrive(&adminv1.RedriveMessagesRequest{Filter: &adminv1.MessageFilter{BodyContains: "two"}}); out.GetSent() != 1 || out.GetSkipped() != 1 {
		t.Errorf("redrive: %v", out)
	}
	eventually(t, "redriven", func() bool { return ready("dead") == 1 && ready("q") == 1 })
	out, err := queues.PeekMessages(ctx, &adminv1.PeekMessagesRequest{Vhost: "/", Name: "q"})
	must(t, err)
	if m := out.GetMessages()[0]; m.GetProperties().GetHeaders()["x-death"] != nil || m.GetProperties().GetHeaders()["h"].GetStringValue() != "two" {
		t.Errorf("redriven message: %v", m)
	}
	purged, err := queues.PurgeQueue(ctx, &adminv1.PurgeQueueRequest{Vhost: "/", Name: "dead"})
	must(t, err)
	if purged.GetMessages() != 1 {
		t.Errorf("purged %v", purged)
	}
}

func text(s string) *adminv1.Value {
	return &adminv1.Value{Kind: &adminv1.Value_StringValue{StringValue: s}}
}

func TestDefinitions(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	d := adminv1.NewDefinitionServiceClient(r.local)
	file := []byte(`{"vhosts":[{"name":"/"}],"queues":[{"name":"a","vhost":"/","durable":true,"auto_delete":false,"arguments":{}}]}`)
	diff, err := d.DiffDefinitions(ctx, &adminv1.DiffDefinitionsRequest{Definitions: file})
	must(t, err)
	if diff.GetPlan().GetCreates() != 1 {
		t.Errorf("plan: %v", diff)
	}
	dry, err := d.ApplyDefinitions(ctx, &adminv1.ApplyDefinitionsRequest{Definitions: file, DryRun: true})
	must(t, err)
	if dry.GetPlan().GetCreates() != 1 || r.node.Broker().State().Queue("/", "a") != nil {
		t.Errorf("dry run: %v", dry)
	}
	_, err = d.ImportDefinitions(ctx, &adminv1.ImportDefinitionsRequest{Definitions: file})
	must(t, err)
	out, err := d.ExportDefinitions(ctx, &adminv1.ExportDefinitionsRequest{})
	must(t, err)
	if r.node.Broker().State().Queue("/", "a") == nil || !strings.Contains(string(out.GetDefinitions()), `"a"`) {
		t.Errorf("export: %s", out.GetDefinitions())
	}
	again, err := d.DiffDefinitions(ctx, &adminv1.DiffDefinitionsRequest{Definitions: out.GetDefinitions(), Prune: true})
	must(t, err)
	if p := again.GetPlan(); p.GetCreates()+p.GetUpdates()+p.GetDeletes()+p.GetConflicts() != 0 {
		t.Errorf("export differs from the state: %v", p)
	}
	_, err = d.ImportDefinitions(ctx, &adminv1.ImportDefinitionsRequest{Definitions: []byte(`{"queues":[{"name":1}]}`), File: "f.json"})
	wantCode(t, err, codes.InvalidArgument)
	if !strings.Contains(err.Error(), "f.json:1:") {
		t.Errorf("error without a place: %v", err)
	}
	_, err = d.ExportDefinitions(ctx, &adminv1.ExportDefinitionsRequest{Vhost: "none"})
	wantCode(t, err, codes.NotFound)
}

func TestClusterAndNode(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	c, n := adminv1.NewClusterServiceClient(r.local), adminv1.NewNodeServiceClient(r.local)
	st, err := c.GetClusterStatus(ctx, &adminv1.GetClusterStatusRequest{})
	must(t, err)
	if len(st.GetNodes()) != 1 || !st.GetNodes()[0].GetLeader() || !st.GetNodes()[0].GetAsked() || st.GetClusterName() == "" || st.GetObjects().GetVhosts() != 1 {
		t.Errorf("status: %v", st)
	}
	list, err := c.ListNodes(ctx, &adminv1.ListNodesRequest{})
	must(t, err)
	if list.GetNodes()[0].GetState() != adminv1.NodeState_NODE_STATE_RUNNING {
		t.Errorf("nodes: %v", list)
	}
	one, err := n.GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{Node: list.GetNodes()[0].GetName()})
	must(t, err)
	if u := one.GetUsage(); u.GetMemoryUsedBytes() == 0 || u.GetDiskFreeBytes() == 0 || u.GetFdsUsed() == 0 || len(one.GetListeners()) != 3 {
		t.Errorf("node: %v", one)
	}
	env, err := n.GetEnvironment(ctx, &adminv1.GetEnvironmentRequest{})
	must(t, err)
	for _, s := range env.GetSettings() {
		if s.GetKey() == "default_pass" && strings.Contains(s.GetValue()+s.GetDefaultValue(), "guest") {
			t.Error("a secret is shown")
		}
	}
	_, err = n.GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{Node: "none"})
	wantCode(t, err, codes.NotFound)
	_, err = c.LeaveCluster(ctx, &adminv1.LeaveClusterRequest{})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = c.JoinCluster(ctx, &adminv1.JoinClusterRequest{Address: "127.0.0.1:1"})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = c.TransferLeader(ctx, &adminv1.TransferLeaderRequest{})
	wantCode(t, err, codes.FailedPrecondition)

	d := adminv1.NewDiagnosticServiceClient(r.local)
	health, err := d.CheckHealth(ctx, &adminv1.CheckHealthRequest{})
	must(t, err)
	if !health.GetOk() {
		t.Errorf("health: %v", health)
	}
	_, err = adminv1.NewQueueServiceClient(r.local).DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: "q",
		Arguments: map[string]*adminv1.Value{"x-dead-letter-exchange": text("gone")}}})
	must(t, err)
	found, err := d.Diagnose(ctx, &adminv1.DiagnoseRequest{Checks: []string{"missing_dead_letter_exchange"}})
	must(t, err)
	if found.GetTotalSize() != 1 || found.GetFindings()[0].GetObject() != "q" || found.GetFindings()[0].GetRemedy() == "" {
		t.Errorf("findings: %v", found)
	}
	_, err = d.Diagnose(ctx, &adminv1.DiagnoseRequest{})
	must(t, err)
	_, err = d.Diagnose(ctx, &adminv1.DiagnoseRequest{Checks: []string{"odd"}})
	wantCode(t, err, codes.InvalidArgument, "checks")
}
