package wire

import (
	"encoding/binary"
	"fmt"
)

// Class ids.
const (
	ClassConnection = 10
	ClassChannel    = 20
	ClassAccess     = 30
	ClassExchange   = 40
	ClassQueue      = 50
	ClassBasic      = 60
	ClassConfirm    = 85
	ClassTx         = 90
)

// MethodKey identifies a method: class id in the upper, method id in the lower 16 bits.
type MethodKey uint32

// Keys of all methods.
const (
	KeyConnectionStart          MethodKey = ClassConnection<<16 | 10
	KeyConnectionStartOk        MethodKey = ClassConnection<<16 | 11
	KeyConnectionSecure         MethodKey = ClassConnection<<16 | 20
	KeyConnectionSecureOk       MethodKey = ClassConnection<<16 | 21
	KeyConnectionTune           MethodKey = ClassConnection<<16 | 30
	KeyConnectionTuneOk         MethodKey = ClassConnection<<16 | 31
	KeyConnectionOpen           MethodKey = ClassConnection<<16 | 40
	KeyConnectionOpenOk         MethodKey = ClassConnection<<16 | 41
	KeyConnectionClose          MethodKey = ClassConnection<<16 | 50
	KeyConnectionCloseOk        MethodKey = ClassConnection<<16 | 51
	KeyConnectionBlocked        MethodKey = ClassConnection<<16 | 60
	KeyConnectionUnblocked      MethodKey = ClassConnection<<16 | 61
	KeyConnectionUpdateSecret   MethodKey = ClassConnection<<16 | 70
	KeyConnectionUpdateSecretOk MethodKey = ClassConnection<<16 | 71

	KeyChannelOpen    MethodKey = ClassChannel<<16 | 10
	KeyChannelOpenOk  MethodKey = ClassChannel<<16 | 11
	KeyChannelFlow    MethodKey = ClassChannel<<16 | 20
	KeyChannelFlowOk  MethodKey = ClassChannel<<16 | 21
	KeyChannelClose   MethodKey = ClassChannel<<16 | 40
	KeyChannelCloseOk MethodKey = ClassChannel<<16 | 41

	KeyAccessRequest   MethodKey = ClassAccess<<16 | 10
	KeyAccessRequestOk MethodKey = ClassAccess<<16 | 11

	KeyExchangeDeclare   MethodKey = ClassExchange<<16 | 10
	KeyExchangeDeclareOk MethodKey = ClassExchange<<16 | 11
	KeyExchangeDelete    MethodKey = ClassExchange<<16 | 20
	KeyExchangeDeleteOk  MethodKey = ClassExchange<<16 | 21
	KeyExchangeBind      MethodKey = ClassExchange<<16 | 30
	KeyExchangeBindOk    MethodKey = ClassExchange<<16 | 31
	KeyExchangeUnbind    MethodKey = ClassExchange<<16 | 40
	KeyExchangeUnbindOk  MethodKey = ClassExchange<<16 | 51

	KeyQueueDeclare   MethodKey = ClassQueue<<16 | 10
	KeyQueueDeclareOk MethodKey = ClassQueue<<16 | 11
	KeyQueueBind      MethodKey = ClassQueue<<16 | 20
	KeyQueueBindOk    MethodKey = ClassQueue<<16 | 21
	KeyQueuePurge     MethodKey = ClassQueue<<16 | 30
	KeyQueuePurgeOk   MethodKey = ClassQueue<<16 | 31
	KeyQueueDelete    MethodKey = ClassQueue<<16 | 40
	KeyQueueDeleteOk  MethodKey = ClassQueue<<16 | 41
	KeyQueueUnbind    MethodKey = ClassQueue<<16 | 50
	KeyQueueUnbindOk  MethodKey = ClassQueue<<16 | 51

	KeyBasicQos          MethodKey = ClassBasic<<16 | 10
	KeyBasicQosOk        MethodKey = ClassBasic<<16 | 11
	KeyBasicConsume      MethodKey = ClassBasic<<16 | 20
	KeyBasicConsumeOk    MethodKey = ClassBasic<<16 | 21
	KeyBasicCancel       MethodKey = ClassBasic<<16 | 30
	KeyBasicCancelOk     MethodKey = ClassBasic<<16 | 31
	KeyBasicPublish      MethodKey = ClassBasic<<16 | 40
	KeyBasicReturn       MethodKey = ClassBasic<<16 | 50
	KeyBasicDeliver      MethodKey = ClassBasic<<16 | 60
	KeyBasicGet          MethodKey = ClassBasic<<16 | 70
	KeyBasicGetOk        MethodKey = ClassBasic<<16 | 71
	KeyBasicGetEmpty     MethodKey = ClassBasic<<16 | 72
	KeyBasicAck          MethodKey = ClassBasic<<16 | 80
	KeyBasicReject       MethodKey = ClassBasic<<16 | 90
	KeyBasicRecoverAsync MethodKey = ClassBasic<<16 | 100
	KeyBasicRecover      MethodKey = ClassBasic<<16 | 110
	KeyBasicRecoverOk    MethodKey = ClassBasic<<16 | 111
	KeyBasicNack         MethodKey = ClassBasic<<16 | 120

	KeyConfirmSelect   MethodKey = ClassConfirm<<16 | 10
	KeyConfirmSelectOk MethodKey = ClassConfirm<<16 | 11

	KeyTxSelect     MethodKey = ClassTx<<16 | 10
	KeyTxSelectOk   MethodKey = ClassTx<<16 | 11
	KeyTxCommit     MethodKey = ClassTx<<16 | 20
	KeyTxCommitOk   MethodKey = ClassTx<<16 | 21
	KeyTxRollback   MethodKey = ClassTx<<16 | 30
	KeyTxRollbackOk MethodKey = ClassTx<<16 | 31
)

// ParseMethodKey returns the key at the start of a method frame's payload, false if the payload is too short to have one.
func ParseMethodKey(payload []byte) (MethodKey, bool) {
	if len(payload) < methodKeyLen {
		return 0, false
	}
	return MethodKey(binary.BigEndian.Uint32(payload)), true
}

const methodKeyLen = 4

// Class returns the class id.
func (k MethodKey) Class() uint16 { return uint16(k >> 16) }

// Method returns the method id.
func (k MethodKey) Method() uint16 { return uint16(k) }

// HasContent reports whether a content header and body follow the method.
func (k MethodKey) HasContent() bool {
	return k == KeyBasicPublish || k == KeyBasicDeliver || k == KeyBasicGetOk || k == KeyBasicReturn
}

// String returns the method's name, such as "queue.declare-ok", or its numbers when there is no such method.
func (k MethodKey) String() string {
	if name, ok := methodNames[k]; ok {
		return name
	}
	return fmt.Sprintf("%d.%d", k.Class(), k.Method())
}

var methodNames = map[MethodKey]string{
	KeyConnectionStart:          "connection.start",
	KeyConnectionStartOk:        "connection.start-ok",
	KeyConnectionSecure:         "connection.secure",
	KeyConnectionSecureOk:       "connection.secure-ok",
	KeyConnectionTune:           "connection.tune",
	KeyConnectionTuneOk:         "connection.tune-ok",
	KeyConnectionOpen:           "connection.open",
	KeyConnectionOpenOk:         "connection.open-ok",
	KeyConnectionClose:          "connection.close",
	KeyConnectionCloseOk:        "connection.close-ok",
	KeyConnectionBlocked:        "connection.blocked",
	KeyConnectionUnblocked:      "connection.unblocked",
	KeyConnectionUpdateSecret:   "connection.update-secret",
	KeyConnectionUpdateSecretOk: "connection.update-secret-ok",
	KeyChannelOpen:              "channel.open",
	KeyChannelOpenOk:            "channel.open-ok",
	KeyChannelFlow:              "channel.flow",
	KeyChannelFlowOk:            "channel.flow-ok",
	KeyChannelClose:             "channel.close",
	KeyChannelCloseOk:           "channel.close-ok",
	KeyAccessRequest:            "access.request",
	KeyAccessRequestOk:          "access.request-ok",
	KeyExchangeDeclare:          "exchange.declare",
	KeyExchangeDeclareOk:        "exchange.declare-ok",
	KeyExchangeDelete:           "exchange.delete",
	KeyExchangeDeleteOk:         "exchange.delete-ok",
	KeyExchangeBind:             "exchange.bind",
	KeyExchangeBindOk:           "exchange.bind-ok",
	KeyExchangeUnbind:           "exchange.unbind",
	KeyExchangeUnbindOk:         "exchange.unbind-ok",
	KeyQueueDeclare:             "queue.declare",
	KeyQueueDeclareOk:           "queue.declare-ok",
	KeyQueueBind:                "queue.bind",
	KeyQueueBindOk:              "queue.bind-ok",
	KeyQueuePurge:               "queue.purge",
	KeyQueuePurgeOk:             "queue.purge-ok",
	KeyQueueDelete:              "queue.delete",
	KeyQueueDeleteOk:            "queue.delete-ok",
	KeyQueueUnbind:              "queue.unbind",
	KeyQueueUnbindOk:            "queue.unbind-ok",
	KeyBasicQos:                 "basic.qos",
	KeyBasicQosOk:               "basic.qos-ok",
	KeyBasicConsume:             "basic.consume",
	KeyBasicConsumeOk:           "basic.consume-ok",
	KeyBasicCancel:              "basic.cancel",
	KeyBasicCancelOk:            "basic.cancel-ok",
	KeyBasicPublish:             "basic.publish",
	KeyBasicReturn:              "basic.return",
	KeyBasicDeliver:             "basic.deliver",
	KeyBasicGet:                 "basic.get",
	KeyBasicGetOk:               "basic.get-ok",
	KeyBasicGetEmpty:            "basic.get-empty",
	KeyBasicAck:                 "basic.ack",
	KeyBasicReject:              "basic.reject",
	KeyBasicRecoverAsync:        "basic.recover-async",
	KeyBasicRecover:             "basic.recover",
	KeyBasicRecoverOk:           "basic.recover-ok",
	KeyBasicNack:                "basic.nack",
	KeyConfirmSelect:            "confirm.select",
	KeyConfirmSelectOk:          "confirm.select-ok",
	KeyTxSelect:                 "tx.select",
	KeyTxSelectOk:               "tx.select-ok",
	KeyTxCommit:                 "tx.commit",
	KeyTxCommitOk:               "tx.commit-ok",
	KeyTxRollback:               "tx.rollback",
	KeyTxRollbackOk:             "tx.rollback-ok",
}
