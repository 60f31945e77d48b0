package cluster

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/brokerd/brokerd/cluster/meta"
)

// ErrLoginRefused is what Authenticate's errors wrap. Their texts are for the log only.
var ErrLoginRefused = errors.New("login refused")

// maxCredentials bounds the cache of verified credentials, in entries of some 100 bytes.
const maxCredentials = 4096

// credentials remembers which passwords were found right, because a password hash costs some 20 ms of a core on purpose and
// clients that reconnect by the thousand would otherwise queue up for it. It holds digests, keyed with a secret of this process,
// of a login together with the stored hash that it is verified against: once the user has another hash, the digest is another,
// so no entry outlives the password. Safe for concurrent use.
type credentials struct {
	secret [sha256.Size]byte
	check  func(u *meta.User, password string) bool // meta.VerifyPassword

	mu    sync.Mutex
	right map[digest]struct{}
	// running are the verifications under way: those who ask the same meanwhile share the answer.
	running map[digest]*verification
}

// digest stands for a user name, a password, and the stored hash.
type digest [sha256.Size]byte

// verification is one run of a password hash. right is set before done is closed.
type verification struct {
	done  chan struct{}
	right bool
}

func newCredentials() *credentials {
	c := &credentials{
		check:   meta.VerifyPassword,
		right:   make(map[digest]struct{}),
		running: make(map[digest]*verification),
	}
	rand.Read(c.secret[:]) // never fails
	return c
}

// digest returns the digest of a login; u is what the state has under this name, nil for nothing.
func (c *credentials) digest(name, password string, u *meta.User) (d digest) {
	h := hmac.New(sha256.New, c.secret[:])
	write := func(part []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	write([]byte(name))
	write([]byte(password))
	if u != nil {
		write([]byte(u.HashAlgorithm))
		write(u.PasswordHash)
	}
	h.Sum(d[:0])
	return d
}

// verify says whether password is that of u, which is what the state has under name, nil for nothing. Refusals are not
// remembered, and are shared while they are computed whether u exists or not, so that the time does not tell which.
func (c *credentials) verify(name, password string, u *meta.User) bool {
	d := c.digest(name, password, u)
	c.mu.Lock()
	if _, ok := c.right[d]; ok {
		c.mu.Unlock()
		return true
	}
	if v := c.running[d]; v != nil {
		c.mu.Unlock()
		<-v.done
		return v.right
	}
	v := &verification{done: make(chan struct{})}
	c.running[d] = v
	c.mu.Unlock()

	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.running, d)
		if v.right {
			c.remember(d)
		}
		close(v.done)
	}()
	v.right = c.check(u, password)
	return v.right
}

// remember adds d, in the place of any other if there are too many. c.mu is held.
func (c *credentials) remember(d digest) {
	if len(c.right) >= maxCredentials {
		for other := range c.right {
			delete(c.right, other)
			break
		}
	}
	c.right[d] = struct{}{}
}

// forget drops everything, so that digests of what was deleted or changed do not stay for ever.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.right)
}

// Authenticate checks a password. loopback says that the client is on this machine, which users in Options.LoopbackUsers
// must be. Errors wrap ErrLoginRefused and say why for the log; a refusal takes as long for unknown users as for wrong
// passwords. It may take tens of milliseconds and more when many log in at once.
func (b *Broker) Authenticate(user, password string, loopback bool) (*User, error) {
	u := b.State().User(user)
	right := b.credentials.verify(user, password, u)
	if u == nil || !right {
		// Both cases take as long.
		if again := b.userNow(user); again != u {
			u = again
			right = b.credentials.verify(user, password, u)
		}
	}
	return b.admit(user, u, right, loopback)
}

// AuthenticateExternal finds a user whose identity was proven by other means than a password, such as a certificate. It is under
// the same rule about this machine as Authenticate. Errors wrap ErrLoginRefused and say why for the log. It waits only for the
// cluster, when the user is not known here.
func (b *Broker) AuthenticateExternal(user string, loopback bool) (*User, error) {
	u := b.State().User(user)
	if u == nil {
		u = b.userNow(user)
	}
	return b.admit(user, u, true, loopback)
}

// userNow returns the user once this node knows what the cluster does: another node may have got it, or its password, a moment ago.
func (b *Broker) userNow(name string) *meta.User {
	ctx, cancel := context.WithTimeout(b.ctx, b.opts.CommitTimeout)
	defer cancel()
	_ = b.meta.ReadIndex(ctx) // without an answer, what is known here counts
	return b.State().User(name)
}

// admit ends a login; u is what the state has under the name user, nil for nothing, and proven that it is him.
func (b *Broker) admit(user string, u *meta.User, proven, loopback bool) (*User, error) {
	var err error
	switch {
	case u == nil:
		err = fmt.Errorf("%w: unknown user '%s'", ErrLoginRefused, user)
	case !proven:
		err = fmt.Errorf("%w: wrong password for user '%s'", ErrLoginRefused, user)
	case !loopback && slices.Contains(b.opts.LoopbackUsers, user):
		err = fmt.Errorf("%w: user '%s' can only connect via localhost", ErrLoginRefused, user)
	}
	b.events.authenticated(user, err)
	if err != nil {
		return nil, err
	}
	return &User{Name: u.Name, Tags: slices.Clone(u.Tags)}, nil
}
