package wire

// ChannelOpen opens a channel.
type ChannelOpen struct{}

// Key returns KeyChannelOpen.
func (*ChannelOpen) Key() MethodKey { return KeyChannelOpen }

// AppendArgs implements [Method].
func (*ChannelOpen) AppendArgs(b []byte) []byte {
	return append(b, 0) // reserved
}

func (*ChannelOpen) decode(r *argReader) {
	r.shortstr() // reserved
}

// ChannelOpenOk confirms the open.
type ChannelOpenOk struct{}

// Key returns KeyChannelOpenOk.
func (*ChannelOpenOk) Key() MethodKey { return KeyChannelOpenOk }

// AppendArgs implements [Method].
func (*ChannelOpenOk) AppendArgs(b []byte) []byte {
	return append(b, 0, 0, 0, 0) // reserved
}

func (*ChannelOpenOk) decode(r *argReader) {
	r.long() // reserved
}

// ChannelFlow asks the peer to stop or go on sending content.
type ChannelFlow struct {
	Active bool
}

// Key returns KeyChannelFlow.
func (*ChannelFlow) Key() MethodKey { return KeyChannelFlow }

// AppendArgs implements [Method].
func (m *ChannelFlow) AppendArgs(b []byte) []byte {
	return appendBits(b, m.Active)
}

func (m *ChannelFlow) decode(r *argReader) {
	r.bits(&m.Active)
}

// ChannelFlowOk confirms the flow state.
type ChannelFlowOk struct {
	Active bool
}

// Key returns KeyChannelFlowOk.
func (*ChannelFlowOk) Key() MethodKey { return KeyChannelFlowOk }

// AppendArgs implements [Method].
func (m *ChannelFlowOk) AppendArgs(b []byte) []byte {
	return appendBits(b, m.Active)
}

func (m *ChannelFlowOk) decode(r *argReader) {
	r.bits(&m.Active)
}

// ChannelClose closes the channel. ClassID and MethodID name the method that failed, 0 for none.
type ChannelClose struct {
	ReplyCode         ReplyCode
	ReplyText         string
	ClassID, MethodID uint16
}

// Key returns KeyChannelClose.
func (*ChannelClose) Key() MethodKey { return KeyChannelClose }

// AppendArgs implements [Method].
func (m *ChannelClose) AppendArgs(b []byte) []byte {
	b = appendUint16(b, uint16(m.ReplyCode))
	b = appendShortstr(b, m.ReplyText)
	b = appendUint16(b, m.ClassID)
	return appendUint16(b, m.MethodID)
}

func (m *ChannelClose) decode(r *argReader) {
	m.ReplyCode = ReplyCode(r.uint16())
	m.ReplyText = r.shortstr()
	m.ClassID = r.uint16()
	m.MethodID = r.uint16()
}

// ChannelCloseOk confirms the close.
type ChannelCloseOk struct{}

// Key returns KeyChannelCloseOk.
func (*ChannelCloseOk) Key() MethodKey { return KeyChannelCloseOk }

// AppendArgs implements [Method].
func (*ChannelCloseOk) AppendArgs(b []byte) []byte { return b }

func (*ChannelCloseOk) decode(*argReader) {}

// AccessRequest asks for a ticket; deprecated, without effect.
type AccessRequest struct {
	Realm                                   string
	Exclusive, Passive, Active, Write, Read bool
}

// Key returns KeyAccessRequest.
func (*AccessRequest) Key() MethodKey { return KeyAccessRequest }

// AppendArgs implements [Method].
func (m *AccessRequest) AppendArgs(b []byte) []byte {
	b = appendShortstr(b, m.Realm)
	return appendBits(b, m.Exclusive, m.Passive, m.Active, m.Write, m.Read)
}

func (m *AccessRequest) decode(r *argReader) {
	m.Realm = r.shortstr()
	r.bits(&m.Exclusive, &m.Passive, &m.Active, &m.Write, &m.Read)
}

// AccessRequestOk grants a ticket.
type AccessRequestOk struct {
	Ticket uint16
}

// Key returns KeyAccessRequestOk.
func (*AccessRequestOk) Key() MethodKey { return KeyAccessRequestOk }

// AppendArgs implements [Method].
func (m *AccessRequestOk) AppendArgs(b []byte) []byte {
	return appendUint16(b, m.Ticket)
}

func (m *AccessRequestOk) decode(r *argReader) {
	m.Ticket = r.uint16()
}
