package server

import (
	"encoding/base64"
	"slices"
	"strings"
	"sync"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/routing"
)

// Direct reply-to (SEMANTICS 16): a requester consumes from the pseudo queue replyQueue. The reply-to property of its requests
// becomes a name that nobody can guess, and what is published to the default exchange with that name as its routing key goes
// straight to the requester's outbox. There is no queue: a reply that finds no requester, or one that does not read, is lost.

const (
	// replyQueue is the queue name and the reply-to property that requesters use.
	replyQueue = "amq.rabbitmq.reply-to"
	// replyPrefix is what the names of reply consumers begin with; g1 is the version of what follows: the node's tag, a dot, and
	// a random key. With the tag the node of a name can be told when there are several.
	replyPrefix = replyQueue + ".g1"
)

// replies are the reply consumers of a server.
type replies struct {
	node   string
	prefix string // of the names of this node
	// send hands a message to another node, see Options.SendReply. nil: there is none.
	send func(node, vhost string, name, record, tail []byte) bool

	mu     sync.RWMutex
	byName map[string]*replyConsumer
}

func newReplies(node string, send func(node, vhost string, name, record, tail []byte) bool) *replies {
	return &replies{
		node:   node,
		send:   send,
		prefix: replyPrefix + base64.RawURLEncoding.EncodeToString([]byte(node)) + ".",
		byName: make(map[string]*replyConsumer),
	}
}

// isReplyName reports whether a routing key can be the name of a reply consumer.
func isReplyName(key []byte) bool {
	return len(key) > len(replyPrefix) && string(key[:len(replyPrefix)]) == replyPrefix
}

// replyNode returns the node of the consumer that a name belongs to, "" if that cannot be read.
func replyNode(name []byte) string {
	tag, _, ok := strings.Cut(string(name[len(replyPrefix):]), ".")
	if !ok {
		return ""
	}
	node, err := base64.RawURLEncoding.DecodeString(tag)
	if err != nil {
		return ""
	}
	return string(node)
}

// away returns what stands for a reply consumer on another node. Whether it is there, only that node knows.
func (r *replies) away(node, vhost, name string) *routing.Queue {
	c := &remoteReply{replies: r, node: node, vhost: vhost, name: []byte(name)}
	return &routing.Queue{Def: &meta.Queue{VHost: vhost, Name: name}, Handle: c}
}

// remoteReply is a reply consumer on another node. For publishers it is a queue.
type remoteReply struct {
	queue.Handle // not used, see replyConsumer
	replies      *replies
	node, vhost  string
	name         []byte
}

// Publish implements queue.Handle. As with a consumer of this node, what cannot be delivered is lost.
func (c *remoteReply) Publish(p *queue.Publication) {
	size, records := p.Block.Size(), p.Block.Records
	for range p.Block.Count {
		n := min(block.RecordLen(records), len(records))
		if !c.replies.send(c.node, c.vhost, c.name, records[:n:n], p.Block.Tail) {
			break
		}
		records = records[n:]
	}
	if p.Batch != nil {
		p.Batch.Done()
	}
	if p.Flow != nil {
		p.Flow.Done(size)
	}
}

// DeliverReply hands a message that was published on another node to the reply consumer with that name. record is as block.Parse
// reads it. It does not wait.
func (s *Server) DeliverReply(vhost string, name, record, tail []byte) {
	if c := s.replies.find(name, vhost); c != nil {
		c.deliver(&block.Block{Records: record, Tail: tail, Count: 1})
	}
}

// find returns the consumer with the given name, nil if there is none in the vhost.
func (r *replies) find(name []byte, vhost string) *replyConsumer {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.byName[string(name)]; c != nil && c.del.c.vhost == vhost {
		return c
	}
	return nil
}

func (r *replies) add(c *replyConsumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byName[c.name] = c
}

func (r *replies) remove(c *replyConsumer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, c.name)
}

// appendTargets appends the reply consumers that the routing keys of a message to the default exchange name, each once, and says
// whether the message has such a key: then its route is good for this message only, as consumers come and go.
func (r *replies) appendTargets(targets []*routing.Queue, vhost string, key []byte, extra [][]byte) (_ []*routing.Queue, some bool) {
	look := func(key []byte) {
		if !isReplyName(key) {
			return
		}
		some = true
		switch c := r.find(key, vhost); {
		case c != nil && !slices.Contains(targets, &c.target):
			targets = append(targets, &c.target)
		case c == nil && r.send != nil:
			if node := replyNode(key); node != "" && node != r.node {
				targets = append(targets, r.away(node, vhost, string(key)))
			}
		}
	}
	look(key)
	for _, k := range extra {
		look(k)
	}
	return targets, some
}

// replyConsumer is the consumer of a channel's replies. For publishers it is a queue.
type replyConsumer struct {
	queue.Handle // not used: of a queue's methods, publishers call Publish only
	del          *deliveries
	tag          string
	name         string
	target       routing.Queue // in routes: its Handle is the consumer itself
}

// Publish implements queue.Handle.
func (r *replyConsumer) Publish(p *queue.Publication) {
	size := p.Block.Size()
	r.deliver(&p.Block)
	if p.Block.Bodies < shareBody {
		block.PutArena(p.Block.Records) // else the outbox may refer to a body in it
	}
	if p.Batch != nil {
		p.Batch.Done()
	}
	if p.Flow != nil {
		p.Flow.Done(size)
	}
}

// deliver sends the messages to the requester, as far as it reads.
func (r *replyConsumer) deliver(b *block.Block) {
	d := r.del
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reply != r {
		return
	}
	out := d.c.out
	out.mu.Lock()
	records := b.Records
	for range b.Count {
		if out.pending >= out.limit || out.stopped || out.broken.Load() {
			break
		}
		var rec block.Record
		n, err := block.Parse(records, b.Tail, &rec)
		if err != nil {
			break // cannot be: a publisher has just made it
		}
		out.appendDeliver(d.ch.id, r.tag, d.nextTag, false, &rec)
		d.nextTag++
		records = records[min(n, len(records)):]
	}
	out.unlockAndWrite()
}

// consumeReplies starts the reply consumer of the channel and answers with consume-ok. It does not wait.
func (d *deliveries) consumeReplies(m *wire.BasicConsume) error {
	tag := m.ConsumerTag
	if tag == "" {
		tag = newConsumerTag()
	}
	d.mu.Lock()
	switch {
	case d.consumers[tag] != nil:
		d.mu.Unlock()
		return errTagInUse(tag)
	case !m.NoAck:
		d.mu.Unlock()
		return wire.Errorf(wire.PreconditionFailed, "reply consumer cannot acknowledge")
	case d.reply != nil:
		d.mu.Unlock()
		return wire.Errorf(wire.PreconditionFailed, "reply consumer already set")
	}
	all := d.c.srv.replies
	r := &replyConsumer{del: d, tag: tag, name: all.prefix + randomName()}
	r.target = routing.Queue{Def: &meta.Queue{VHost: d.c.vhost, Name: r.name}, Handle: r}
	d.reply = r
	if !m.NoWait {
		d.c.out.sendMethod(d.ch.id, &wire.BasicConsumeOk{ConsumerTag: tag})
	}
	d.mu.Unlock()
	all.add(r) // only now, as consume-ok comes first
	d.ch.pub.forgetProperties()
	return nil
}

// endReplies ends the reply consumer, if there is one. No more deliveries come once it returns.
func (d *deliveries) endReplies() {
	d.mu.Lock()
	r := d.reply
	d.reply = nil
	d.mu.Unlock()
	if r != nil {
		d.c.srv.replies.remove(r)
		d.ch.pub.forgetProperties()
	}
}

// declareReplies answers queue.declare, passive or not, of a name that begins with replyQueue: responders ask in that way whether
// the requester is still there.
func (ch *channel) declareReplies(name string, noWait bool) error {
	if name != replyQueue && !ch.conn.srv.replies.has(name, ch.conn.vhost) {
		return wire.Errorf(wire.NotFound, "no queue '%s' in vhost '%s'", name, ch.conn.vhost)
	}
	ch.lastQueue = name
	ch.reply(noWait, &wire.QueueDeclareOk{Queue: name, ConsumerCount: 1})
	return nil
}

// has says whether there is a reply consumer with that name; one of another node is taken to be there, as only that node knows.
func (r *replies) has(name, vhost string) bool {
	if r.find([]byte(name), vhost) != nil {
		return true
	}
	if r.send == nil || !isReplyName([]byte(name)) {
		return false
	}
	node := replyNode([]byte(name))
	return node != "" && node != r.node
}

func isReplyQueue(name string) bool { return strings.HasPrefix(name, replyQueue) }

// withReplyTo returns properties that have a reply-to with another value for it; everything else stays as the client sent it.
func withReplyTo(raw []byte, view *wire.PropertyView, value string) []byte {
	at := 2 // the flags
	for _, p := range []struct {
		flag wire.PropertyFlag
		size int
	}{
		{wire.FlagContentType, 1 + len(view.ContentType)},
		{wire.FlagContentEncoding, 1 + len(view.ContentEncoding)},
		{wire.FlagHeaders, 4 + len(view.Headers)},
		{wire.FlagDeliveryMode, 1},
		{wire.FlagPriority, 1},
		{wire.FlagCorrelationID, 1 + len(view.CorrelationID)},
	} {
		if view.Has(p.flag) {
			at += p.size
		}
	}
	out := make([]byte, 0, len(raw)+len(value))
	out = append(out, raw[:at]...)
	out = append(out, byte(len(value)))
	out = append(out, value...)
	return append(out, raw[at+1+len(view.ReplyTo):]...)
}
