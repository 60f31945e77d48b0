package admin_test

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func TestVHostsUsersPermissions(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	vhosts := adminv1.NewVHostServiceClient(r.local)
	made, err := vhosts.PutVHost(ctx, &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "v", Description: "d", Tags: []string{"t"}}})
	must(t, err)
	if !made.GetCreated() {
		t.Error("vhost is not new")
	}
	_, err = vhosts.PutVHost(ctx, &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "v"}, Mode: adminv1.PutMode_PUT_MODE_CREATE})
	wantCode(t, err, codes.AlreadyExists)
	_, err = vhosts.PutVHost(ctx, &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "w"}, Mode: adminv1.PutMode_PUT_MODE_UPDATE})
	wantCode(t, err, codes.NotFound)
	_, err = vhosts.PutVHost(ctx, &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{Name: "w", DefaultQueueType: "odd"}})
	wantCode(t, err, codes.InvalidArgument, "default_queue_type")
	_, err = vhosts.PutVHost(ctx, &adminv1.PutVHostRequest{Vhost: &adminv1.VHost{}})
	wantCode(t, err, codes.InvalidArgument, "name")
	list, err := vhosts.ListVHosts(ctx, &adminv1.ListVHostsRequest{})
	must(t, err)
	if len(list.GetVhosts()) != 2 || list.GetVhosts()[1].GetDescription() != "d" || list.GetTotalSize() != 2 {
		t.Errorf("vhosts: %v", list)
	}
	one, err := vhosts.GetVHost(ctx, &adminv1.GetVHostRequest{Name: "v"})
	must(t, err)
	if one.GetVhost().GetTags()[0] != "t" {
		t.Errorf("vhost: %v", one)
	}
	_, err = vhosts.GetVHost(ctx, &adminv1.GetVHostRequest{Name: "none"})
	wantCode(t, err, codes.NotFound)

	users := adminv1.NewUserServiceClient(r.local)
	_, err = users.PutUser(ctx, &adminv1.PutUserRequest{Name: "u", Tags: []string{"management"}, Mode: adminv1.PutMode_PUT_MODE_CREATE,
		Secret: &adminv1.Secret{Secret: &adminv1.Secret_Password{Password: "one"}}})
	must(t, err)
	_, err = users.PutUser(ctx, &adminv1.PutUserRequest{Name: "u", Mode: adminv1.PutMode_PUT_MODE_CREATE})
	wantCode(t, err, codes.AlreadyExists)
	_, err = users.PutUser(ctx, &adminv1.PutUserRequest{Name: "x", Secret: &adminv1.Secret{Secret: &adminv1.Secret_PasswordHash{PasswordHash: "?"}}})
	wantCode(t, err, codes.InvalidArgument, "secret.password_hash")
	_, err = users.SetPassword(ctx, &adminv1.SetPasswordRequest{Name: "u", Secret: &adminv1.Secret{Secret: &adminv1.Secret_Password{Password: "two"}}})
	must(t, err)
	for password, want := range map[string]bool{"one": false, "two": true} {
		ok, err := users.CheckPassword(ctx, &adminv1.CheckPasswordRequest{Name: "u", Password: password})
		must(t, err)
		if ok.GetValid() != want {
			t.Errorf("password %s: %v, want %v", password, ok.GetValid(), want)
		}
	}
	_, err = users.SetUserTags(ctx, &adminv1.SetUserTagsRequest{Name: "u", Tags: []string{"monitoring"}})
	must(t, err)
	u, err := users.GetUser(ctx, &adminv1.GetUserRequest{Name: "u"})
	must(t, err)
	if u.GetUser().GetTags()[0] != "monitoring" || !u.GetUser().GetHasPassword() {
		t.Errorf("user: %v", u)
	}
	all, err := users.ListUsers(ctx, &adminv1.ListUsersRequest{NamePrefix: "u"})
	must(t, err)
	if len(all.GetUsers()) != 1 {
		t.Errorf("users: %v", all)
	}
	me, err := users.GetCurrentUser(ctx, &adminv1.GetCurrentUserRequest{})
	must(t, err)
	if !me.GetLocal() {
		t.Errorf("current user over the socket: %v", me)
	}

	permissions := adminv1.NewPermissionServiceClient(r.local)
	_, err = permissions.SetPermission(ctx, &adminv1.SetPermissionRequest{Permission: &adminv1.Permission{User: "u", Vhost: "v", Read: "("}})
	wantCode(t, err, codes.InvalidArgument, "read")
	_, err = permissions.SetPermission(ctx, &adminv1.SetPermissionRequest{Permission: &adminv1.Permission{User: "nobody", Vhost: "v"}})
	wantCode(t, err, codes.NotFound)
	_, err = permissions.SetPermission(ctx, &adminv1.SetPermissionRequest{Permission: &adminv1.Permission{User: "u", Vhost: "v", Read: "a"}})
	must(t, err)
	_, err = permissions.SetTopicPermission(ctx, &adminv1.SetTopicPermissionRequest{Permission: &adminv1.TopicPermission{User: "u", Vhost: "v", Exchange: "amq.topic", Write: "a"}})
	must(t, err)
	ps, err := permissions.ListPermissions(ctx, &adminv1.ListPermissionsRequest{Vhost: "v"})
	must(t, err)
	ts, err := permissions.ListTopicPermissions(ctx, &adminv1.ListTopicPermissionsRequest{User: "u"})
	must(t, err)
	if len(ps.GetPermissions()) != 1 || len(ts.GetPermissions()) != 1 {
		t.Errorf("permissions: %v, %v", ps, ts)
	}
	_, err = permissions.ClearTopicPermission(ctx, &adminv1.ClearTopicPermissionRequest{User: "u", Vhost: "v"})
	must(t, err)
	_, err = permissions.ClearPermission(ctx, &adminv1.ClearPermissionRequest{User: "u", Vhost: "v"})
	must(t, err)

	limits := adminv1.NewLimitServiceClient(r.local)
	_, err = limits.SetVHostLimits(ctx, &adminv1.SetVHostLimitsRequest{Limits: &adminv1.VHostLimits{Vhost: "v", Limits: map[string]int64{"max-queues": 1}}})
	must(t, err)
	_, err = limits.SetVHostLimits(ctx, &adminv1.SetVHostLimitsRequest{Limits: &adminv1.VHostLimits{Vhost: "v", Limits: map[string]int64{"odd": 1}}})
	wantCode(t, err, codes.InvalidArgument)
	_, err = limits.SetUserLimits(ctx, &adminv1.SetUserLimitsRequest{Limits: &adminv1.UserLimits{User: "u", Limits: map[string]int64{"max-channels": 7}}})
	must(t, err)
	vl, err := limits.ListVHostLimits(ctx, &adminv1.ListVHostLimitsRequest{})
	must(t, err)
	ul, err := limits.ListUserLimits(ctx, &adminv1.ListUserLimitsRequest{})
	must(t, err)
	if vl.GetLimits()[0].GetLimits()["max-queues"] != 1 || ul.GetLimits()[0].GetLimits()["max-channels"] != 7 {
		t.Errorf("limits: %v, %v", vl, ul)
	}
	queues := adminv1.NewQueueServiceClient(r.local)
	_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "v", Name: "a"}})
	must(t, err)
	_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "v", Name: "b"}})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = limits.ClearVHostLimits(ctx, &adminv1.ClearVHostLimitsRequest{Vhost: "v"})
	must(t, err)
	_, err = limits.ClearUserLimits(ctx, &adminv1.ClearUserLimitsRequest{User: "u"})
	must(t, err)
	_, err = users.DeleteUser(ctx, &adminv1.DeleteUserRequest{Name: "u"})
	must(t, err)
	_, err = vhosts.DeleteVHost(ctx, &adminv1.DeleteVHostRequest{Name: "v"})
	must(t, err)
	_, err = vhosts.DeleteVHost(ctx, &adminv1.DeleteVHostRequest{Name: "v"})
	wantCode(t, err, codes.NotFound)
}

func TestTopology(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	exchanges, bindings := adminv1.NewExchangeServiceClient(r.local), adminv1.NewBindingServiceClient(r.local)
	queues, policies := adminv1.NewQueueServiceClient(r.local), adminv1.NewPolicyServiceClient(r.local)

	_, err := exchanges.DeclareExchange(ctx, &adminv1.DeclareExchangeRequest{Exchange: &adminv1.Exchange{Vhost: "/", Name: "x", Type: "odd"}})
	wantCode(t, err, codes.InvalidArgument, "exchange.type")
	x := &adminv1.Exchange{Vhost: "/", Name: "x", Type: "topic", Durable: true, Arguments: map[string]*adminv1.Value{
		"alternate-exchange": {Kind: &adminv1.Value_StringValue{StringValue: "ae"}}}}
	for _, want := range []bool{true, false} {
		made, err := exchanges.DeclareExchange(ctx, &adminv1.DeclareExchangeRequest{Exchange: x})
		must(t, err)
		if made.GetCreated() != want {
			t.Errorf("created %v, want %v", made.GetCreated(), want)
		}
	}
	_, err = exchanges.DeclareExchange(ctx, &adminv1.DeclareExchangeRequest{Exchange: &adminv1.Exchange{Vhost: "/", Name: "x", Type: "direct", Durable: true}})
	wantCode(t, err, codes.FailedPrecondition)
	_, err = exchanges.DeclareExchange(ctx, &adminv1.DeclareExchangeRequest{Exchange: &adminv1.Exchange{Vhost: "/", Name: "ae", Type: "fanout"}})
	must(t, err)
	list, err := exchanges.ListExchanges(ctx, &adminv1.ListExchangesRequest{Vhost: "/"})
	must(t, err)
	if list.GetExchanges()[0].GetName() != "" || list.GetTotalSize() != uint64(len(list.GetExchanges())) {
		t.Errorf("exchanges: %v", list)
	}

	q := &adminv1.Queue{Vhost: "/", Name: "q", Durable: true, Arguments: map[string]*adminv1.Value{
		"x-max-length": {Kind: &adminv1.Value_IntValue{IntValue: 1000}}}}
	made, err := queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: q})
	must(t, err)
	if !made.GetCreated() {
		t.Error("queue is not new")
	}
	_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: "q", Exclusive: true}})
	wantCode(t, err, codes.InvalidArgument, "queue.exclusive")
	_, err = queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "none", Name: "q"}})
	wantCode(t, err, codes.NotFound)

	b := &adminv1.Binding{Vhost: "/", Source: "x", Destination: "q", RoutingKey: "a.#", Arguments: map[string]*adminv1.Value{
		"n": {Kind: &adminv1.Value_IntValue{IntValue: 1}}}}
	for _, want := range []bool{true, false} {
		made, err := bindings.DeclareBinding(ctx, &adminv1.DeclareBindingRequest{Binding: b})
		must(t, err)
		if made.GetCreated() != want {
			t.Errorf("binding created %v, want %v", made.GetCreated(), want)
		}
	}
	_, err = bindings.DeclareBinding(ctx, &adminv1.DeclareBindingRequest{Binding: &adminv1.Binding{Vhost: "/", Source: "none", Destination: "q"}})
	wantCode(t, err, codes.NotFound)
	bs, err := bindings.ListBindings(ctx, &adminv1.ListBindingsRequest{Vhost: "/", Destination: "q"})
	must(t, err)
	if len(bs.GetBindings()) != 1 || bs.GetBindings()[0].GetArguments()["n"].GetIntValue() != 1 {
		t.Errorf("bindings: %v", bs)
	}

	_, err = policies.PutPolicy(ctx, &adminv1.PutPolicyRequest{Policy: &adminv1.Policy{Vhost: "/", Name: "p", Pattern: "^q$", ApplyTo: "queues",
		Definition: `{"max-length": 10, "expires": 60000}`}})
	must(t, err)
	_, err = policies.PutPolicy(ctx, &adminv1.PutPolicyRequest{Policy: &adminv1.Policy{Vhost: "/", Name: "bad", Pattern: "(", Definition: `{"expires": 1}`}})
	wantCode(t, err, codes.InvalidArgument, "pattern")
	set, err := policies.GetEffectiveSettings(ctx, &adminv1.GetEffectiveSettingsRequest{Vhost: "/", Target: &adminv1.GetEffectiveSettingsRequest_Queue{Queue: "q"}})
	must(t, err)
	got := map[string]string{}
	for _, s := range set.GetSettings() {
		if s.GetIgnored() == "" {
			got[s.GetKey()] = s.GetValue() + " " + s.GetOrigin().String()
		}
	}
	if got["max-length"] != "10 SETTING_ORIGIN_POLICY" || got["expires"] != "60000 SETTING_ORIGIN_POLICY" || set.GetPolicy() != "p" {
		t.Errorf("effective settings: %v, policy %q", set.GetSettings(), set.GetPolicy())
	}
	one, err := queues.GetQueue(ctx, &adminv1.GetQueueRequest{Vhost: "/", Name: "q"})
	must(t, err)
	if one.GetQueue().GetPolicy() != "p" || one.GetBindings() != 2-1 || one.GetQueue().GetState() != adminv1.QueueState_QUEUE_STATE_RUNNING {
		t.Errorf("queue: %v", one)
	}

	route, err := adminv1.NewMessageServiceClient(r.local).ExplainRoute(ctx, &adminv1.ExplainRouteRequest{Vhost: "/", Exchange: "x", RoutingKey: "a.b"})
	must(t, err)
	if len(route.GetQueues()) != 1 || !route.GetSteps()[0].GetBindings()[0].GetMatched() {
		t.Errorf("route: %v", route)
	}
	route, err = adminv1.NewMessageServiceClient(r.local).ExplainRoute(ctx, &adminv1.ExplainRouteRequest{Vhost: "/", Exchange: "x", RoutingKey: "b"})
	must(t, err)
	if !route.GetUnroutable() || len(route.GetSteps()) != 2 || !route.GetSteps()[0].GetAlternateUsed() || route.GetSteps()[0].GetBindings()[0].GetMatched() ||
		route.GetSteps()[0].GetAlternateOrigin() != "argument" {
		t.Errorf("route: %v", route)
	}

	gone, err := bindings.DeleteBinding(ctx, &adminv1.DeleteBindingRequest{Binding: b})
	must(t, err)
	if !gone.GetDeleted() {
		t.Error("binding was not there")
	}
	_, err = policies.DeletePolicy(ctx, &adminv1.DeletePolicyRequest{Vhost: "/", Name: "p"})
	must(t, err)
	_, err = exchanges.DeleteExchange(ctx, &adminv1.DeleteExchangeRequest{Vhost: "/", Name: "x"})
	must(t, err)
	_, err = exchanges.DeleteExchange(ctx, &adminv1.DeleteExchangeRequest{Vhost: "/", Name: "x"})
	wantCode(t, err, codes.NotFound)
	_, err = queues.DeleteQueue(ctx, &adminv1.DeleteQueueRequest{Vhost: "/", Name: "q", IfEmpty: true})
	must(t, err)
	_, err = queues.DeleteQueue(ctx, &adminv1.DeleteQueueRequest{Vhost: "/", Name: "q"})
	wantCode(t, err, codes.NotFound)

	parameters := adminv1.NewParameterServiceClient(r.local)
	_, err = parameters.PutParameter(ctx, &adminv1.PutParameterRequest{Parameter: &adminv1.Parameter{Vhost: "/", Component: "c", Name: "n", Value: "{"}})
	wantCode(t, err, codes.InvalidArgument, "value")
	_, err = parameters.PutParameter(ctx, &adminv1.PutParameterRequest{Parameter: &adminv1.Parameter{Vhost: "/", Component: "c", Name: "n", Value: "{}"}})
	must(t, err)
	_, err = parameters.PutParameter(ctx, &adminv1.PutParameterRequest{Parameter: &adminv1.Parameter{Name: "global", Value: "1"}})
	must(t, err)
	pl, err := parameters.ListParameters(ctx, &adminv1.ListParametersRequest{})
	must(t, err)
	if len(pl.GetParameters()) != 2 {
		t.Errorf("parameters: %v", pl)
	}
	_, err = parameters.DeleteParameter(ctx, &adminv1.DeleteParameterRequest{Vhost: "/", Component: "c", Name: "n"})
	must(t, err)
}

func TestPages(t *testing.T) {
	r := start(t)
	ctx := context.Background()
	queues := adminv1.NewQueueServiceClient(r.local)
	for _, name := range []string{"a1", "a2", "a3", "b1", "b2"} {
		_, err := queues.DeclareQueue(ctx, &adminv1.DeclareQueueRequest{Queue: &adminv1.Queue{Vhost: "/", Name: name}})
		must(t, err)
	}
	list := func(o *adminv1.ListQueuesRequest) (names string) {
		t.Helper()
		for {
			page, err := queues.ListQueues(ctx, o)
			must(t, err)
			for _, q := range page.GetQueues() {
				names += q.GetName() + " "
			}
			if page.GetNextPageToken() == "" {
				return names
			}
			names += "| "
			o.PageToken = page.GetNextPageToken()
		}
	}
	for _, c := range []struct {
		request *adminv1.ListQueuesRequest
		want    string
	}{
		{&adminv1.ListQueuesRequest{}, "a1 a2 a3 b1 b2 "},
		{&adminv1.ListQueuesRequest{PageSize: 2}, "a1 a2 | a3 b1 | b2 "},
		{&adminv1.ListQueuesRequest{PageSize: 5}, "a1 a2 a3 b1 b2 "},
		{&adminv1.ListQueuesRequest{NamePrefix: "b"}, "b1 b2 "},
		{&adminv1.ListQueuesRequest{NameRegex: "1$", PageSize: 1}, "a1 | b1 "},
		{&adminv1.ListQueuesRequest{Vhost: "other"}, ""},
		{&adminv1.ListQueuesRequest{WithMessages: true}, ""},
	} {
		if got := list(c.request); got != c.want {
			t.Errorf("%v: got %q, want %q", c.request, got, c.want)
		}
	}
	_, err := queues.ListQueues(ctx, &adminv1.ListQueuesRequest{PageToken: "odd"})
	wantCode(t, err, codes.InvalidArgument, "page_token")
	_, err = queues.ListQueues(ctx, &adminv1.ListQueuesRequest{PageSize: 10_001})
	wantCode(t, err, codes.InvalidArgument, "page_size")
	_, err = queues.ListQueues(ctx, &adminv1.ListQueuesRequest{NameRegex: "("})
	wantCode(t, err, codes.InvalidArgument, "name_regex")
	_, err = queues.ListQueues(ctx, &adminv1.ListQueuesRequest{Node: "none"})
	wantCode(t, err, codes.NotFound)
}
