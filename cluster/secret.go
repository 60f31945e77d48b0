package cluster

import (
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"regexp"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Secret is how a user proves who he is. The zero Secret refuses password login.
type Secret struct {
	// Password is hashed with argon2id before it is stored. Empty for none.
	Password string
	// Hash is stored as it is, for users that come from elsewhere: for RabbitMQ's algorithms 4 bytes of salt and the digest of
	// salt and password, not encoded in base64. Empty for none.
	Hash []byte
	// Algorithm is that of Hash, one of the constants of meta; empty means meta.HashSHA256, as in RabbitMQ's definitions.
	Algorithm string
}

// saltLen is the length of the salt in RabbitMQ's hashes in bytes.
const saltLen = 4

// argonForm is what an argon2id hash looks like. Its cost is checked at each login.
var argonForm = regexp.MustCompile(`^\$argon2id\$v=19\$m=[0-9]{1,6},t=[0-9]{1,2},p=[0-9]\$[A-Za-z0-9+/]{1,86}\$[A-Za-z0-9+/]{22,86}$`)

// check says whether s can be stored.
func (s *Secret) check() error {
	if len(s.Password) > meta.MaxPasswordLen {
		return &ArgumentError{Entity: "user", Field: "password", Want: fmt.Sprintf("at most %d bytes", meta.MaxPasswordLen)}
	}
	if s.Password != "" {
		if len(s.Hash) > 0 {
			return errAlternatives
		}
		return nil
	}
	return checkHash(s.Hash, s.algorithm())
}

func (s *Secret) algorithm() string {
	if s.Algorithm == "" {
		return meta.HashSHA256
	}
	return s.Algorithm
}

// stored returns what the state keeps of s. It may take tens of milliseconds.
func (s *Secret) stored() (hash []byte, algorithm string, err error) {
	if err := s.check(); err != nil {
		return nil, "", err
	}
	if s.Password != "" {
		return meta.HashPassword(s.Password)
	}
	return s.Hash, s.algorithm(), nil
}

func checkHash(hash []byte, algorithm string) error {
	want := ""
	switch algorithm {
	case meta.HashSHA256:
		if len(hash) != saltLen+sha256.Size {
			want = fmt.Sprintf("%d bytes of salt and %d of SHA-256", saltLen, sha256.Size)
		}
	case meta.HashSHA512:
		if len(hash) != saltLen+sha512.Size {
			want = fmt.Sprintf("%d bytes of salt and %d of SHA-512", saltLen, sha512.Size)
		}
	case meta.HashArgon2id:
		if !argonForm.Match(hash) {
			want = "$argon2id$v=19$m=...,t=...,p=...$salt$hash"
		}
	default:
		return argumentError("user", "hashing_algorithm", algorithm,
			meta.HashSHA256+", "+meta.HashSHA512+" or "+meta.HashArgon2id)
	}
	if want != "" && len(hash) > 0 {
		return &ArgumentError{Entity: "user", Field: "password_hash", Want: want}
	}
	return nil
}
