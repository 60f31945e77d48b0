package meta

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

func TestPasswords(t *testing.T) {
	t.Parallel()
	hash, algorithm, err := HashPassword("geheim")
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := HashPassword("geheim")
	if err != nil || string(again) == string(hash) {
		t.Errorf("no salt in %s (%v)", hash, err)
	}
	if !strings.HasPrefix(string(hash), "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %s", hash)
	}
	// The example of RabbitMQ's documentation: salt 908DC60A, password test12.
	rabbit, err := base64.StdEncoding.DecodeString("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
	if err != nil {
		t.Fatal(err)
	}
	sum512 := sha512.Sum512([]byte("\x01\x02\x03\x04test12"))
	rabbit512 := append([]byte{1, 2, 3, 4}, sum512[:]...)
	for _, tc := range []struct {
		name      string
		hash      []byte
		algorithm string
		password  string
		want      bool
	}{
		{"argon2id", hash, algorithm, "geheim", true},
		{"argon2id, wrong", hash, algorithm, "Geheim", false},
		{"argon2id, empty", hash, algorithm, "", false},
		{"sha256", rabbit, HashSHA256, "test12", true},
		{"sha256 by default", rabbit, "", "test12", true},
		{"sha256, wrong", rabbit, HashSHA256, "test13", false},
		{"sha256, short", []byte{1, 2}, HashSHA256, "test12", false},
		{"sha256, salt only", rabbit[:4], HashSHA256, "test12", false},
		{"sha512", rabbit512, HashSHA512, "test12", true},
		{"sha512, wrong", rabbit512, HashSHA512, "test13", false},
		{"other algorithm", rabbit, HashSHA512, "test12", false},
		{"unknown algorithm", rabbit, "md5", "test12", false},
		{"no password", nil, HashArgon2id, "", false},
		{"not argon2id", []byte("$argon2i$v=19$m=1,t=1,p=1$$"), HashArgon2id, "x", false},
		{"too dear", []byte("$argon2id$v=19$m=4000000,t=2,p=1$AAAA$" + strings.Repeat("A", 43)), HashArgon2id, "x", false},
		{"no passes", []byte("$argon2id$v=19$m=8,t=0,p=1$AAAA$" + strings.Repeat("A", 43)), HashArgon2id, "x", false},
		{"no lanes", []byte("$argon2id$v=19$m=8,t=1,p=0$AAAA$" + strings.Repeat("A", 43)), HashArgon2id, "x", false},
		{"short sum", []byte("$argon2id$v=19$m=8,t=1,p=1$AAAA$AAAA"), HashArgon2id, "x", false},
		{"too long", hash, algorithm, strings.Repeat("x", MaxPasswordLen+1), false},
	} {
		if got := VerifyPassword(&User{PasswordHash: tc.hash, HashAlgorithm: tc.algorithm}, tc.password); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	if VerifyPassword(nil, "guest") {
		t.Error("an unknown user was let in")
	}
	if _, _, err := HashPassword(strings.Repeat("x", MaxPasswordLen+1)); !errors.Is(err, ErrInvalidArgument) {
		t.Errorf("too long: %v", err)
	}
}

func BenchmarkVerifyPassword(b *testing.B) {
	hash, algorithm, err := HashPassword("guest")
	if err != nil {
		b.Fatal(err)
	}
	u := &User{PasswordHash: hash, HashAlgorithm: algorithm}
	for b.Loop() {
		if !VerifyPassword(u, "guest") {
			b.Fatal("refused")
		}
	}
}
