package admin

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// PeerServices are the services as other nodes reach them. They are registered before there is a broker, because nodes must be able
// to find each other first; until Open they answer UNAVAILABLE.
type PeerServices struct {
	api   *api
	ready atomic.Bool // set once api is complete, which nobody reads before
}

// NewPeerServices returns services that are not open.
func NewPeerServices() *PeerServices { return &PeerServices{api: &api{trusted: true}} }

// Register adds the services to the gRPC server for other nodes, which authenticates them: whoever can call it may do everything.
func (p *PeerServices) Register(r grpc.ServiceRegistrar) { p.api.register(&gate{r, p}) }

// Open lets the services answer for s. It is called once.
func (p *PeerServices) Open(s *Server) {
	p.api.Options, p.api.log, p.api.started = s.opts, s.log, s.api.started
	p.ready.Store(true)
}

func (p *PeerServices) check() error {
	if !p.ready.Load() {
		return status.Error(codes.Unavailable, "the node is starting")
	}
	return nil
}

// gate registers services whose methods wait for nothing, but refuse until the services are open.
type gate struct {
	grpc.ServiceRegistrar
	services *PeerServices
}

// RegisterService implements grpc.ServiceRegistrar.
func (g *gate) RegisterService(d *grpc.ServiceDesc, impl any) {
	gated := *d
	gated.Methods = append([]grpc.MethodDesc(nil), d.Methods...)
	for i := range gated.Methods {
		handler := gated.Methods[i].Handler
		gated.Methods[i].Handler = func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			if err := g.services.check(); err != nil {
				return nil, err
			}
			response, err := handler(srv, ctx, decode, interceptor)
			return response, toStatus(err)
		}
	}
	gated.Streams = append([]grpc.StreamDesc(nil), d.Streams...)
	for i := range gated.Streams {
		handler := gated.Streams[i].Handler
		gated.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
			if err := g.services.check(); err != nil {
				return err
			}
			return toStatus(handler(srv, stream))
		}
	}
	g.ServiceRegistrar.RegisterService(&gated, impl)
}
