package meta

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost of a new password hash: the first of the settings that OWASP recommends for argon2id with one lane and 19 MiB; some
// 20 ms of one core. The parameters stand in the hash, so they can be raised later without touching stored ones.
const (
	argonMemory  = 19 << 10 // KiB
	argonPasses  = 2
	argonLanes   = 1
	argonSaltLen = 16
	argonKeyLen  = 32
)

// Limits on the parameters of a hash that comes from elsewhere (an import), so that a login cannot be made to cost more.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonPasses = 16
	maxArgonLanes  = 8
)

// MaxPasswordLen is the greatest length of a password in bytes; longer ones never match.
const MaxPasswordLen = 4096

// argonSlots bounds how many argon2 runs are in memory at a time, however many clients log in at once.
var argonSlots = make(chan struct{}, runtime.GOMAXPROCS(0))

func argon(password string, salt []byte, passes, memory uint32, lanes uint8, keyLen uint32) []byte {
	argonSlots <- struct{}{}
	defer func() { <-argonSlots }()
	return argon2.IDKey([]byte(password), salt, passes, memory, lanes, keyLen)
}

// HashPassword returns an argon2id hash of a password with a random salt, in the PHC string form
// $argon2id$v=19$m=...,t=...,p=...$salt$hash, and the name of the algorithm for User.HashAlgorithm.
func HashPassword(password string) (hash []byte, algorithm string, err error) {
	if len(password) > MaxPasswordLen {
		return nil, "", fmt.Errorf("%w: password longer than %d bytes", ErrInvalidArgument, MaxPasswordLen)
	}
	salt := make([]byte, argonSaltLen)
	if _, err := rand.Read(salt); err != nil {
		return nil, "", fmt.Errorf("salt of a password: %w", err)
	}
	sum := argon(password, salt, argonPasses, argonMemory, argonLanes, argonKeyLen)
	b64 := base64.RawStdEncoding
	return fmt.Appendf(nil, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonPasses, argonLanes,
		b64.EncodeToString(salt), b64.EncodeToString(sum)), HashArgon2id, nil
}

// VerifyPassword says whether password is that of u. It takes any of the algorithms of HashAlgorithm; an empty one is
// HashSHA256, as in RabbitMQ definitions. A user without a hash has no password that matches. A refusal takes as long
// whatever the reason and the algorithm; u may be nil for a user that does not exist.
func VerifyPassword(u *User, password string) bool {
	if u == nil || len(u.PasswordHash) == 0 || len(password) > MaxPasswordLen {
		VerifyDummy(password)
		return false
	}
	switch u.HashAlgorithm {
	case HashArgon2id:
		ok, wellFormed := verifyArgon(u.PasswordHash, password)
		if !wellFormed {
			VerifyDummy(password)
		}
		return ok
	case HashSHA256, "":
		salt, rest := cutSalt(u.PasswordHash)
		sum := sha256.Sum256(append(salt, password...))
		return equalOrDummy(sum[:], rest, password)
	case HashSHA512:
		salt, rest := cutSalt(u.PasswordHash)
		sum := sha512.Sum512(append(salt, password...))
		return equalOrDummy(sum[:], rest, password)
	default:
		VerifyDummy(password)
		return false
	}
}

// VerifyDummy takes as long as refusing a wrong password.
func VerifyDummy(password string) {
	if len(password) > MaxPasswordLen {
		password = password[:MaxPasswordLen]
	}
	argon(password, make([]byte, argonSaltLen), argonPasses, argonMemory, argonLanes, argonKeyLen)
}

// cutSalt splits RabbitMQ's form of a hash: 4 bytes of salt, then the digest of salt and password. The salt is a copy.
func cutSalt(hash []byte) (salt, sum []byte) {
	if len(hash) < 4 {
		return nil, nil
	}
	return append([]byte(nil), hash[:4]...), hash[4:]
}

// equalOrDummy compares, and makes up the time that argon2 would have taken if the password is wrong.
func equalOrDummy(a, b []byte, password string) bool {
	if subtle.ConstantTimeCompare(a, b) == 1 {
		return true
	}
	VerifyDummy(password)
	return false
}

func verifyArgon(hash []byte, password string) (ok, wellFormed bool) {
	// "", "argon2id", "v=19", "m=..,t=..,p=..", salt, sum
	parts := strings.Split(string(hash), "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return false, false
	}
	var version int
	var memory, passes uint32
	var lanes uint8
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return false, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &lanes); err != nil {
		return false, false
	}
	if passes == 0 || lanes == 0 || memory > maxArgonMemory || passes > maxArgonPasses || lanes > maxArgonLanes {
		return false, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false, false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) < 16 || len(want) > 64 {
		return false, false
	}
	got := argon(password, salt, passes, memory, lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1, true
}
