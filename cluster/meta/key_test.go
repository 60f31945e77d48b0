package meta

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestKeys checks that keys sort as tuples do, and that a prefix of parts is a prefix of bytes and nothing else is.
func TestKeys(t *testing.T) {
	t.Parallel()
	part := rapid.StringOfN(rapid.SampledFrom([]rune("\x00\x01aÿ")), 0, 4, -1)
	tuple := rapid.SliceOfN(part, 1, 3)
	rapid.Check(t, func(t *rapid.T) {
		a, b := tuple.Draw(t, "a"), tuple.Draw(t, "b")
		ka, kb := key(a...), key(b...)
		if got, want := bytes.Compare(ka, kb), slices.Compare(a, b); got != want {
			t.Fatalf("%q and %q compare as %d, want %d", a, b, got, want)
		}
		if got, want := bytes.HasPrefix(ka, kb), len(a) >= len(b) && slices.Equal(a[:len(b)], b); got != want {
			t.Fatalf("%q starts with %q: %v, want %v", a, b, got, want)
		}
	})
}

func TestArgumentsDigest(t *testing.T) {
	t.Parallel()
	// One field of every type.
	values := []string{
		"t\x01", "b\x01", "B\x01", "s\x00\x01", "u\x00\x01", "I\x00\x00\x00\x01", "i\x00\x00\x00\x01", "l\x00\x00\x00\x00\x00\x00\x00\x01",
		"f\x00\x00\x00\x01", "d\x00\x00\x00\x00\x00\x00\x00\x01", "D\x01\x00\x00\x00\x01", "S\x00\x00\x00\x01x", "x\x00\x00\x00\x01x",
		"A\x00\x00\x00\x02t\x01", "F\x00\x00\x00\x04\x01at\x01", "T\x00\x00\x00\x00\x00\x00\x00\x01", "V",
	}
	var fields []string
	for i, v := range values {
		fields = append(fields, "\x02k"+string(rune('a'+i))+v)
	}
	whole := strings.Join(fields, "")
	want := argumentsDigest([]byte(whole))
	slices.Reverse(fields)
	if got := argumentsDigest([]byte(strings.Join(fields, ""))); !bytes.Equal(got, want) {
		t.Error("the order of the fields changes the digest")
	}
	for n := range len(whole) {
		if got := argumentsDigest([]byte(whole[:n])); bytes.Equal(got, want) {
			t.Errorf("the digest of %d of %d bytes is that of the whole", n, len(whole))
		}
	}
}

func FuzzArgumentsDigest(f *testing.F) {
	f.Add([]byte("\x01aS\x00\x00\x00\x01x\x01bV"))
	f.Add([]byte("\x01aF\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, table []byte) {
		fields, ok := splitTable(table)
		if !ok {
			return
		}
		var again []byte
		for _, field := range fields {
			again = append(again, field.whole...)
		}
		if !bytes.Equal(again, table) {
			t.Errorf("fields of %q make %q", table, again)
		}
		argumentsDigest(table)
	})
}
