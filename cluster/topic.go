package cluster

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/exchange"
	"github.com/brokerd/brokerd/cluster/meta"
)

// topicGrant is a topic permission with its expressions compiled. It never changes.
type topicGrant struct {
	meta.TopicPermission
	write, read pattern
}

// expandTopic puts user and vhost in the place of the variables of a topic permission's expression. They stand for themselves:
// RabbitMQ takes them as part of the expression, so that a user "a.b" could reach the topics of a user "axb".
func expandTopic(expr, user, vhost string) string {
	if !strings.Contains(expr, "{") {
		return expr
	}
	return strings.NewReplacer("{username}", regexp.QuoteMeta(user), "{vhost}", regexp.QuoteMeta(vhost)).Replace(expr)
}

func newTopicGrant(p meta.TopicPermission) *topicGrant {
	return &topicGrant{
		TopicPermission: p,
		write:           newPattern(expandTopic(p.Write, p.User, p.VHost)),
		read:            newPattern(expandTopic(p.Read, p.User, p.VHost)),
	}
}

// topicCache holds the compiled topic permissions of one user in one vhost, by exchange. As in grantCache, one is compiled again
// when the state has another.
type topicCache struct {
	known atomic.Pointer[map[string]*topicGrant] // never changed once stored
}

// maxTopicGrants bounds a topicCache.
const maxTopicGrants = 64

// of returns the compiled form of p. Of two goroutines that compile at the same time one may lose its entry, which is then
// compiled again.
func (c *topicCache) of(p *meta.TopicPermission) *topicGrant {
	var known map[string]*topicGrant
	if m := c.known.Load(); m != nil {
		known = *m
	}
	if g := known[p.Exchange]; g != nil && g.TopicPermission == *p {
		return g
	}
	next := make(map[string]*topicGrant, len(known)+1)
	if len(known) < maxTopicGrants {
		maps.Copy(next, known)
	}
	g := newTopicGrant(*p)
	next[p.Exchange] = g
	c.known.Store(&next)
	return g
}

// CheckTopicWrite checks whether messages with this routing key may be published to an exchange (SEMANTICS 15.3): 403 if it is a
// topic exchange and the user's topic permission on it forbids the key. It never waits and does not
// keep key. As long as nobody has topic permissions it costs one atomic load, else two look-ups in the state and a match.
func (a *Access) CheckTopicWrite(exchange string, key []byte) error {
	if a.broker.topicPermissions.Load() == 0 {
		return nil
	}
	return a.checkTopic(opWrite, exchange, key)
}

// checkTopic returns 403 unless a's user has the permission op on messages of a topic exchange with the given key. What is no
// topic exchange, or not there, is not restricted.
func (a *Access) checkTopic(op operation, name string, key []byte) error {
	s := a.broker.State()
	p := s.TopicPermission(a.user.Name, a.vhost, name)
	if p == nil {
		return nil
	}
	if x := s.Exchange(a.vhost, name); x == nil || x.Type != exchange.Topic {
		return nil
	}
	g := a.topics.of(p)
	allowed := &g.write
	if op == opRead {
		allowed = &g.read
	}
	if allowed.matchBytes(key) {
		return nil
	}
	return errAccessRefused(fmt.Sprintf("%s access to topic '%s' in %s refused for user '%s'", op, key,
		resource{kindExchange, name, a.vhost}, a.user.Name))
}

// countTopicPermissions returns how many there are.
func countTopicPermissions(s *meta.State) (n int64) {
	for range s.TopicPermissions() {
		n++
	}
	return n
}
