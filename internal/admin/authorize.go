package admin

import (
	"context"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// check says whether the caller may use the method with this request.
func (s *Server) check(c *caller, method string, request any) error {
	r, ok := rules[method]
	if !ok {
		return status.Errorf(codes.PermissionDenied, "nobody may use %s", method)
	}
	if !c.has(r.tag) {
		return status.Errorf(codes.PermissionDenied, "user '%s' needs the tag %s for %s", c.name, r.tag, method)
	}
	if r.free == "" || c.has(r.free) {
		return nil
	}
	vhost, named := vhostOf(request)
	if named && s.opts.Broker.State().Permission(c.name, vhost) == nil {
		return status.Errorf(codes.PermissionDenied, "access to vhost '%s' refused for user '%s'", vhost, c.name)
	}
	return nil
}

// unary is the interceptor for methods with one answer.
func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if open[info.FullMethod] {
		return handler(ctx, request)
	}
	c, err := s.identify(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.check(c, info.FullMethod, request); err != nil {
		s.refused(c, info.FullMethod, err)
		return nil, err
	}
	begin := time.Now()
	response, err := handler(context.WithValue(ctx, callerKey{}, c), request)
	err = toStatus(err)
	if rules[info.FullMethod].change {
		s.changed(c, info.FullMethod, request, begin, err)
	}
	return response, err
}

// stream is the interceptor for methods with many answers.
func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if open[info.FullMethod] {
		return handler(srv, ss)
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return status.Errorf(codes.ResourceExhausted, "%d streams are open already: end one first", cap(s.streams))
	}
	c, err := s.identify(ss.Context())
	if err != nil {
		return err
	}
	checked := &checkedStream{ServerStream: ss, server: s, method: info.FullMethod, caller: c,
		ctx: context.WithValue(ss.Context(), callerKey{}, c)}
	begin := time.Now()
	err = toStatus(handler(srv, checked))
	if rules[info.FullMethod].change {
		s.changed(c, info.FullMethod, checked.request, begin, err)
	}
	return err
}

// checkedStream checks the request when it has come.
type checkedStream struct {
	grpc.ServerStream
	server  *Server
	method  string
	caller  *caller
	ctx     context.Context
	request any
}

// Context implements grpc.ServerStream.
func (c *checkedStream) Context() context.Context { return c.ctx }

// RecvMsg implements grpc.ServerStream.
func (c *checkedStream) RecvMsg(m any) error {
	if err := c.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	c.request = m
	if err := c.server.check(c.caller, c.method, m); err != nil {
		c.server.refused(c.caller, c.method, err)
		return err
	}
	return nil
}

// refused logs an attempt that was not allowed.
func (s *Server) refused(c *caller, method string, err error) {
	s.log.Warn("admin request refused", "user", c.title(), "address", c.address, "method", method, "error", status.Convert(err).Message())
}

// changed logs what was changed, or could not be.
func (s *Server) changed(c *caller, method string, request any, begin time.Time, err error) {
	args := []any{"user", c.title(), "address", c.address, "method", method, "request", describe(request),
		"took", time.Since(begin).Round(time.Millisecond)}
	if err != nil {
		s.log.Warn("admin change failed", append(args, "error", status.Convert(err).Message())...)
		return
	}
	s.log.Info("admin change", args...)
}

// maxDescription bounds what is logged of a request, in bytes.
const maxDescription = 1000

// hidden are the fields of requests that are not logged: secrets, and contents of messages and files.
var hidden = map[protoreflect.Name]bool{"secret": true, "password": true, "body": true, "definitions": true, "properties": true}

// describe returns what the log says about a request.
func describe(request any) string {
	m, ok := request.(proto.Message)
	if !ok {
		return ""
	}
	shown := proto.Clone(m)
	r := shown.ProtoReflect()
	r.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if hidden[f.Name()] {
			r.Clear(f)
		}
		return true
	})
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(shown)
	if err != nil {
		return err.Error()
	}
	if len(text) > maxDescription {
		text = text[:maxDescription]
		for !utf8.Valid(text) {
			text = text[:len(text)-1]
		}
		return string(text) + "..."
	}
	return string(text)
}
