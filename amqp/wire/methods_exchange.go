package wire

// ExchangeDeclare creates an exchange, or checks that it exists.
type ExchangeDeclare struct {
	Exchange, Type                                 string
	Passive, Durable, AutoDelete, Internal, NoWait bool
	Arguments                                      Table
}

// Key returns KeyExchangeDeclare.
func (*ExchangeDeclare) Key() MethodKey { return KeyExchangeDeclare }

// AppendArgs implements [Method].
func (m *ExchangeDeclare) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Exchange)
	b = appendShortstr(b, m.Type)
	b = appendBits(b, m.Passive, m.Durable, m.AutoDelete, m.Internal, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *ExchangeDeclare) decode(r *argReader) {
	r.uint16() // reserved
	m.Exchange = r.shortstr()
	m.Type = r.shortstr()
	r.bits(&m.Passive, &m.Durable, &m.AutoDelete, &m.Internal, &m.NoWait)
	m.Arguments = r.table()
}

// ExchangeDeclareOk confirms the declaration.
type ExchangeDeclareOk struct{}

// Key returns KeyExchangeDeclareOk.
func (*ExchangeDeclareOk) Key() MethodKey { return KeyExchangeDeclareOk }

// AppendArgs implements [Method].
func (*ExchangeDeclareOk) AppendArgs(b []byte) []byte { return b }

func (*ExchangeDeclareOk) decode(*argReader) {}

// ExchangeDelete deletes an exchange.
type ExchangeDelete struct {
	Exchange         string
	IfUnused, NoWait bool
}

// Key returns KeyExchangeDelete.
func (*ExchangeDelete) Key() MethodKey { return KeyExchangeDelete }

// AppendArgs implements [Method].
func (m *ExchangeDelete) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Exchange)
	return appendBits(b, m.IfUnused, m.NoWait)
}

func (m *ExchangeDelete) decode(r *argReader) {
	r.uint16() // reserved
	m.Exchange = r.shortstr()
	r.bits(&m.IfUnused, &m.NoWait)
}

// ExchangeDeleteOk confirms the deletion.
type ExchangeDeleteOk struct{}

// Key returns KeyExchangeDeleteOk.
func (*ExchangeDeleteOk) Key() MethodKey { return KeyExchangeDeleteOk }

// AppendArgs implements [Method].
func (*ExchangeDeleteOk) AppendArgs(b []byte) []byte { return b }

func (*ExchangeDeleteOk) decode(*argReader) {}

// ExchangeBind binds the exchange Destination to the exchange Source.
type ExchangeBind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// Key returns KeyExchangeBind.
func (*ExchangeBind) Key() MethodKey { return KeyExchangeBind }

// AppendArgs implements [Method].
func (m *ExchangeBind) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Destination)
	b = appendShortstr(b, m.Source)
	b = appendShortstr(b, m.RoutingKey)
	b = appendBits(b, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *ExchangeBind) decode(r *argReader) {
	r.uint16() // reserved
	m.Destination = r.shortstr()
	m.Source = r.shortstr()
	m.RoutingKey = r.shortstr()
	r.bits(&m.NoWait)
	m.Arguments = r.table()
}

// ExchangeBindOk confirms the binding.
type ExchangeBindOk struct{}

// Key returns KeyExchangeBindOk.
func (*ExchangeBindOk) Key() MethodKey { return KeyExchangeBindOk }

// AppendArgs implements [Method].
func (*ExchangeBindOk) AppendArgs(b []byte) []byte { return b }

func (*ExchangeBindOk) decode(*argReader) {}

// ExchangeUnbind removes a binding between exchanges.
type ExchangeUnbind struct {
	Destination, Source, RoutingKey string
	NoWait                          bool
	Arguments                       Table
}

// Key returns KeyExchangeUnbind.
func (*ExchangeUnbind) Key() MethodKey { return KeyExchangeUnbind }

// AppendArgs implements [Method].
func (m *ExchangeUnbind) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Destination)
	b = appendShortstr(b, m.Source)
	b = appendShortstr(b, m.RoutingKey)
	b = appendBits(b, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *ExchangeUnbind) decode(r *argReader) {
	r.uint16() // reserved
	m.Destination = r.shortstr()
	m.Source = r.shortstr()
	m.RoutingKey = r.shortstr()
	r.bits(&m.NoWait)
	m.Arguments = r.table()
}

// ExchangeUnbindOk confirms the removal.
type ExchangeUnbindOk struct{}

// Key returns KeyExchangeUnbindOk.
func (*ExchangeUnbindOk) Key() MethodKey { return KeyExchangeUnbindOk }

// AppendArgs implements [Method].
func (*ExchangeUnbindOk) AppendArgs(b []byte) []byte { return b }

func (*ExchangeUnbindOk) decode(*argReader) {}
