package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes of brokerctl, as in sysexits.h where that has one.
const (
	// ExitFailure says that what was asked for is not there, that a comparison found differences, or that a check failed.
	ExitFailure = 1
	// ExitUsage says that the command line is wrong.
	ExitUsage = 64
	// ExitData says that a value, a file or the state of an object does not allow it.
	ExitData = 65
	// ExitNoInput says that a file cannot be read.
	ExitNoInput = 66
	// ExitUnavailable says that the node cannot be reached or is not healthy.
	ExitUnavailable = 69
	// ExitInternal says that the node or brokerctl made a mistake.
	ExitInternal = 70
	// ExitCannotCreate says that a file or an object cannot be made because it is there.
	ExitCannotCreate = 73
	// ExitIO says that reading or writing failed on the way.
	ExitIO = 74
	// ExitTemporary says that it may work later: a timeout, a shortage, no leader.
	ExitTemporary = 75
	// ExitProtocol says that the node does not know what was asked: it runs another release.
	ExitProtocol = 76
	// ExitPermission says that the user or password is wrong or that the user may not do it.
	ExitPermission = 77
	// ExitConfig says that the configuration file of brokerctl is wrong.
	ExitConfig = 78
	// ExitInterrupted says that a signal ended the command, as shells have it.
	ExitInterrupted = 130
)

// Problem is an error with its exit code.
type Problem struct {
	Code int
	Err  error
}

// Error implements error.
func (p *Problem) Error() string { return p.Err.Error() }

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Problemf makes an error with an exit code.
func Problemf(code int, format string, args ...any) error {
	return &Problem{code, fmt.Errorf(format, args...)}
}

// ExitCode returns the exit code for err, 0 for nil.
func ExitCode(err error) int {
	var p *Problem
	switch {
	case err == nil:
		return 0
	case errors.As(err, &p):
		return p.Code
	case errors.Is(err, context.Canceled):
		return ExitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return ExitTemporary
	}
	if s, ok := status.FromError(err); ok {
		return exitOfStatus(s.Code())
	}
	return ExitFailure
}

func exitOfStatus(c codes.Code) int {
	switch c {
	case codes.NotFound:
		return ExitFailure
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return ExitData
	case codes.AlreadyExists:
		return ExitCannotCreate
	case codes.Unavailable:
		return ExitUnavailable
	case codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return ExitTemporary
	case codes.Unimplemented:
		return ExitProtocol
	case codes.PermissionDenied, codes.Unauthenticated:
		return ExitPermission
	case codes.Canceled:
		return ExitInterrupted
	}
	return ExitInternal
}

// Explain makes an error of a call to the node that target names into one line that says what to do, and gives it its exit code.
// Errors that are no gRPC status are returned as they are.
func Explain(err error, target Target) error {
	if err == nil {
		return nil
	}
	var p *Problem
	if errors.As(err, &p) {
		return err
	}
	// What wraps the status says nothing that matters here, and status.FromError would put it all into the text.
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return err
	}
	s := carrier.GRPCStatus()
	return &Problem{exitOfStatus(s.Code()), &statusError{explainStatus(s, target), err}}
}

// statusError has another text than the error that it wraps.
type statusError struct {
	text string
	err  error
}

func (e *statusError) Error() string { return e.text }
func (e *statusError) Unwrap() error { return e.err }

func explainStatus(s *status.Status, target Target) string {
	text := oneLine(s.Message())
	switch s.Code() {
	case codes.Unavailable:
		return fmt.Sprintf("cannot reach %s: %s; is brokerd running there? (--address, --data-dir)", target, dialText(text))
	case codes.DeadlineExceeded:
		return fmt.Sprintf("%s did not answer in time; try again, or allow more with --timeout", target)
	case codes.Unauthenticated:
		return text + "; set --user and the password (BROKERCTL_PASSWORD, --password-file)"
	case codes.Unimplemented:
		return fmt.Sprintf("%s does not know this request (%s); use the brokerctl of its release", target, text)
	case codes.Canceled:
		return "interrupted"
	}
	for _, d := range s.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			text = withFields(text, bad)
		}
	}
	if s.Code() == codes.Internal || s.Code() == codes.Unknown {
		text = fmt.Sprintf("%s failed: %s; its log says more (brokerctl logs)", target, text)
	}
	return text
}

// dialText takes what matters out of what gRPC says of a connection that failed.
func dialText(text string) string {
	const dialing, handshake = "error while dialing: ", "authentication handshake failed: "
	for _, mark := range []string{dialing, handshake} {
		if i := strings.Index(strings.ToLower(text), mark); i >= 0 {
			text = strings.TrimSuffix(text[i+len(mark):], `"`)
			if mark == handshake {
				text = "TLS: " + text
			}
		}
	}
	return text
}

// withFields adds the names of the fields that are wrong, unless the text has them already.
func withFields(text string, bad *errdetails.BadRequest) string {
	for _, v := range bad.GetFieldViolations() {
		if v.GetField() != "" && !strings.Contains(text, v.GetField()) {
			text += fmt.Sprintf(" (%s)", v.GetField())
		}
		if d := oneLine(v.GetDescription()); d != "" && !strings.Contains(text, d) {
			text += ": " + d
		}
	}
	return text
}

// oneLine joins lines, so that an error is one line whatever the node sends.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// FileProblem gives an error about a file that was to be read its exit code.
func FileProblem(err error) error {
	if err == nil {
		return nil
	}
	code := ExitIO
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		code = ExitNoInput
	}
	return &Problem{code, err}
}
