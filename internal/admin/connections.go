package admin

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/brokerd/brokerd/amqp/server"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// ownUser returns the user whose connections the caller sees, empty for all: those without the tag need see their own.
func (a *api) ownUser(ctx context.Context, need tag) string {
	if c := a.callerOf(ctx); !c.has(need) {
		return c.name
	}
	return ""
}

// wanted returns what connections a list is about.
func wanted(vhost, user, own string) func(server.Connection) bool {
	return func(c server.Connection) bool {
		return (vhost == "" || c.VHost == vhost) && (user == "" || c.User == user) && (own == "" || c.User == own)
	}
}

// askFor returns the user to ask other nodes for, and whether there is anything to ask: a caller who sees his own connections only
// and asks for those of somebody else gets none.
func askFor(user, own string) (ask string, any bool) {
	if own == "" {
		return user, true
	}
	return own, user == "" || user == own
}

// ListConnections implements adminv1.ConnectionServiceServer.
func (a *api) ListConnections(ctx context.Context, r *adminv1.ListConnectionsRequest) (*adminv1.ListConnectionsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	user, any := askFor(r.GetUser(), a.ownUser(ctx, monitoring))
	if !any {
		return &adminv1.ListConnectionsResponse{}, nil
	}
	var all []server.ConnectionStatus
	for _, c := range a.AMQP.ConnectionStatuses(wanted(r.GetVhost(), user, "")) {
		if f.match(c.Title()) || f.expr != nil && f.prefix == "" && f.expr.MatchString(c.Name) {
			all = append(all, c)
		}
	}
	list, next, total := take(p, sorted(all, func(c server.ConnectionStatus) string { return keyOf(text(c.Title())) }))
	out := &adminv1.ListConnectionsResponse{NextPageToken: next, TotalSize: total}
	for i := range list {
		out.Connections = append(out.Connections, a.connectionOf(&list[i]))
	}
	if r.GetLocalOnly() {
		return out, nil
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.ListConnectionsResponse, error) {
		return adminv1.NewConnectionServiceClient(conn).ListConnections(ctx, &adminv1.ListConnectionsRequest{
			PageSize: uint32(p.size), PageToken: r.GetPageToken(), Vhost: r.GetVhost(), User: user, NamePrefix: r.GetNamePrefix(),
			NameRegex: r.GetNameRegex(), LocalOnly: true}, grpc.MaxCallRecvMsgSize(maxAnswer))
	})
	parts, more := [][]*adminv1.Connection{out.Connections}, next != ""
	for _, one := range answers {
		parts = append(parts, one.GetConnections())
		more = more || one.GetNextPageToken() != ""
		out.TotalSize += one.GetTotalSize()
	}
	out.UnreachableNodes = unreachable
	out.Connections, out.NextPageToken = merge(p, func(c *adminv1.Connection) string { return keyOf(c.GetName()) }, parts, more)
	return out, nil
}

var connectionStates = map[server.ConnectionState]adminv1.ConnectionState{
	server.ConnectionRunning: adminv1.ConnectionState_CONNECTION_STATE_RUNNING,
	server.ConnectionFlow:    adminv1.ConnectionState_CONNECTION_STATE_FLOW,
	server.ConnectionBlocked: adminv1.ConnectionState_CONNECTION_STATE_BLOCKED,
}

func (a *api) connectionOf(c *server.ConnectionStatus) *adminv1.Connection {
	return &adminv1.Connection{
		Name: text(c.Title()), Node: a.nodeName(a.Broker.NodeID()), Id: c.ID, Vhost: text(c.VHost), User: text(c.User), PeerAddress: c.Peer,
		LocalAddress: c.Local, State: connectionStates[c.State], Channels: uint32(max(c.Channels, 0)), Connected: timestamppb.New(c.Since),
		ClientProperties: fieldsOf(c.ClientProperties), ClientName: text(c.Name), Mechanism: text(c.Mechanism), Tls: c.TLSVersion != "",
		HeartbeatSeconds: uint32(c.Heartbeat / time.Second), FrameMax: c.FrameMax, ChannelMax: uint32(c.ChannelMax),
		ReceivedBytes: c.Received, SentBytes: c.Sent, ReceiveRate: c.ReceiveRate, SendRate: c.SendRate, Messages: countsOf(c.Counts),
	}
}

func countsOf(c server.Counts) *adminv1.MessageCounts {
	return &adminv1.MessageCounts{Published: c.Published, Confirmed: c.Confirmed, Returned: c.Returned, Dropped: c.Dropped,
		Delivered: c.Delivered, Got: c.Got, Acknowledged: c.Acknowledged, Rejected: c.Rejected}
}

// errNoConnection is NOT_FOUND; to those who may not see a connection it is not there.
func errNoConnection(name string) error {
	return status.Errorf(codes.NotFound, "no connection '%s'", name)
}

// GetConnection implements adminv1.ConnectionServiceServer.
func (a *api) GetConnection(ctx context.Context, r *adminv1.GetConnectionRequest) (*adminv1.GetConnectionResponse, error) {
	own := a.ownUser(ctx, monitoring)
	list := a.AMQP.ConnectionStatuses(func(c server.Connection) bool {
		return (own == "" || c.User == own) && text(c.Title()) == r.GetName()
	})
	if len(list) > 0 {
		return &adminv1.GetConnectionResponse{Connection: a.connectionOf(&list[0])}, nil
	}
	if r.GetLocalOnly() {
		return nil, errNoConnection(r.GetName())
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.GetConnectionResponse, error) {
		out, err := adminv1.NewConnectionServiceClient(conn).GetConnection(ctx, &adminv1.GetConnectionRequest{Name: r.GetName(), LocalOnly: true})
		return out, foundElsewhere(err)
	})
	for _, one := range answers {
		if c := one.GetConnection(); c != nil && (own == "" || c.GetUser() == own) {
			return one, nil
		}
	}
	return nil, elsewhere(errNoConnection(r.GetName()), unreachable)
}

// foundElsewhere takes NOT_FOUND for an answer: the connection is not on that node.
func foundElsewhere(err error) error {
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// elsewhere says that what was not found may be on a node that did not answer.
func elsewhere(notFound error, unreachable []string) error {
	if len(unreachable) == 0 {
		return notFound
	}
	return status.Errorf(codes.Unavailable, "%s on the nodes that answered; %v did not", status.Convert(notFound).Message(), unreachable)
}

// defaultReason is what clients are told when the operator gives none.
const defaultReason = "closed by the administrator"

// reasonOf checks the reason for closing connections.
func reasonOf(reason string) (string, error) {
	const most = 200
	if reason == "" {
		return defaultReason, nil
	}
	if len(reason) > most {
		return "", violation("reason", "got %d bytes, want at most %d", len(reason), most)
	}
	return reason, nil
}

// CloseConnection implements adminv1.ConnectionServiceServer.
func (a *api) CloseConnection(ctx context.Context, r *adminv1.CloseConnectionRequest) (*adminv1.CloseConnectionResponse, error) {
	reason, err := reasonOf(r.GetReason())
	if err != nil {
		return nil, err
	}
	if own := a.ownUser(ctx, administrator); own != "" {
		// Whose it is must be known before another node is asked to close it.
		c, err := a.GetConnection(ctx, &adminv1.GetConnectionRequest{Name: r.GetName()})
		if err != nil {
			return nil, err
		}
		if c.GetConnection().GetUser() != own {
			return nil, status.Errorf(codes.PermissionDenied, "user '%s' needs the tag %s to close connections of other users", own, administrator)
		}
	}
	if a.AMQP.CloseConnections(reason, func(c server.Connection) bool { return text(c.Title()) == r.GetName() }) > 0 {
		return &adminv1.CloseConnectionResponse{}, nil
	}
	if r.GetLocalOnly() {
		return nil, errNoConnection(r.GetName())
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (bool, error) {
		_, err := adminv1.NewConnectionServiceClient(conn).CloseConnection(ctx, &adminv1.CloseConnectionRequest{Name: r.GetName(), Reason: reason, LocalOnly: true})
		return err == nil, foundElsewhere(err)
	})
	for _, closed := range answers {
		if closed {
			return &adminv1.CloseConnectionResponse{}, nil
		}
	}
	return nil, elsewhere(errNoConnection(r.GetName()), unreachable)
}

// CloseConnections implements adminv1.ConnectionServiceServer. Those who are no administrators close their own.
func (a *api) CloseConnections(ctx context.Context, r *adminv1.CloseConnectionsRequest) (*adminv1.CloseConnectionsResponse, error) {
	reason, err := reasonOf(r.GetReason())
	if err != nil {
		return nil, err
	}
	if r.GetVhost() == "" && r.GetUser() == "" && !r.GetAll() {
		return nil, violation("all", "want true to close the connections of all virtual hosts and users, or else a vhost or a user")
	}
	user, any := askFor(r.GetUser(), a.ownUser(ctx, administrator))
	if !any {
		return nil, status.Errorf(codes.PermissionDenied, "the tag %s is needed to close connections of other users", administrator)
	}
	out := &adminv1.CloseConnectionsResponse{}
	out.Closed = uint64(a.AMQP.CloseConnections(reason, wanted(r.GetVhost(), user, "")))
	if r.GetLocalOnly() {
		return out, nil
	}
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.CloseConnectionsResponse, error) {
		return adminv1.NewConnectionServiceClient(conn).CloseConnections(ctx, &adminv1.CloseConnectionsRequest{Vhost: r.GetVhost(), User: user,
			Reason: reason, All: r.GetAll(), LocalOnly: true})
	})
	for _, one := range answers {
		out.Closed += one.GetClosed()
	}
	out.UnreachableNodes = unreachable
	return out, nil
}

// errSlow is returned to those who do not read what they watch.
var errSlow = errors.New("the reader is too slow")
