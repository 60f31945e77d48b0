package admin_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/internal/admin/socket"
	"github.com/brokerd/brokerd/internal/config"
	"github.com/brokerd/brokerd/internal/node"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

func TestMain(m *testing.M) {
	// Badger's table cache has a goroutine for the life of the process.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// rig is a running node with connections to its admin API.
type rig struct {
	t     testing.TB
	node  *node.Node
	dir   string
	local *grpc.ClientConn // over the socket
}

// start starts a node on free ports.
func start(t testing.TB, edit ...func(*config.Config)) *rig {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.AMQP.Listen = []string{"127.0.0.1:0"}
	cfg.Admin.Listen = "127.0.0.1:0"
	cfg.HTTP.Listen, cfg.Cluster.Listen = "", ""
	cfg.Store.Sync = config.SyncOS
	cfg.Memory.Limit = 1 << 30
	for _, e := range edit {
		e(cfg)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if os.Getenv("ADMIN_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	n, err := node.Start(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, node: n, dir: cfg.DataDir}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	r.local = r.dial("unix", grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return socket.Dial(ctx, socket.Path(r.dir))
	}))
	return r
}

// dial connects to the admin API.
func (r *rig) dial(address string, o ...grpc.DialOption) *grpc.ClientConn {
	r.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20)),
	}, o...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// tcp connects as a user.
func (r *rig) tcp(user, password string) *grpc.ClientConn {
	r.t.Helper()
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return r.dial(r.node.AdminAddr(),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, o ...grpc.CallOption) error {
			return invoke(metadata.AppendToOutgoingContext(ctx, "authorization", header), method, req, reply, cc, o...)
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, stream grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			return stream(metadata.AppendToOutgoingContext(ctx, "authorization", header), d, cc, method, o...)
		}))
}

// user creates a user with tags and, in the vhosts given, all permissions.
func (r *rig) user(name string, tags []string, vhosts ...string) *grpc.ClientConn {
	r.t.Helper()
	ctx := context.Background()
	_, err := adminv1.NewUserServiceClient(r.local).PutUser(ctx, &adminv1.PutUserRequest{Name: name, Tags: tags,
		Secret: &adminv1.Secret{Secret: &adminv1.Secret_Password{Password: name}}})
	must(r.t, err)
	for _, v := range vhosts {
		_, err := adminv1.NewPermissionServiceClient(r.local).SetPermission(ctx, &adminv1.SetPermissionRequest{
			Permission: &adminv1.Permission{User: name, Vhost: v, Configure: ".*", Write: ".*", Read: ".*"}})
		must(r.t, err)
	}
	return r.tcp(name, name)
}

// amqp opens a channel.
func (r *rig) amqp() (*amqp.Connection, *amqp.Channel) {
	r.t.Helper()
	conn, err := amqp.DialConfig("amqp://guest:guest@"+r.node.Addrs()[0]+"/", amqp.Config{Properties: amqp.Table{"connection_name": "rig"}})
	must(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	must(r.t, err)
	return conn, ch
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode checks the code of an error and, if fields are given, the fields that it names.
func wantCode(t testing.TB, err error, code codes.Code, fields ...string) {
	t.Helper()
	if status.Code(err) != code {
		t.Fatalf("got %v, want code %v", err, code)
	}
	var named []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				named = append(named, v.GetField())
			}
		}
	}
	if len(fields) > 0 && fmt.Sprint(named) != fmt.Sprint(fields) {
		t.Fatalf("%v names the fields %v, want %v", err, named, fields)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}
