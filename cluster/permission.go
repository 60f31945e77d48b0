package cluster

import (
	"fmt"
	"regexp"
	"sync/atomic"

	"github.com/brokerd/brokerd/cluster/meta"
)

// operation is one of the three permissions of a user in a virtual host.
type operation uint8

const (
	opConfigure operation = iota
	opWrite
	opRead
	operations
)

func (o operation) String() string { return [operations]string{"configure", "write", "read"}[o] }

// grant is a permission with its expressions compiled. It never changes.
type grant struct {
	meta.Permission
	patterns [operations]pattern
}

func newGrant(p meta.Permission) *grant {
	return &grant{Permission: p, patterns: [operations]pattern{
		opConfigure: newPattern(p.Configure), opWrite: newPattern(p.Write), opRead: newPattern(p.Read),
	}}
}

// pattern matches resource names. The zero pattern matches none.
type pattern struct {
	everything bool
	expr       *regexp.Regexp
}

// newPattern compiles a permission's expression. Like RabbitMQ it is unanchored, the empty one allows nothing but the empty
// name, and one that does not compile allows nothing. RabbitMQ's expressions are PCRE; those with look-around or
// back-references do not compile here, so they deny.
func newPattern(expr string) pattern {
	switch expr {
	case "":
		expr = "^$"
	case ".*", "^.*", "^.*$", ".*$":
		return pattern{everything: true}
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return pattern{}
	}
	return pattern{expr: re}
}

func (p *pattern) match(name string) bool {
	return p.everything || p.expr != nil && p.expr.MatchString(name)
}

// grantCache holds the compiled permission of one user in one virtual host. It compiles again only when the
// permission in the state is another one, so that a change takes effect at once.
type grantCache struct{ last atomic.Pointer[grant] }

// of returns the compiled form of p. Two goroutines may both compile after a change; the results are alike.
func (c *grantCache) of(p *meta.Permission) *grant {
	if g := c.last.Load(); g != nil && g.Permission == *p {
		return g
	}
	g := newGrant(*p)
	c.last.Store(g)
	return g
}

// defaultExchangeName is the name under which permissions on the default exchange are checked.
const defaultExchangeName = "amq.default"

// allowed says whether a's user has the permission op on the named exchange or queue at the moment.
func (a *Access) allowed(op operation, name string) bool {
	if a.administrator {
		return true
	}
	p := a.broker.State().Permission(a.user.Name, a.vhost)
	return p != nil && a.grants.of(p).patterns[op].match(name)
}

// check returns 403 unless a's user has the permission op on r.
func (a *Access) check(op operation, r resource) error {
	name := r.name
	if name == "" && r.kind == kindExchange {
		name = defaultExchangeName
	}
	if a.allowed(op, name) {
		return nil
	}
	return errAccessRefused(fmt.Sprintf("%s access to %s refused for user '%s'", op,
		resource{r.kind, name, r.vhost}, a.user.Name))
}

// checkAny returns 403 unless a's user has some permission on r, which is enough to ask whether it exists.
func (a *Access) checkAny(r resource) error {
	for op := range operations {
		if a.allowed(op, r.name) {
			return nil
		}
	}
	return a.check(opConfigure, r)
}

// matchBytes is match for a name in a buffer, which it does not keep.
func (p *pattern) matchBytes(name []byte) bool {
	return p.everything || p.expr != nil && p.expr.Match(name)
}
