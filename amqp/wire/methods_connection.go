package wire

// ConnectionStart opens the handshake: the server offers versions, mechanisms and locales, both lists separated by spaces.
type ConnectionStart struct {
	VersionMajor, VersionMinor byte
	ServerProperties           Table
	Mechanisms, Locales        string
}

// Key returns KeyConnectionStart.
func (*ConnectionStart) Key() MethodKey { return KeyConnectionStart }

// AppendArgs implements [Method].
func (m *ConnectionStart) AppendArgs(b []byte) []byte {
	b = append(b, m.VersionMajor)
	b = append(b, m.VersionMinor)
	b = m.ServerProperties.Append(b)
	b = appendLong(b, m.Mechanisms)
	return appendLong(b, m.Locales)
}

func (m *ConnectionStart) decode(r *argReader) {
	m.VersionMajor = r.octet()
	m.VersionMinor = r.octet()
	m.ServerProperties = r.table()
	m.Mechanisms = r.longstr()
	m.Locales = r.longstr()
}

// ConnectionStartOk chooses a mechanism and a locale and carries the first response of the mechanism.
type ConnectionStartOk struct {
	ClientProperties Table
	Mechanism        string
	Response         []byte
	Locale           string
}

// Key returns KeyConnectionStartOk.
func (*ConnectionStartOk) Key() MethodKey { return KeyConnectionStartOk }

// AppendArgs implements [Method].
func (m *ConnectionStartOk) AppendArgs(b []byte) []byte {
	b = m.ClientProperties.Append(b)
	b = appendShortstr(b, m.Mechanism)
	b = appendLong(b, m.Response)
	return appendShortstr(b, m.Locale)
}

func (m *ConnectionStartOk) decode(r *argReader) {
	m.ClientProperties = r.table()
	m.Mechanism = r.shortstr()
	m.Response = r.longBytes()
	m.Locale = r.shortstr()
}

// ConnectionSecure is a further challenge of the authentication mechanism.
type ConnectionSecure struct {
	Challenge []byte
}

// Key returns KeyConnectionSecure.
func (*ConnectionSecure) Key() MethodKey { return KeyConnectionSecure }

// AppendArgs implements [Method].
func (m *ConnectionSecure) AppendArgs(b []byte) []byte {
	return appendLong(b, m.Challenge)
}

func (m *ConnectionSecure) decode(r *argReader) {
	m.Challenge = r.longBytes()
}

// ConnectionSecureOk answers a challenge.
type ConnectionSecureOk struct {
	Response []byte
}

// Key returns KeyConnectionSecureOk.
func (*ConnectionSecureOk) Key() MethodKey { return KeyConnectionSecureOk }

// AppendArgs implements [Method].
func (m *ConnectionSecureOk) AppendArgs(b []byte) []byte {
	return appendLong(b, m.Response)
}

func (m *ConnectionSecureOk) decode(r *argReader) {
	m.Response = r.longBytes()
}

// ConnectionTune proposes limits. Zero means no limit; Heartbeat is in seconds, 0 for none, FrameMax in bytes.
type ConnectionTune struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// Key returns KeyConnectionTune.
func (*ConnectionTune) Key() MethodKey { return KeyConnectionTune }

// AppendArgs implements [Method].
func (m *ConnectionTune) AppendArgs(b []byte) []byte {
	b = appendUint16(b, m.ChannelMax)
	b = appendUint32(b, m.FrameMax)
	return appendUint16(b, m.Heartbeat)
}

func (m *ConnectionTune) decode(r *argReader) {
	m.ChannelMax = r.uint16()
	m.FrameMax = r.uint32()
	m.Heartbeat = r.uint16()
}

// ConnectionTuneOk settles the limits, as in ConnectionTune.
type ConnectionTuneOk struct {
	ChannelMax uint16
	FrameMax   uint32
	Heartbeat  uint16
}

// Key returns KeyConnectionTuneOk.
func (*ConnectionTuneOk) Key() MethodKey { return KeyConnectionTuneOk }

// AppendArgs implements [Method].
func (m *ConnectionTuneOk) AppendArgs(b []byte) []byte {
	b = appendUint16(b, m.ChannelMax)
	b = appendUint32(b, m.FrameMax)
	return appendUint16(b, m.Heartbeat)
}

func (m *ConnectionTuneOk) decode(r *argReader) {
	m.ChannelMax = r.uint16()
	m.FrameMax = r.uint32()
	m.Heartbeat = r.uint16()
}

// ConnectionOpen chooses the virtual host.
type ConnectionOpen struct {
	VirtualHost string
}

// Key returns KeyConnectionOpen.
func (*ConnectionOpen) Key() MethodKey { return KeyConnectionOpen }

// AppendArgs implements [Method].
func (m *ConnectionOpen) AppendArgs(b []byte) []byte {
	b = appendShortstr(b, m.VirtualHost)
	b = append(b, 0)    // reserved
	return append(b, 0) // reserved
}

func (m *ConnectionOpen) decode(r *argReader) {
	m.VirtualHost = r.shortstr()
	r.shortstr() // reserved
	r.octet()    // reserved
}

// ConnectionOpenOk ends the handshake.
type ConnectionOpenOk struct{}

// Key returns KeyConnectionOpenOk.
func (*ConnectionOpenOk) Key() MethodKey { return KeyConnectionOpenOk }

// AppendArgs implements [Method].
func (*ConnectionOpenOk) AppendArgs(b []byte) []byte {
	return append(b, 0) // reserved
}

func (*ConnectionOpenOk) decode(r *argReader) {
	r.shortstr() // reserved
}

// ConnectionClose closes the connection. ClassID and MethodID name the method that failed, 0 for none.
type ConnectionClose struct {
	ReplyCode         ReplyCode
	ReplyText         string
	ClassID, MethodID uint16
}

// Key returns KeyConnectionClose.
func (*ConnectionClose) Key() MethodKey { return KeyConnectionClose }

// AppendArgs implements [Method].
func (m *ConnectionClose) AppendArgs(b []byte) []byte {
	b = appendUint16(b, uint16(m.ReplyCode))
	b = appendShortstr(b, m.ReplyText)
	b = appendUint16(b, m.ClassID)
	return appendUint16(b, m.MethodID)
}

func (m *ConnectionClose) decode(r *argReader) {
	m.ReplyCode = ReplyCode(r.uint16())
	m.ReplyText = r.shortstr()
	m.ClassID = r.uint16()
	m.MethodID = r.uint16()
}

// ConnectionCloseOk confirms the close.
type ConnectionCloseOk struct{}

// Key returns KeyConnectionCloseOk.
func (*ConnectionCloseOk) Key() MethodKey { return KeyConnectionCloseOk }

// AppendArgs implements [Method].
func (*ConnectionCloseOk) AppendArgs(b []byte) []byte { return b }

func (*ConnectionCloseOk) decode(*argReader) {}

// ConnectionBlocked tells a client that publishing is blocked.
type ConnectionBlocked struct {
	Reason string
}

// Key returns KeyConnectionBlocked.
func (*ConnectionBlocked) Key() MethodKey { return KeyConnectionBlocked }

// AppendArgs implements [Method].
func (m *ConnectionBlocked) AppendArgs(b []byte) []byte {
	return appendShortstr(b, m.Reason)
}

func (m *ConnectionBlocked) decode(r *argReader) {
	m.Reason = r.shortstr()
}

// ConnectionUnblocked tells a client that publishing is possible again.
type ConnectionUnblocked struct{}

// Key returns KeyConnectionUnblocked.
func (*ConnectionUnblocked) Key() MethodKey { return KeyConnectionUnblocked }

// AppendArgs implements [Method].
func (*ConnectionUnblocked) AppendArgs(b []byte) []byte { return b }

func (*ConnectionUnblocked) decode(*argReader) {}

// ConnectionUpdateSecret replaces the credential of the connection.
type ConnectionUpdateSecret struct {
	NewSecret []byte
	Reason    string
}

// Key returns KeyConnectionUpdateSecret.
func (*ConnectionUpdateSecret) Key() MethodKey { return KeyConnectionUpdateSecret }

// AppendArgs implements [Method].
func (m *ConnectionUpdateSecret) AppendArgs(b []byte) []byte {
	b = appendLong(b, m.NewSecret)
	return appendShortstr(b, m.Reason)
}

func (m *ConnectionUpdateSecret) decode(r *argReader) {
	m.NewSecret = r.longBytes()
	m.Reason = r.shortstr()
}

// ConnectionUpdateSecretOk confirms the new credential.
type ConnectionUpdateSecretOk struct{}

// Key returns KeyConnectionUpdateSecretOk.
func (*ConnectionUpdateSecretOk) Key() MethodKey { return KeyConnectionUpdateSecretOk }

// AppendArgs implements [Method].
func (*ConnectionUpdateSecretOk) AppendArgs(b []byte) []byte { return b }

func (*ConnectionUpdateSecretOk) decode(*argReader) {}
