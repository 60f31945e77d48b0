package admin_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/brokerd/brokerd/internal/admin"
	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// methods are all methods of the admin API.
func methods(t *testing.T) (all []protoreflect.MethodDescriptor) {
	protoregistry.GlobalFiles.RangeFilesByPackage("brokerd.admin.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			s := f.Services().Get(i)
			for j := range s.Methods().Len() {
				all = append(all, s.Methods().Get(j))
			}
		}
		return true
	})
	if len(all) < 70 {
		t.Fatalf("only %d methods", len(all))
	}
	return all
}

// call calls a method with a request that names the vhost wherever it can, and nothing else, and returns the code.
func call(t *testing.T, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, vhost string) codes.Code {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := dynamicpb.NewMessage(m.Input())
	name := func(msg protoreflect.Message) {
		if f := msg.Descriptor().Fields().ByName("vhost"); f != nil && f.Kind() == protoreflect.StringKind {
			msg.Set(f, protoreflect.ValueOfString(vhost))
		}
	}
	name(request)
	for i := range m.Input().Fields().Len() {
		f := m.Input().Fields().Get(i)
		if f.Kind() == protoreflect.MessageKind && !f.IsList() && !f.IsMap() && f.Message().Fields().ByName("vhost") != nil &&
			f.Message().Fields().ByName("vhost").Kind() == protoreflect.StringKind {
			name(request.Mutable(f).Message())
		}
	}
	path := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	if !m.IsStreamingServer() {
		return status.Code(conn.Invoke(ctx, path, request, dynamicpb.NewMessage(m.Output())))
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err == nil {
		err = stream.SendMsg(request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		// Watches that are allowed send their header; others an answer, or the end.
		var md map[string][]string
		if md, err = stream.Header(); err == nil && md == nil {
			err = stream.RecvMsg(dynamicpb.NewMessage(m.Output()))
		}
	}
	if err == nil || errors.Is(err, io.EOF) {
		return codes.OK
	}
	return status.Code(err)
}

// needs are the least tags for the methods, by service, or by method where a service has several. The vhost rule follows.
var needs = map[string]string{
	"ClusterService": "administrator", "ClusterService.GetClusterStatus": "monitoring", "ClusterService.ListNodes": "monitoring",
	"NodeService": "administrator", "NodeService.GetNodeStatus": "monitoring",
	"VHostService": "administrator", "VHostService.ListVHosts": "management", "VHostService.GetVHost": "management",
	"UserService": "administrator", "UserService.GetCurrentUser": "management",
	"PermissionService": "administrator",
	"ExchangeService":   "management+vhost", "ExchangeService.ListExchanges": "management+vhost|monitoring", "ExchangeService.GetExchange": "management+vhost|monitoring",
	"QueueService": "management+vhost", "QueueService.ListQueues": "management+vhost|monitoring", "QueueService.GetQueue": "management+vhost|monitoring",
	"QueueService.MoveQueue": "administrator",
	"BindingService":         "management+vhost", "BindingService.ListBindings": "management+vhost|monitoring",
	"PolicyService": "management+vhost|monitoring", "PolicyService.PutPolicy": "policymaker+vhost", "PolicyService.DeletePolicy": "policymaker+vhost",
	"ParameterService": "policymaker+vhost",
	"LimitService":     "administrator", "LimitService.ListVHostLimits": "management+vhost|monitoring", "LimitService.ListUserLimits": "management",
	"ConnectionService": "management", "ConnectionService.ListConnections": "management+vhost|monitoring",
	"ChannelService": "management+vhost|monitoring", "ConsumerService": "management+vhost|monitoring",
	"MessageService": "management+vhost", "MessageService.ExplainRoute": "management+vhost|monitoring", "MessageService.TraceMessages": "administrator",
	"DefinitionService": "administrator", "DiagnosticService": "monitoring",
	"WatchService": "monitoring", "WatchService.WatchLogs": "administrator",
}

// implied are the tags that a tag stands for.
var implied = map[string][]string{
	"administrator": {"administrator", "monitoring", "policymaker", "management"},
	"monitoring":    {"monitoring", "management"},
	"policymaker":   {"policymaker", "management"},
	"management":    {"management"},
}

// allows says whether a user with a tag, who has permissions in the vhost or not, may use what needs a rule.
func allows(rule, tag string, inVHost bool) bool {
	has := implied[tag]
	if slices.Contains(has, "administrator") {
		return true
	}
	for _, one := range strings.Split(rule, "|") {
		need, vhost := strings.CutSuffix(one, "+vhost")
		if slices.Contains(has, need) && (!vhost || inVHost) {
			return true
		}
	}
	return false
}

// Each method as each kind of user and as nobody: only what SEMANTICS 15.4 allows.
func TestEachMethodAsEachKindOfUser(t *testing.T) {
	r := start(t)
	_, err := adminv1.NewVHostServiceClient(r.local).PutVHost(context.Background(), &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "mine"}})
	must(t, err)
	_, err = adminv1.NewVHostServiceClient(r.local).PutVHost(context.Background(), &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "theirs"}})
	must(t, err)
	users := map[string]*grpc.ClientConn{}
	for _, tag := range []string{"administrator", "monitoring", "policymaker", "management", "impersonator"} {
		users[tag] = r.user(tag, []string{tag}, "mine")
	}
	untagged := r.user("untagged", nil, "mine")
	nobody, wrong, unknown := r.dial(r.node.AdminAddr()), r.tcp("management", "wrong"), r.tcp("unknown", "unknown")
	refused := func(code codes.Code) bool { return code == codes.PermissionDenied }
	for _, m := range methods(t) {
		service := string(m.Parent().Name())
		rule, ok := needs[service+"."+string(m.Name())]
		if !ok {
			rule, ok = needs[service]
		}
		if !ok {
			t.Errorf("%s: the test has no rule", m.FullName())
		}
		strangers := map[string]*grpc.ClientConn{"nobody": nobody}
		if m.Index() == 0 { // a password takes its time
			strangers["wrong password"], strangers["unknown user"] = wrong, unknown
		}
		for who, conn := range strangers {
			if code := call(t, conn, m, "mine"); code != codes.Unauthenticated {
				t.Errorf("%s as %s: %v, want %v", m.FullName(), who, code, codes.Unauthenticated)
			}
		}
		for who, conn := range map[string]*grpc.ClientConn{"untagged": untagged, "impersonator": users["impersonator"]} {
			if code := call(t, conn, m, "mine"); !refused(code) {
				t.Errorf("%s as %s: %v, want %v", m.FullName(), who, code, codes.PermissionDenied)
			}
		}
		for tag, conn := range users {
			if tag == "impersonator" {
				continue
			}
			for _, vhost := range []string{"mine", "theirs"} {
				want := allows(rule, tag, vhost == "mine")
				if code := call(t, conn, m, vhost); refused(code) == want {
					t.Errorf("%s as %s in vhost %s: %v, allowed: %v", m.FullName(), tag, vhost, code, want)
				}
			}
		}
		if code := call(t, r.local, m, "mine"); refused(code) || code == codes.Unauthenticated || code == codes.Unknown {
			t.Errorf("%s over the socket: %v", m.FullName(), code)
		}
	}
}

// What a user with few permissions may do with objects is what his connections may.
func TestPermissionsCount(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	conn := r.user("u", []string{"policymaker"})
	_, err := adminv1.NewPermissionServiceClient(r.local).SetPermission(ctx, &adminv1.SetPermissionRequest{
		Permission: &adminv1.Permission{User: "u", Vhost: "/", Configure: "^mine", Write: "^mine", Read: "^mine"}})
	must(t, err)
	queues := adminv1.NewQueueServiceClient(conn)
	for _, name := range []string{"mine", "theirs"} {
		_, err := adminv1.NewQueueServiceClient(r.local).DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: name}})
		must(t, err)
	}
	want := func(name string, err error) {
		t.Helper()
		if name == "mine" {
			must(t, err)
			return
		}
		wantCode(t, err, codes.PermissionDenied)
		if !strings.Contains(err.Error(), "ACCESS_REFUSED - ") {
			t.Errorf("the text is not that of AMQP: %v", err)
		}
	}
	for _, name := range []string{"mine", "theirs"} {
		_, err := queues.PeekMessages(ctx, &adminv1.PeekMessagesRequest{Vhost: "/", Name: name})
		want(name, err)
		_, err = queues.GetMessages(ctx, &adminv1.GetMessagesRequest{Vhost: "/", Name: name})
		want(name, err)
		_, err = queues.PurgeQueue(ctx, &adminv1.PurgeQueueRequest{Vhost: "/", Name: name})
		want(name, err)
		_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: name + "2"}})
		want(name, err)
		_, err = queues.DeleteQueue(ctx, &adminv1.DeleteQueueRequest{Vhost: "/", Name: name})
		want(name, err)
		_, err = adminv1.NewMessageServiceClient(conn).PublishMessage(ctx, &adminv1.PublishMessageRequest{Vhost: "/", Exchange: "amq.direct"})
		wantCode(t, err, codes.PermissionDenied)
	}
	_, err = adminv1.NewPolicyServiceClient(conn).PutPolicy(ctx, &adminv1.PutPolicyRequest{Policy: &adminv1.Policy{Vhost: "/", Name: "p", Operator: true,
		Pattern: ".", Definition: `{"max-length":1}`}})
	wantCode(t, err, codes.PermissionDenied)
	_, err = adminv1.NewParameterServiceClient(conn).PutParameter(ctx, &adminv1.PutParameterRequest{Parameter: &adminv1.Parameter{Name: "g", Value: "1"}})
	wantCode(t, err, codes.PermissionDenied)
	// Connections: one's own, and no others.
	other, _ := r.amqp()
	list, err := adminv1.NewConnectionServiceClient(conn).ListConnections(ctx, &adminv1.ListConnectionsRequest{})
	must(t, err)
	if len(list.GetConnections()) != 0 {
		t.Errorf("sees connections of others: %v", list)
	}
	_, err = adminv1.NewConnectionServiceClient(conn).CloseConnection(ctx, &adminv1.CloseConnectionRequest{
		Name: other.LocalAddr().String() + " -> " + other.RemoteAddr().String()})
	wantCode(t, err, codes.NotFound)
	_, err = adminv1.NewConnectionServiceClient(conn).CloseConnections(ctx, &adminv1.CloseConnectionsRequest{User: "guest"})
	wantCode(t, err, codes.PermissionDenied)
	if _, err := adminv1.NewConnectionServiceClient(conn).CloseConnections(ctx, &adminv1.CloseConnectionsRequest{All: true}); err != nil || other.IsClosed() {
		t.Errorf("closing all of one's own connections: %v, another one is closed: %v", err, other.IsClosed())
	}
	// Tags count at once.
	_, err = adminv1.NewUserServiceClient(r.local).SetUserTags(ctx, &adminv1.SetUserTagsRequest{Name: "u"})
	must(t, err)
	_, err = queues.ListQueues(ctx, &adminv1.ListQueuesRequest{})
	wantCode(t, err, codes.PermissionDenied)
}

func TestHealthAndReflection(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	st, err := healthv1.NewHealthClient(r.dial(r.node.AdminAddr())).Check(ctx, &healthv1.HealthCheckRequest{})
	must(t, err)
	if st.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v", st)
	}
	list := func(conn *grpc.ClientConn) (n int, err error) {
		s, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		must(t, err)
		_ = s.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}})
		m, err := s.Recv()
		return len(m.GetListServicesResponse().GetService()), err
	}
	if n, err := list(r.local); err != nil || n < 18 {
		t.Errorf("reflection: %d services, %v", n, err)
	}
	_, err = list(r.dial(r.node.AdminAddr()))
	wantCode(t, err, codes.Unauthenticated)
}

func TestInsecureAddress(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.AMQP.Listen = []string{"127.0.0.1:0"}
	cfg.HTTP.Listen, cfg.Cluster.Listen = "", ""
	cfg.Admin.Listen = "0.0.0.0:0"
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := node.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = n.Shutdown(ctx)
	}
	if !errors.Is(err, admin.ErrInsecure) {
		t.Fatalf("start: %v", err)
	}
	for _, key := range []string{"admin.listen", "admin.tls.cert", "admin.insecure"} {
		if !strings.Contains(err.Error(), key) {
			t.Errorf("%v does not name %s", err, key)
		}
	}
	cfg.Admin.Insecure = true
	start(t, func(c *config.Config) { c.Admin = cfg.Admin })
}

// Requests of users who are not known are refused before they are read.
func TestLargeRequestOfNobody(t *testing.T) {
	r := start(t)
	_, err := adminv1.NewDefinitionServiceClient(r.dial(r.node.AdminAddr())).ImportDefinitions(context.Background(),
		&adminv1.ImportDefinitionsRequest{Definitions: make([]byte, 32<<20)})
	wantCode(t, err, codes.Unauthenticated)
	_, err = adminv1.NewDefinitionServiceClient(r.local).ImportDefinitions(context.Background(),
		&adminv1.ImportDefinitionsRequest{Definitions: []byte(strings.Repeat(" ", 32<<20))})
	wantCode(t, err, codes.InvalidArgument)
}
