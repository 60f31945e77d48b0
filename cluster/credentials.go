package cluster

import (
	"bytes"
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

// maxCredentials bounds the cache of verified credentials, in entries of some 200 bytes.
const maxCredentials = 4096

// credentials remembers which user and password pairs were found right, because a password hash costs some 20 ms of a core
// on purpose and clients that reconnect by the thousand would otherwise queue up for it. It holds digests that are keyed with
// a secret of this process, and each counts only as long as the user's stored hash is the one it was verified against. Safe
// for concurrent use.
type credentials struct {
	secret [32]byte

	mu    sync.Mutex
	right map[[sha256.Size]byte][]byte // digest of user and password -> User.PasswordHash
}

func newCredentials() *credentials {
	c := &credentials{right: make(map[[sha256.Size]byte][]byte)}
	rand.Read(c.secret[:]) // never fails
	return c
}

func (c *credentials) digest(user, password string) (d [sha256.Size]byte) {
	h := hmac.New(sha256.New, c.secret[:])
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(user)))
	h.Write(n[:])
	h.Write([]byte(user))
	h.Write([]byte(password))
	h.Sum(d[:0])
	return d
}

// verify says whether password is u's; u is nil for an unknown user. Refusals are never cached, so that each costs the same.
func (c *credentials) verify(u *meta.User, password string) bool {
	if u == nil {
		return meta.VerifyPassword(nil, password)
	}
	d := c.digest(u.Name, password)
	c.mu.Lock()
	known, ok := c.right[d]
	c.mu.Unlock()
	if ok && bytes.Equal(known, u.PasswordHash) {
		return true
	}
	if !meta.VerifyPassword(u, password) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.right) >= maxCredentials {
		for other := range c.right { // any will do
			delete(c.right, other)
			break
		}
	}
	c.right[d] = u.PasswordHash
	return true
}

// forget drops everything, so that digests of deleted users do not stay for ever.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.right)
}

// Authenticate checks a password. loopback says that the client is on this machine, which users in Options.LoopbackUsers
// must be. Errors wrap ErrLoginRefused and say why for the log; a refusal takes as long for unknown users as for wrong
// passwords. It may take tens of milliseconds and more when many log in at once.
func (b *Broker) Authenticate(user, password string, loopback bool) (*User, error) {
	u := b.state().User(user)
	right := b.credentials.verify(u, password)
	switch {
	case u == nil:
		return nil, fmt.Errorf("%w: unknown user '%s'", ErrLoginRefused, user)
	case !right:
		return nil, fmt.Errorf("%w: wrong password for user '%s'", ErrLoginRefused, user)
	case !loopback && slices.Contains(b.opts.LoopbackUsers, user):
		return nil, fmt.Errorf("%w: user '%s' can only connect via localhost", ErrLoginRefused, user)
	}
	return &User{Name: u.Name, Tags: slices.Clone(u.Tags)}, nil
}
