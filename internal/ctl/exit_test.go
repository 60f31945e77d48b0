package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	target := Target{Addresses: []string{"n1:8672"}}
	field, err := status.New(codes.InvalidArgument, "bad name").WithDetails(&errdetails.BadRequest{
		FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "queue.name", Description: "is longer than 255 bytes"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		err  error
		code int
		want string
	}{
		{nil, 0, ""},
		{errors.New("plain"), ExitFailure, "plain"},
		{Problemf(ExitConfig, "x"), ExitConfig, "x"},
		{fmt.Errorf("y: %w", Problemf(ExitData, "x")), ExitData, "y: x"},
		{context.Canceled, ExitInterrupted, "context canceled"},
		{status.Error(codes.NotFound, "NOT_FOUND - no queue 'q' in vhost '/'"), ExitFailure, "NOT_FOUND - no queue 'q' in vhost '/'"},
		{field.Err(), ExitData, "bad name (queue.name): is longer than 255 bytes"},
		{errors.Join(fmt.Errorf("x: %w", status.Error(codes.FailedPrecondition, "in use")), nil), ExitData, "in use"},
		{status.Error(codes.AlreadyExists, "there"), ExitCannotCreate, "there"},
		{status.Error(codes.PermissionDenied, "needs administrator"), ExitPermission, "needs administrator"},
		{status.Error(codes.Unauthenticated, "wrong"), ExitPermission, "wrong; set --user and the password (BROKERCTL_PASSWORD, --password-file)"},
		{status.Error(codes.Unimplemented, "unknown method"), ExitProtocol, "n1:8672 does not know this request (unknown method); use the brokerctl of its release"},
		{status.Error(codes.DeadlineExceeded, "x"), ExitTemporary, "n1:8672 did not answer in time; try again, or allow more with --timeout"},
		{status.Error(codes.ResourceExhausted, "too slow"), ExitTemporary, "too slow"},
		{status.Error(codes.Internal, "a\nb"), ExitInternal, "n1:8672 failed: a; b; its log says more (brokerctl logs)"},
		{status.Error(codes.Unavailable, `connection error: desc = "transport: Error while dialing: dial tcp: refused"`), ExitUnavailable,
			"cannot reach n1:8672: dial tcp: refused; is brokerd running there? (--address, --data-dir)"},
	} {
		got := Explain(c.err, target)
		text := ""
		if got != nil {
			text = got.Error()
		}
		if ExitCode(got) != c.code || text != c.want {
			t.Errorf("%v: %d, %q, want %d, %q", c.err, ExitCode(got), text, c.code, c.want)
		}
		if strings.Contains(text, "\n") {
			t.Errorf("%q has several lines", text)
		}
	}
}

func TestFileProblem(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]int{nil: 0, fs.ErrNotExist: ExitNoInput, fs.ErrPermission: ExitNoInput, fs.ErrClosed: ExitIO} {
		if got := ExitCode(FileProblem(err)); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
}
