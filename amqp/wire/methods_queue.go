package wire

// QueueDeclare creates a queue, or checks that it exists. An empty name asks the server for one.
type QueueDeclare struct {
	Queue                                           string
	Passive, Durable, Exclusive, AutoDelete, NoWait bool
	Arguments                                       Table
}

// Key returns KeyQueueDeclare.
func (*QueueDeclare) Key() MethodKey { return KeyQueueDeclare }

// AppendArgs implements [Method].
func (m *QueueDeclare) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	b = appendBits(b, m.Passive, m.Durable, m.Exclusive, m.AutoDelete, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *QueueDeclare) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	r.bits(&m.Passive, &m.Durable, &m.Exclusive, &m.AutoDelete, &m.NoWait)
	m.Arguments = r.table()
}

// QueueDeclareOk confirms the declaration; MessageCount counts ready messages.
type QueueDeclareOk struct {
	Queue                       string
	MessageCount, ConsumerCount uint32
}

// Key returns KeyQueueDeclareOk.
func (*QueueDeclareOk) Key() MethodKey { return KeyQueueDeclareOk }

// AppendArgs implements [Method].
func (m *QueueDeclareOk) AppendArgs(b []byte) []byte {
	b = appendShortstr(b, m.Queue)
	b = appendUint32(b, m.MessageCount)
	return appendUint32(b, m.ConsumerCount)
}

func (m *QueueDeclareOk) decode(r *argReader) {
	m.Queue = r.shortstr()
	m.MessageCount = r.uint32()
	m.ConsumerCount = r.uint32()
}

// QueueBind binds a queue to an exchange.
type QueueBind struct {
	Queue, Exchange, RoutingKey string
	NoWait                      bool
	Arguments                   Table
}

// Key returns KeyQueueBind.
func (*QueueBind) Key() MethodKey { return KeyQueueBind }

// AppendArgs implements [Method].
func (m *QueueBind) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	b = appendShortstr(b, m.Exchange)
	b = appendShortstr(b, m.RoutingKey)
	b = appendBits(b, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *QueueBind) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	m.Exchange = r.shortstr()
	m.RoutingKey = r.shortstr()
	r.bits(&m.NoWait)
	m.Arguments = r.table()
}

// QueueBindOk confirms the binding.
type QueueBindOk struct{}

// Key returns KeyQueueBindOk.
func (*QueueBindOk) Key() MethodKey { return KeyQueueBindOk }

// AppendArgs implements [Method].
func (*QueueBindOk) AppendArgs(b []byte) []byte { return b }

func (*QueueBindOk) decode(*argReader) {}

// QueuePurge removes all ready messages.
type QueuePurge struct {
	Queue  string
	NoWait bool
}

// Key returns KeyQueuePurge.
func (*QueuePurge) Key() MethodKey { return KeyQueuePurge }

// AppendArgs implements [Method].
func (m *QueuePurge) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	return appendBits(b, m.NoWait)
}

func (m *QueuePurge) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	r.bits(&m.NoWait)
}

// QueuePurgeOk confirms the purge.
type QueuePurgeOk struct {
	MessageCount uint32
}

// Key returns KeyQueuePurgeOk.
func (*QueuePurgeOk) Key() MethodKey { return KeyQueuePurgeOk }

// AppendArgs implements [Method].
func (m *QueuePurgeOk) AppendArgs(b []byte) []byte {
	return appendUint32(b, m.MessageCount)
}

func (m *QueuePurgeOk) decode(r *argReader) {
	m.MessageCount = r.uint32()
}

// QueueDelete deletes a queue.
type QueueDelete struct {
	Queue                     string
	IfUnused, IfEmpty, NoWait bool
}

// Key returns KeyQueueDelete.
func (*QueueDelete) Key() MethodKey { return KeyQueueDelete }

// AppendArgs implements [Method].
func (m *QueueDelete) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	return appendBits(b, m.IfUnused, m.IfEmpty, m.NoWait)
}

func (m *QueueDelete) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	r.bits(&m.IfUnused, &m.IfEmpty, &m.NoWait)
}

// QueueDeleteOk confirms the deletion.
type QueueDeleteOk struct {
	MessageCount uint32
}

// Key returns KeyQueueDeleteOk.
func (*QueueDeleteOk) Key() MethodKey { return KeyQueueDeleteOk }

// AppendArgs implements [Method].
func (m *QueueDeleteOk) AppendArgs(b []byte) []byte {
	return appendUint32(b, m.MessageCount)
}

func (m *QueueDeleteOk) decode(r *argReader) {
	m.MessageCount = r.uint32()
}

// QueueUnbind removes a binding of a queue.
type QueueUnbind struct {
	Queue, Exchange, RoutingKey string
	Arguments                   Table
}

// Key returns KeyQueueUnbind.
func (*QueueUnbind) Key() MethodKey { return KeyQueueUnbind }

// AppendArgs implements [Method].
func (m *QueueUnbind) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	b = appendShortstr(b, m.Exchange)
	b = appendShortstr(b, m.RoutingKey)
	return m.Arguments.Append(b)
}

func (m *QueueUnbind) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	m.Exchange = r.shortstr()
	m.RoutingKey = r.shortstr()
	m.Arguments = r.table()
}

// QueueUnbindOk confirms the removal.
type QueueUnbindOk struct{}

// Key returns KeyQueueUnbindOk.
func (*QueueUnbindOk) Key() MethodKey { return KeyQueueUnbindOk }

// AppendArgs implements [Method].
func (*QueueUnbindOk) AppendArgs(b []byte) []byte { return b }

func (*QueueUnbindOk) decode(*argReader) {}
