package wire

// BasicQos limits unacknowledged deliveries. PrefetchSize is in bytes, PrefetchCount in messages, 0 for no limit.
type BasicQos struct {
	PrefetchSize  uint32
	PrefetchCount uint16
	Global        bool
}

// Key returns KeyBasicQos.
func (*BasicQos) Key() MethodKey { return KeyBasicQos }

// AppendArgs implements [Method].
func (m *BasicQos) AppendArgs(b []byte) []byte {
	b = appendUint32(b, m.PrefetchSize)
	b = appendUint16(b, m.PrefetchCount)
	return appendBits(b, m.Global)
}

func (m *BasicQos) decode(r *argReader) {
	m.PrefetchSize = r.uint32()
	m.PrefetchCount = r.uint16()
	r.bits(&m.Global)
}

// BasicQosOk confirms the limits.
type BasicQosOk struct{}

// Key returns KeyBasicQosOk.
func (*BasicQosOk) Key() MethodKey { return KeyBasicQosOk }

// AppendArgs implements [Method].
func (*BasicQosOk) AppendArgs(b []byte) []byte { return b }

func (*BasicQosOk) decode(*argReader) {}

// BasicConsume starts a consumer. An empty tag asks the server for one.
type BasicConsume struct {
	Queue, ConsumerTag                string
	NoLocal, NoAck, Exclusive, NoWait bool
	Arguments                         Table
}

// Key returns KeyBasicConsume.
func (*BasicConsume) Key() MethodKey { return KeyBasicConsume }

// AppendArgs implements [Method].
func (m *BasicConsume) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	b = appendShortstr(b, m.ConsumerTag)
	b = appendBits(b, m.NoLocal, m.NoAck, m.Exclusive, m.NoWait)
	return m.Arguments.Append(b)
}

func (m *BasicConsume) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	m.ConsumerTag = r.shortstr()
	r.bits(&m.NoLocal, &m.NoAck, &m.Exclusive, &m.NoWait)
	m.Arguments = r.table()
}

// BasicConsumeOk confirms the consumer.
type BasicConsumeOk struct {
	ConsumerTag string
}

// Key returns KeyBasicConsumeOk.
func (*BasicConsumeOk) Key() MethodKey { return KeyBasicConsumeOk }

// AppendArgs implements [Method].
func (m *BasicConsumeOk) AppendArgs(b []byte) []byte {
	return appendShortstr(b, m.ConsumerTag)
}

func (m *BasicConsumeOk) decode(r *argReader) {
	m.ConsumerTag = r.shortstr()
}

// BasicCancel ends a consumer; the server sends it when the queue is gone.
type BasicCancel struct {
	ConsumerTag string
	NoWait      bool
}

// Key returns KeyBasicCancel.
func (*BasicCancel) Key() MethodKey { return KeyBasicCancel }

// AppendArgs implements [Method].
func (m *BasicCancel) AppendArgs(b []byte) []byte {
	b = appendShortstr(b, m.ConsumerTag)
	return appendBits(b, m.NoWait)
}

func (m *BasicCancel) decode(r *argReader) {
	m.ConsumerTag = r.shortstr()
	r.bits(&m.NoWait)
}

// BasicCancelOk confirms the end of a consumer.
type BasicCancelOk struct {
	ConsumerTag string
}

// Key returns KeyBasicCancelOk.
func (*BasicCancelOk) Key() MethodKey { return KeyBasicCancelOk }

// AppendArgs implements [Method].
func (m *BasicCancelOk) AppendArgs(b []byte) []byte {
	return appendShortstr(b, m.ConsumerTag)
}

func (m *BasicCancelOk) decode(r *argReader) {
	m.ConsumerTag = r.shortstr()
}

// BasicPublish publishes a message; content follows. [ParsePublish] is the view without allocations.
type BasicPublish struct {
	Exchange, RoutingKey string
	Mandatory, Immediate bool
}

// Key returns KeyBasicPublish.
func (*BasicPublish) Key() MethodKey { return KeyBasicPublish }

// AppendArgs implements [Method].
func (m *BasicPublish) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Exchange)
	b = appendShortstr(b, m.RoutingKey)
	return appendBits(b, m.Mandatory, m.Immediate)
}

func (m *BasicPublish) decode(r *argReader) {
	r.uint16() // reserved
	m.Exchange = r.anyShortstr()
	m.RoutingKey = r.anyShortstr()
	r.bits(&m.Mandatory, &m.Immediate)
}

// BasicReturn gives an unroutable message back; content follows.
type BasicReturn struct {
	ReplyCode                       ReplyCode
	ReplyText, Exchange, RoutingKey string
}

// Key returns KeyBasicReturn.
func (*BasicReturn) Key() MethodKey { return KeyBasicReturn }

// AppendArgs implements [Method].
func (m *BasicReturn) AppendArgs(b []byte) []byte {
	b = appendUint16(b, uint16(m.ReplyCode))
	b = appendShortstr(b, m.ReplyText)
	b = appendShortstr(b, m.Exchange)
	return appendShortstr(b, m.RoutingKey)
}

func (m *BasicReturn) decode(r *argReader) {
	m.ReplyCode = ReplyCode(r.uint16())
	m.ReplyText = r.anyShortstr()
	m.Exchange = r.anyShortstr()
	m.RoutingKey = r.anyShortstr()
}

// BasicDeliver delivers a message to a consumer; content follows. [ParseDeliver] is the view without allocations.
type BasicDeliver struct {
	ConsumerTag          string
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
}

// Key returns KeyBasicDeliver.
func (*BasicDeliver) Key() MethodKey { return KeyBasicDeliver }

// AppendArgs implements [Method].
func (m *BasicDeliver) AppendArgs(b []byte) []byte {
	b = appendShortstr(b, m.ConsumerTag)
	b = appendUint64(b, m.DeliveryTag)
	b = appendBits(b, m.Redelivered)
	b = appendShortstr(b, m.Exchange)
	return appendShortstr(b, m.RoutingKey)
}

func (m *BasicDeliver) decode(r *argReader) {
	m.ConsumerTag = r.anyShortstr()
	m.DeliveryTag = r.uint64()
	r.bits(&m.Redelivered)
	m.Exchange = r.anyShortstr()
	m.RoutingKey = r.anyShortstr()
}

// BasicGet asks for one message.
type BasicGet struct {
	Queue string
	NoAck bool
}

// Key returns KeyBasicGet.
func (*BasicGet) Key() MethodKey { return KeyBasicGet }

// AppendArgs implements [Method].
func (m *BasicGet) AppendArgs(b []byte) []byte {
	b = append(b, 0, 0) // reserved
	b = appendShortstr(b, m.Queue)
	return appendBits(b, m.NoAck)
}

func (m *BasicGet) decode(r *argReader) {
	r.uint16() // reserved
	m.Queue = r.shortstr()
	r.bits(&m.NoAck)
}

// BasicGetOk answers basic.get with a message; content follows. MessageCount is what is left ready.
type BasicGetOk struct {
	DeliveryTag          uint64
	Redelivered          bool
	Exchange, RoutingKey string
	MessageCount         uint32
}

// Key returns KeyBasicGetOk.
func (*BasicGetOk) Key() MethodKey { return KeyBasicGetOk }

// AppendArgs implements [Method].
func (m *BasicGetOk) AppendArgs(b []byte) []byte {
	b = appendUint64(b, m.DeliveryTag)
	b = appendBits(b, m.Redelivered)
	b = appendShortstr(b, m.Exchange)
	b = appendShortstr(b, m.RoutingKey)
	return appendUint32(b, m.MessageCount)
}

func (m *BasicGetOk) decode(r *argReader) {
	m.DeliveryTag = r.uint64()
	r.bits(&m.Redelivered)
	m.Exchange = r.anyShortstr()
	m.RoutingKey = r.anyShortstr()
	m.MessageCount = r.uint32()
}

// BasicGetEmpty answers basic.get when nothing is ready.
type BasicGetEmpty struct{}

// Key returns KeyBasicGetEmpty.
func (*BasicGetEmpty) Key() MethodKey { return KeyBasicGetEmpty }

// AppendArgs implements [Method].
func (*BasicGetEmpty) AppendArgs(b []byte) []byte {
	return append(b, 0) // reserved
}

func (*BasicGetEmpty) decode(r *argReader) {
	r.shortstr() // reserved
}

// BasicAck acknowledges deliveries, or confirms publishes. With Multiple all tags up to DeliveryTag are meant.
type BasicAck struct {
	DeliveryTag uint64
	Multiple    bool
}

// Key returns KeyBasicAck.
func (*BasicAck) Key() MethodKey { return KeyBasicAck }

// AppendArgs implements [Method].
func (m *BasicAck) AppendArgs(b []byte) []byte {
	b = appendUint64(b, m.DeliveryTag)
	return appendBits(b, m.Multiple)
}

func (m *BasicAck) decode(r *argReader) {
	m.DeliveryTag = r.uint64()
	r.bits(&m.Multiple)
}

// BasicReject refuses one delivery.
type BasicReject struct {
	DeliveryTag uint64
	Requeue     bool
}

// Key returns KeyBasicReject.
func (*BasicReject) Key() MethodKey { return KeyBasicReject }

// AppendArgs implements [Method].
func (m *BasicReject) AppendArgs(b []byte) []byte {
	b = appendUint64(b, m.DeliveryTag)
	return appendBits(b, m.Requeue)
}

func (m *BasicReject) decode(r *argReader) {
	m.DeliveryTag = r.uint64()
	r.bits(&m.Requeue)
}

// BasicRecoverAsync asks for all unacknowledged messages again, without an answer; deprecated.
type BasicRecoverAsync struct {
	Requeue bool
}

// Key returns KeyBasicRecoverAsync.
func (*BasicRecoverAsync) Key() MethodKey { return KeyBasicRecoverAsync }

// AppendArgs implements [Method].
func (m *BasicRecoverAsync) AppendArgs(b []byte) []byte {
	return appendBits(b, m.Requeue)
}

func (m *BasicRecoverAsync) decode(r *argReader) {
	r.bits(&m.Requeue)
}

// BasicRecover asks for all unacknowledged messages again.
type BasicRecover struct {
	Requeue bool
}

// Key returns KeyBasicRecover.
func (*BasicRecover) Key() MethodKey { return KeyBasicRecover }

// AppendArgs implements [Method].
func (m *BasicRecover) AppendArgs(b []byte) []byte {
	return appendBits(b, m.Requeue)
}

func (m *BasicRecover) decode(r *argReader) {
	r.bits(&m.Requeue)
}

// BasicRecoverOk confirms basic.recover.
type BasicRecoverOk struct{}

// Key returns KeyBasicRecoverOk.
func (*BasicRecoverOk) Key() MethodKey { return KeyBasicRecoverOk }

// AppendArgs implements [Method].
func (*BasicRecoverOk) AppendArgs(b []byte) []byte { return b }

func (*BasicRecoverOk) decode(*argReader) {}

// BasicNack refuses deliveries, or tells that publishes failed. With Multiple all tags up to DeliveryTag are meant.
type BasicNack struct {
	DeliveryTag       uint64
	Multiple, Requeue bool
}

// Key returns KeyBasicNack.
func (*BasicNack) Key() MethodKey { return KeyBasicNack }

// AppendArgs implements [Method].
func (m *BasicNack) AppendArgs(b []byte) []byte {
	b = appendUint64(b, m.DeliveryTag)
	return appendBits(b, m.Multiple, m.Requeue)
}

func (m *BasicNack) decode(r *argReader) {
	m.DeliveryTag = r.uint64()
	r.bits(&m.Multiple, &m.Requeue)
}
