package admin

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// sees says whether the caller may know what is in a vhost: he has permissions there, or the tag that needs none.
func (a *api) sees(c *caller, vhost string, free tag) bool {
	return c.has(free) || a.Broker.State().Permission(c.name, vhost) != nil
}

// visible returns sees for one caller, with what was found out for the last vhost: lists go vhost by vhost.
func (a *api) visible(c *caller, free tag) func(vhost string) bool {
	last, known, sees := "", false, false
	return func(vhost string) bool {
		if !known || vhost != last {
			last, known, sees = vhost, true, a.sees(c, vhost, free)
		}
		return sees
	}
}

// putMode checks what a put does with what is there.
func putMode(mode adminv1.PutMode, exists bool, kind, name string) error {
	switch {
	case mode == adminv1.PutMode_PUT_MODE_CREATE && exists:
		return status.Errorf(codes.AlreadyExists, "%s '%s' exists already", kind, name)
	case mode == adminv1.PutMode_PUT_MODE_UPDATE && !exists:
		return status.Errorf(codes.NotFound, "no %s '%s'", kind, name)
	}
	return nil
}

// actor returns ctx in the name of the caller, which events show.
func (a *api) actor(ctx context.Context) context.Context {
	return cluster.WithActor(ctx, a.callerOf(ctx).name)
}

// vhostFigures are what vhosts have, by name.
type vhostFigures struct{ ready, unacked, connections uint64 }

// figures sums up what the nodes know of their vhosts.
func (a *api) figures(ctx context.Context) (sums map[string]*vhostFigures, unreachable []string) {
	sums = a.localFigures()
	answers, unreachable := gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.ListVHostsResponse, error) {
		return adminv1.NewVHostServiceClient(conn).ListVHosts(ctx, &adminv1.ListVHostsRequest{PageSize: maxPage})
	})
	for _, r := range answers {
		for _, v := range r.GetVhosts() {
			f := sums[v.GetName()]
			if f == nil {
				f = &vhostFigures{}
				sums[v.GetName()] = f
			}
			f.ready += v.GetMessagesReady()
			f.unacked += v.GetMessagesUnacknowledged()
			f.connections += v.GetConnections()
		}
	}
	return sums, unreachable
}

// localFigures are those of this node.
func (a *api) localFigures() map[string]*vhostFigures {
	sums := make(map[string]*vhostFigures)
	of := func(vhost string) *vhostFigures {
		f := sums[vhost]
		if f == nil {
			f = &vhostFigures{}
			sums[vhost] = f
		}
		return f
	}
	for q, st := range a.Broker.LedQueues() {
		f := of(text(q.VHost))
		f.ready += uint64(st.Ready)
		f.unacked += uint64(st.Unacked)
	}
	for _, c := range a.AMQP.Connections() {
		of(text(c.VHost)).connections++
	}
	return sums
}

// ListVHosts implements adminv1.VHostServiceServer. A node that asks gets the figures of this node only.
func (a *api) ListVHosts(ctx context.Context, r *adminv1.ListVHostsRequest) (*adminv1.ListVHostsResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	c, s := a.callerOf(ctx), a.Broker.State()
	list, next, total := take(p, func(yield func(string, *meta.VHost) bool) {
		for v := range s.VHosts() {
			if f.match(v.Name) && a.sees(c, v.Name, monitoring) && !yield(keyOf(v.Name), v) {
				return
			}
		}
	})
	var sums map[string]*vhostFigures
	out := &adminv1.ListVHostsResponse{NextPageToken: next, TotalSize: total}
	if a.trusted {
		sums = a.localFigures()
	} else {
		sums, out.UnreachableNodes = a.figures(ctx)
	}
	for _, v := range list {
		out.Vhosts = append(out.Vhosts, a.vhost(v, sums))
	}
	return out, nil
}

func (a *api) vhost(v *meta.VHost, sums map[string]*vhostFigures) *adminv1.VHost {
	out := &adminv1.VHost{
		Name: text(v.Name), Description: text(v.Description), Tags: texts(v.Tags), DefaultQueueType: v.DefaultQueueType,
		Tracing: v.Tracing, Protected: v.Protected, Queues: uint64(a.Broker.VHostUsage(v.Name).Queues),
	}
	if f := sums[out.Name]; f != nil {
		out.MessagesReady, out.MessagesUnacknowledged, out.Connections = f.ready, f.unacked, f.connections
	}
	return out
}

// GetVHost implements adminv1.VHostServiceServer.
func (a *api) GetVHost(ctx context.Context, r *adminv1.GetVHostRequest) (*adminv1.GetVHostResponse, error) {
	v := a.Broker.State().VHost(r.GetName())
	if v == nil {
		return nil, &meta.NameError{Err: meta.ErrNoVHost, Name: r.GetName()}
	}
	if c := a.callerOf(ctx); !a.sees(c, v.Name, monitoring) {
		return nil, status.Errorf(codes.PermissionDenied, "access to vhost '%s' refused for user '%s'", v.Name, c.name)
	}
	sums, unreachable := a.figures(ctx)
	return &adminv1.GetVHostResponse{Vhost: a.vhost(v, sums), UnreachableNodes: unreachable}, nil
}

// PutVHost implements adminv1.VHostServiceServer.
func (a *api) PutVHost(ctx context.Context, r *adminv1.PutVHostRequest) (*adminv1.PutVHostResponse, error) {
	v := r.GetVhost()
	if v == nil {
		return nil, violation("vhost", "want a virtual host")
	}
	if err := putMode(r.GetMode(), a.Broker.State().VHost(v.GetName()) != nil, "vhost", v.GetName()); err != nil {
		return nil, err
	}
	created, err := a.Broker.PutVHost(a.actor(ctx), meta.VHost{
		Name: v.GetName(), Description: v.GetDescription(), Tags: v.GetTags(), DefaultQueueType: v.GetDefaultQueueType(),
		Tracing: v.GetTracing(), Protected: v.GetProtected(),
	})
	if err != nil {
		return nil, toStatus(err)
	}
	if c := a.callerOf(ctx); created && c.name != "" && a.Broker.State().User(c.name) != nil {
		_, err = a.Broker.SetPermission(a.actor(ctx), meta.Permission{User: c.name, VHost: v.GetName(), Configure: ".*", Write: ".*", Read: ".*"})
	}
	return &adminv1.PutVHostResponse{Created: created}, toStatus(err)
}

// DeleteVHost implements adminv1.VHostServiceServer.
func (a *api) DeleteVHost(ctx context.Context, r *adminv1.DeleteVHostRequest) (*adminv1.DeleteVHostResponse, error) {
	return &adminv1.DeleteVHostResponse{}, toStatus(a.Broker.DeleteVHost(a.actor(ctx), r.GetName()))
}

// all matches every connection.
func allConnections(server.Connection) bool { return true }

// inVHost yields what is in one vhost, or in all.
func inVHost[T any](vhost string, one func(string) iter.Seq[T], all func() iter.Seq[T]) iter.Seq[T] {
	if vhost == "" {
		return all()
	}
	return one(vhost)
}
