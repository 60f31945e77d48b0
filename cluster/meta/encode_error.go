package meta

import (
	"errors"
	"fmt"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// wireErrors are the errors that keep their identity on the way from the leader to a proposer on another node.
var wireErrors = map[metav1.ForwardError_Code]error{
	metav1.ForwardError_CODE_NOT_LEADER:       ErrNotLeader,
	metav1.ForwardError_CODE_LEADERSHIP_LOST:  ErrLeadershipLost,
	metav1.ForwardError_CODE_TIMEOUT:          ErrTimeout,
	metav1.ForwardError_CODE_TOO_LARGE:        ErrTooLarge,
	metav1.ForwardError_CODE_INCOMPATIBLE:     ErrIncompatible,
	metav1.ForwardError_CODE_TOO_NEW:          ErrTooNew,
	metav1.ForwardError_CODE_NO_SUCCESSOR:     ErrNoSuccessor,
	metav1.ForwardError_CODE_INVALID_ARGUMENT: ErrInvalidArgument,
	metav1.ForwardError_CODE_NO_VHOST:         ErrNoVHost,
	metav1.ForwardError_CODE_NO_USER:          ErrNoUser,
	metav1.ForwardError_CODE_NO_EXCHANGE:      ErrNoExchange,
	metav1.ForwardError_CODE_NO_QUEUE:         ErrNoQueue,
	metav1.ForwardError_CODE_NO_POLICY:        ErrNoPolicy,
	metav1.ForwardError_CODE_NO_PARAMETER:     ErrNoParameter,
	metav1.ForwardError_CODE_EXCHANGE_IN_USE:  ErrExchangeInUse,
	metav1.ForwardError_CODE_VHOST_PROTECTED:  ErrVHostProtected,
	metav1.ForwardError_CODE_OWNER_ENDED:      ErrOwnerEnded,
	metav1.ForwardError_CODE_NO_NODE:          ErrNoNode,
	metav1.ForwardError_CODE_NODE_IN_USE:      ErrNodeInUse,
	metav1.ForwardError_CODE_NODE_NAME_TAKEN:  ErrNodeNameTaken,
	metav1.ForwardError_CODE_QUEUE_MOVED:      ErrQueueMoved,
}

// remoteError is an error that another member reported: its text, and the sentinel that it was.
type remoteError struct {
	err  error
	text string
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.err }

// errUnknownCode stands for an error of which this version has no sentinel.
var errUnknownCode = errors.New("error of the metadata leader")

// encodeError returns nil for nil. What is no sentinel arrives as a text.
func encodeError(err error) *metav1.ForwardError {
	if err == nil {
		return nil
	}
	m := &metav1.ForwardError{Text: err.Error()}
	var named *NameError
	if errors.As(err, &named) {
		m.Named, m.Vhost, m.Name, m.Count = true, []byte(named.VHost), []byte(named.Name), uint64(named.Count)
	}
	// An error that is several sentinels at once goes by the lowest code, which says most about the group.
	for code, sentinel := range wireErrors {
		if errors.Is(err, sentinel) && (m.Code == 0 || code < m.Code) {
			m.Code = code
		}
	}
	return m
}

func decodeError(m *metav1.ForwardError) error {
	if m == nil {
		return nil
	}
	sentinel, ok := wireErrors[m.GetCode()]
	switch {
	case !ok:
		return fmt.Errorf("%w: %s", errUnknownCode, m.GetText())
	case m.GetNamed():
		return &NameError{Err: sentinel, VHost: string(m.GetVhost()), Name: string(m.GetName()), Count: int(m.GetCount())}
	default:
		return &remoteError{sentinel, m.GetText()}
	}
}

func (o *outcome) encode() *metav1.ForwardResult {
	r := &o.result
	m := &metav1.ForwardResult{
		Error: encodeError(o.err), Index: r.Index, Term: o.term, Created: r.Created, Incarnation: r.Incarnation,
	}
	if r.Exchange != nil {
		m.Exchange = r.Exchange.encode()
	}
	if r.Queue != nil {
		m.Queue = r.Queue.encode()
	}
	return m
}

func decodeOutcome(m *metav1.ForwardResult) outcome {
	o := outcome{err: decodeError(m.GetError()), term: m.GetTerm(), elided: m.GetElided()}
	o.retry = errors.Is(o.err, ErrNotLeader)
	o.result = Result{Index: m.GetIndex(), Created: m.GetCreated(), Incarnation: m.GetIncarnation()}
	if m.Exchange != nil {
		o.result.Exchange = decodeExchange(m.Exchange)
	}
	if m.Queue != nil {
		o.result.Queue = decodeQueue(m.Queue)
	}
	return o
}
