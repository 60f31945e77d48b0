package admin

import (
	"bytes"
	"regexp"

	"google.golang.org/protobuf/proto"

	"github.com/brokerd/brokerd/amqp/wire"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// messageFilter says which messages pass. A nil filter lets all pass.
type messageFilter struct {
	key                      *regexp.Regexp
	headers                  map[string]*adminv1.Value
	body                     []byte
	messageID, correlationID string
}

func newMessageFilter(f *adminv1.MessageFilter) (*messageFilter, error) {
	if f == nil {
		return nil, nil
	}
	key, err := newRegex("filter.routing_key_regex", f.GetRoutingKeyRegex())
	if err != nil {
		return nil, err
	}
	if len(f.GetBodyContains()) > maxRegex {
		return nil, violation("filter.body_contains", "got %d bytes, want at most %d", len(f.GetBodyContains()), maxRegex)
	}
	return &messageFilter{key: key, headers: f.GetHeaders(), body: []byte(f.GetBodyContains()), messageID: f.GetMessageId(),
		correlationID: f.GetCorrelationId()}, nil
}

// match says whether a message passes. Properties are read only if the filter is about them.
func (f *messageFilter) match(routingKey, properties, body []byte) bool {
	if f == nil {
		return true
	}
	if f.key != nil && !f.key.Match(routingKey) || !bytes.Contains(body, f.body) {
		return false
	}
	if len(f.headers) == 0 && f.messageID == "" && f.correlationID == "" {
		return true
	}
	p, err := wire.ParseProperties(properties)
	if err != nil {
		return false // cannot be: they were checked when the message came in
	}
	if f.messageID != "" && p.MessageID != f.messageID || f.correlationID != "" && p.CorrelationID != f.correlationID {
		return false
	}
	for name, want := range f.headers {
		v, ok := p.Headers.Get(name)
		if !ok || want.GetKind() != nil && !proto.Equal(valueOf(v), want) {
			return false
		}
	}
	return true
}
