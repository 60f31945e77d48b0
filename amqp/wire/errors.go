package wire

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// ReplyCode is the code of connection.close, channel.close and basic.return.
type ReplyCode uint16

// Reply codes of AMQP 0-9-1.
const (
	ReplySuccess       ReplyCode = 200
	ContentTooLarge    ReplyCode = 311
	NoRoute            ReplyCode = 312
	NoConsumers        ReplyCode = 313
	ConnectionForced   ReplyCode = 320
	InvalidPath        ReplyCode = 402
	AccessRefused      ReplyCode = 403
	NotFound           ReplyCode = 404
	ResourceLocked     ReplyCode = 405
	PreconditionFailed ReplyCode = 406
	FrameError         ReplyCode = 501
	SyntaxError        ReplyCode = 502
	CommandInvalid     ReplyCode = 503
	ChannelError       ReplyCode = 504
	UnexpectedFrame    ReplyCode = 505
	ResourceError      ReplyCode = 506
	NotAllowed         ReplyCode = 530
	NotImplemented     ReplyCode = 540
	InternalError      ReplyCode = 541
)

// String returns the name that reply texts begin with, such as "NOT_FOUND".
func (c ReplyCode) String() string {
	switch c {
	case ReplySuccess:
		return "REPLY_SUCCESS"
	case ContentTooLarge:
		return "CONTENT_TOO_LARGE"
	case NoRoute:
		return "NO_ROUTE"
	case NoConsumers:
		return "NO_CONSUMERS"
	case ConnectionForced:
		return "CONNECTION_FORCED"
	case InvalidPath:
		return "INVALID_PATH"
	case AccessRefused:
		return "ACCESS_REFUSED"
	case NotFound:
		return "NOT_FOUND"
	case ResourceLocked:
		return "RESOURCE_LOCKED"
	case PreconditionFailed:
		return "PRECONDITION_FAILED"
	case FrameError:
		return "FRAME_ERROR"
	case SyntaxError:
		return "SYNTAX_ERROR"
	case CommandInvalid:
		return "COMMAND_INVALID"
	case ChannelError:
		return "CHANNEL_ERROR"
	case UnexpectedFrame:
		return "UNEXPECTED_FRAME"
	case ResourceError:
		return "RESOURCE_ERROR"
	case NotAllowed:
		return "NOT_ALLOWED"
	case NotImplemented:
		return "NOT_IMPLEMENTED"
	case InternalError:
		return "INTERNAL_ERROR"
	}
	return fmt.Sprintf("REPLY_CODE_%d", uint16(c))
}

// Hard reports whether an error with this code closes the connection rather than one channel. Codes that AMQP does not define
// are hard.
func (c ReplyCode) Hard() bool {
	switch c {
	case ReplySuccess, ContentTooLarge, NoRoute, NoConsumers, AccessRefused, NotFound, ResourceLocked, PreconditionFailed:
		return false
	}
	return true
}

// ErrUnknownMethod is wrapped by the error of [ParseMethod] for a class or method that AMQP 0-9-1 does not have.
var ErrUnknownMethod = errors.New("unknown method")

// Error is an AMQP error: what goes into connection.close or channel.close. It is immutable and may be shared.
type Error struct {
	Code ReplyCode
	// Text is the complete reply text, such as "NOT_FOUND - no queue 'q' in vhost '/'", at most 255 bytes.
	Text string
	// Method is the method that failed, 0 when the error is not caused by a method.
	Method MethodKey
	// Connection widens a soft error to the connection.
	Connection bool
}

// Errorf returns an error whose text is the name of code, " - ", and the formatted explanation, cut to 255 bytes.
func Errorf(code ReplyCode, format string, args ...any) *Error {
	return &Error{Code: code, Text: cutText(code.String() + " - " + fmt.Sprintf(format, args...))}
}

// Error returns the code, the reply text and the method, for logs.
func (e *Error) Error() string {
	if e.Method != 0 {
		return fmt.Sprintf("%d %s (%s)", uint16(e.Code), e.Text, e.Method)
	}
	return fmt.Sprintf("%d %s", uint16(e.Code), e.Text)
}

// Hard reports whether the error closes the connection.
func (e *Error) Hard() bool { return e.Connection || e.Code.Hard() }

// WithMethod returns a copy of e that names the method that failed.
func (e *Error) WithMethod(k MethodKey) *Error {
	c := *e
	c.Method = k
	return &c
}

// maxShortstr is the longest short string in bytes.
const maxShortstr = 255

// cut shortens s to what a short string can hold without splitting a UTF-8 sequence.
func cut(s string) string { return cutTo(maxShortstr, s) }

func cutTo(n int, s string) string {
	if len(s) <= n {
		return s
	}
	for least := n - utf8.UTFMax; n > least && !utf8.RuneStart(s[n]); {
		n--
	}
	return s[:n]
}

// cutText is cut for reply texts: like RabbitMQ's, one that is cut ends with an ellipsis.
func cutText(s string) string {
	const ellipsis = "..."
	if len(s) <= maxShortstr {
		return s
	}
	return cutTo(maxShortstr-len(ellipsis), s) + ellipsis
}

// errMalformedUTF8 has no method: RabbitMQ reports this error with class and method 0.
var errMalformedUTF8 = Errorf(FrameError, "Malformed UTF-8 in shortstr")

// cannotDecode is the error for a method whose arguments (without the 4 bytes of ids) do not fit its definition.
func cannotDecode(k MethodKey, args []byte) *Error {
	// The text is cut at 255 bytes anyway, so a large frame need not be printed whole.
	return Errorf(FrameError, "cannot decode %s", appendOctets(nil, args[:min(len(args), maxShortstr)])).WithMethod(k)
}

// MalformedFrame is the error for a frame that is wrong as a frame, with RabbitMQ's text. reason is an Erlang term such as
// "unknown_frame". At most the first 16 bytes of payload are shown.
func MalformedFrame(typ byte, payload []byte, reason string) *Error {
	which := "all"
	if len(payload) > 16 {
		which, payload = "first 16", payload[:16]
	}
	return Errorf(FrameError, "type %d, %s octets = %s: %s", typ, which, ErlangBytes(payload), reason)
}
