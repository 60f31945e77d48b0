package wire

import "fmt"

// Method is a method with its arguments. All implementations are pointers to the structs of this package, so that a type
// switch on a value type does not compile. Reserved and deprecated arguments (tickets) have no field: they are written as zero
// and skipped when read.
type Method interface {
	// Key identifies the method.
	Key() MethodKey
	// AppendArgs appends the encoded arguments, without class and method id. Short strings are cut to 255 bytes.
	AppendArgs(b []byte) []byte
}

type decoder interface {
	Method
	decode(r *argReader)
}

// ParseMethod decodes the payload of a method frame. Everything in the result is copied out of payload.
//
// Errors: one that wraps [ErrUnknownMethod]; FRAME_ERROR when the arguments do not fit the method or a name is not UTF-8;
// SYNTAX_ERROR for a malformed table.
func ParseMethod(payload []byte) (Method, error) {
	k, ok := ParseMethodKey(payload)
	if !ok {
		return nil, MalformedFrame(FrameMethod, payload, "unknown_frame")
	}
	m := newMethod(k)
	if m == nil {
		return nil, fmt.Errorf("%w %s", ErrUnknownMethod, k)
	}
	args := payload[methodKeyLen:]
	r := argReader{args: args, rest: args}
	m.decode(&r)
	if err := r.done(k); err != nil {
		return nil, err
	}
	return m, nil
}

// newMethod returns an empty method, nil for an unknown key.
func newMethod(k MethodKey) decoder {
	switch k {
	case KeyConnectionStart:
		return new(ConnectionStart)
	case KeyConnectionStartOk:
		return new(ConnectionStartOk)
	case KeyConnectionSecure:
		return new(ConnectionSecure)
	case KeyConnectionSecureOk:
		return new(ConnectionSecureOk)
	case KeyConnectionTune:
		return new(ConnectionTune)
	case KeyConnectionTuneOk:
		return new(ConnectionTuneOk)
	case KeyConnectionOpen:
		return new(ConnectionOpen)
	case KeyConnectionOpenOk:
		return new(ConnectionOpenOk)
	case KeyConnectionClose:
		return new(ConnectionClose)
	case KeyConnectionCloseOk:
		return new(ConnectionCloseOk)
	case KeyConnectionBlocked:
		return new(ConnectionBlocked)
	case KeyConnectionUnblocked:
		return new(ConnectionUnblocked)
	case KeyConnectionUpdateSecret:
		return new(ConnectionUpdateSecret)
	case KeyConnectionUpdateSecretOk:
		return new(ConnectionUpdateSecretOk)
	case KeyChannelOpen:
		return new(ChannelOpen)
	case KeyChannelOpenOk:
		return new(ChannelOpenOk)
	case KeyChannelFlow:
		return new(ChannelFlow)
	case KeyChannelFlowOk:
		return new(ChannelFlowOk)
	case KeyChannelClose:
		return new(ChannelClose)
	case KeyChannelCloseOk:
		return new(ChannelCloseOk)
	case KeyAccessRequest:
		return new(AccessRequest)
	case KeyAccessRequestOk:
		return new(AccessRequestOk)
	case KeyExchangeDeclare:
		return new(ExchangeDeclare)
	case KeyExchangeDeclareOk:
		return new(ExchangeDeclareOk)
	case KeyExchangeDelete:
		return new(ExchangeDelete)
	case KeyExchangeDeleteOk:
		return new(ExchangeDeleteOk)
	case KeyExchangeBind:
		return new(ExchangeBind)
	case KeyExchangeBindOk:
		return new(ExchangeBindOk)
	case KeyExchangeUnbind:
		return new(ExchangeUnbind)
	case KeyExchangeUnbindOk:
		return new(ExchangeUnbindOk)
	case KeyQueueDeclare:
		return new(QueueDeclare)
	case KeyQueueDeclareOk:
		return new(QueueDeclareOk)
	case KeyQueueBind:
		return new(QueueBind)
	case KeyQueueBindOk:
		return new(QueueBindOk)
	case KeyQueuePurge:
		return new(QueuePurge)
	case KeyQueuePurgeOk:
		return new(QueuePurgeOk)
	case KeyQueueDelete:
		return new(QueueDelete)
	case KeyQueueDeleteOk:
		return new(QueueDeleteOk)
	case KeyQueueUnbind:
		return new(QueueUnbind)
	case KeyQueueUnbindOk:
		return new(QueueUnbindOk)
	case KeyBasicQos:
		return new(BasicQos)
	case KeyBasicQosOk:
		return new(BasicQosOk)
	case KeyBasicConsume:
		return new(BasicConsume)
	case KeyBasicConsumeOk:
		return new(BasicConsumeOk)
	case KeyBasicCancel:
		return new(BasicCancel)
	case KeyBasicCancelOk:
		return new(BasicCancelOk)
	case KeyBasicPublish:
		return new(BasicPublish)
	case KeyBasicReturn:
		return new(BasicReturn)
	case KeyBasicDeliver:
		return new(BasicDeliver)
	case KeyBasicGet:
		return new(BasicGet)
	case KeyBasicGetOk:
		return new(BasicGetOk)
	case KeyBasicGetEmpty:
		return new(BasicGetEmpty)
	case KeyBasicAck:
		return new(BasicAck)
	case KeyBasicReject:
		return new(BasicReject)
	case KeyBasicRecoverAsync:
		return new(BasicRecoverAsync)
	case KeyBasicRecover:
		return new(BasicRecover)
	case KeyBasicRecoverOk:
		return new(BasicRecoverOk)
	case KeyBasicNack:
		return new(BasicNack)
	case KeyConfirmSelect:
		return new(ConfirmSelect)
	case KeyConfirmSelectOk:
		return new(ConfirmSelectOk)
	case KeyTxSelect:
		return new(TxSelect)
	case KeyTxSelectOk:
		return new(TxSelectOk)
	case KeyTxCommit:
		return new(TxCommit)
	case KeyTxCommitOk:
		return new(TxCommitOk)
	case KeyTxRollback:
		return new(TxRollback)
	case KeyTxRollbackOk:
		return new(TxRollbackOk)
	}
	return nil
}
