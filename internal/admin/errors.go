package admin

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/server"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/internal/definitions"
)

// violation is INVALID_ARGUMENT for one field, named as in the request.
func violation(field, format string, args ...any) error {
	text := fmt.Sprintf(format, args...)
	return withViolations(field+": "+text, &errdetails.BadRequest_FieldViolation{Field: field, Description: text})
}

func withViolations(text string, list ...*errdetails.BadRequest_FieldViolation) error {
	st, err := status.New(codes.InvalidArgument, text).WithDetails(&errdetails.BadRequest{FieldViolations: list})
	if err != nil { // cannot be: the detail is a message of its own
		return status.Error(codes.InvalidArgument, text)
	}
	return st.Err()
}

// toStatus turns what the broker says into a status. Texts stay as AMQP clients get them.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var argument *cluster.ArgumentError
	var problems definitions.Errors
	var problem *definitions.Problem
	var amqp *wire.Error
	switch {
	case errors.As(err, &argument):
		text := "want " + argument.Want
		if argument.Value != "" {
			text = "got " + argument.Value + ", " + text
		}
		return withViolations(argument.Error(), &errdetails.BadRequest_FieldViolation{Field: argument.Field, Description: text})
	case errors.As(err, &problems):
		list := make([]*errdetails.BadRequest_FieldViolation, len(problems))
		for i, p := range problems {
			list[i] = &errdetails.BadRequest_FieldViolation{Field: p.Field, Description: p.Error()}
		}
		return withViolations(err.Error(), list...)
	case errors.As(err, &problem):
		return withViolations(err.Error(), &errdetails.BadRequest_FieldViolation{Field: problem.Field, Description: problem.Error()})
	case errors.As(err, &amqp):
		return status.Error(amqpCodes[amqp.Code], amqp.Text)
	}
	return status.Error(codeOf(err), err.Error())
}

// amqpCodes are the codes of AMQP errors; INTERNAL_ERROR is what the cluster could not do at the moment.
var amqpCodes = map[wire.ReplyCode]codes.Code{
	wire.AccessRefused:      codes.PermissionDenied,
	wire.NotFound:           codes.NotFound,
	wire.ResourceLocked:     codes.FailedPrecondition,
	wire.PreconditionFailed: codes.FailedPrecondition,
	wire.CommandInvalid:     codes.InvalidArgument,
	wire.SyntaxError:        codes.InvalidArgument,
	wire.NotAllowed:         codes.FailedPrecondition,
	wire.NotImplemented:     codes.InvalidArgument,
	wire.InternalError:      codes.Unavailable,
	wire.ResourceError:      codes.ResourceExhausted,
	wire.ConnectionForced:   codes.Unavailable,
}

// statusCodes are the codes of other errors, the first that matches.
var statusCodes = []struct {
	err  error
	code codes.Code
}{
	{context.DeadlineExceeded, codes.DeadlineExceeded},
	{context.Canceled, codes.Canceled},
	{meta.ErrNoVHost, codes.NotFound},
	{meta.ErrNoUser, codes.NotFound},
	{meta.ErrNoExchange, codes.NotFound},
	{meta.ErrNoQueue, codes.NotFound},
	{meta.ErrNoPolicy, codes.NotFound},
	{meta.ErrNoParameter, codes.NotFound},
	{meta.ErrNoNode, codes.NotFound},
	{meta.ErrExchangeInUse, codes.FailedPrecondition},
	{meta.ErrVHostProtected, codes.FailedPrecondition},
	{meta.ErrNodeInUse, codes.FailedPrecondition},
	{meta.ErrNodeNameTaken, codes.AlreadyExists},
	{meta.ErrNoSuccessor, codes.FailedPrecondition},
	{meta.ErrTooNew, codes.FailedPrecondition},
	{meta.ErrTooLarge, codes.InvalidArgument},
	{meta.ErrInvalidArgument, codes.InvalidArgument},
	{meta.ErrNotLeader, codes.Unavailable},
	{meta.ErrNoLeader, codes.Unavailable},
	{meta.ErrLeadershipLost, codes.Unavailable},
	{meta.ErrTimeout, codes.Unavailable},
	{meta.ErrShutdown, codes.Unavailable},
	{meta.ErrOwnerEnded, codes.Unavailable},
	{cluster.ErrNodeAlive, codes.FailedPrecondition},
	{cluster.ErrFormation, codes.FailedPrecondition},
	{cluster.ErrCannotMove, codes.FailedPrecondition},
	{cluster.ErrRebalancing, codes.FailedPrecondition},
	{queue.ErrGone, codes.NotFound},
	{queue.ErrUnavailable, codes.Unavailable},
	{queue.ErrInUse, codes.FailedPrecondition},
	{queue.ErrNotEmpty, codes.FailedPrecondition},
	{queue.ErrExclusiveUse, codes.FailedPrecondition},
	{server.ErrBlocked, codes.Unavailable},
}

func codeOf(err error) codes.Code {
	for _, s := range statusCodes {
		if errors.Is(err, s.err) {
			return s.code
		}
	}
	return codes.Internal
}

func noVHost(name string) error { return &meta.NameError{Err: meta.ErrNoVHost, Name: name} }
