package network

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestBookOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nodes.json")
	a := open(t, Options{Node: "a", BookFile: file})
	for _, id := range []Identity{
		{Node: "b", Name: "beta", Address: "10.0.0.1:7672"},
		{Node: "c", Address: "host-c:7672"},
		{Node: "d", Address: "host-d:7672"},
		{Node: "a", Address: "elsewhere:7672"}, // this node itself
	} {
		if err := a.Learn(id); err != nil {
			t.Fatal(err)
		}
	}
	a.Forget("d")
	shut(t, a)
	again := open(t, Options{Node: "a", BookFile: file})
	want := []Identity{{Node: "b", Name: "beta", Address: "10.0.0.1:7672"}, {Node: "c", Address: "host-c:7672"}}
	if got := again.Known(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBookKeepsTheNewestAddresses(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Node: "a"})
	check := func(want ...string) {
		t.Helper()
		if got := a.book.addresses("b"); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	say := func(address, found string) { a.meet(Identity{Node: "b", Address: address}, found) }
	if err := a.Learn(Identity{Node: "b", Address: "one:1"}); err != nil {
		t.Fatal(err)
	}
	check("one:1")
	say("two:1", "")
	check("two:1", "one:1")
	if err := a.Learn(Identity{Node: "b", Address: "one:1"}); err != nil {
		t.Fatal(err)
	}
	check("two:1", "one:1") // hearsay that is older than the node's own word
	if err := a.Learn(Identity{Node: "b", Address: "three:1"}); err != nil {
		t.Fatal(err)
	}
	check("three:1", "two:1")
	say("two:1", "vip:1")
	check("two:1", "vip:1")
	say("", "") // announces nothing that can be called
	check("two:1", "vip:1")
}

func TestBookIsBounded(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Node: "a"})
	for i := range bookNodes + 10 {
		id := Identity{Node: fmt.Sprint("n", i), Address: "host:1"}
		if i%2 == 0 {
			a.meet(id, "")
		} else if err := a.Learn(id); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(a.Known()); got != bookNodes {
		t.Errorf("%d nodes, want %d", got, bookNodes)
	}
	if got := len(a.book.met); got > bookNodes {
		t.Errorf("%d identities", got)
	}
}

func TestLearnRefuses(t *testing.T) {
	t.Parallel()
	a := open(t, Options{Node: "a"})
	for _, id := range []Identity{
		{Address: "host:1"}, {Node: "b"}, {Node: "b", Address: "host"}, {Node: "b", Address: "0.0.0.0:1"}, {Node: "b\x00", Address: "host:1"},
	} {
		if err := a.Learn(id); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: want ErrOption, got %v", id, err)
		}
	}
}

// A damaged book stops nobody, and is kept.
func TestDamagedBook(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"", "{", `{"format":2}`, `{"format":1,"nodes":{"b":{"addresses":[]}}}`, `{"format":1,"nodes":{"b":{"addresses":["x"]}}}`,
		strings.Repeat(" ", bookBytes+1),
	} {
		file := filepath.Join(t.TempDir(), "nodes.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		a := open(t, Options{Node: "a", BookFile: file})
		if len(a.Known()) != 0 {
			t.Errorf("%.40q: %v", content, a.Known())
		}
		if kept, err := os.ReadFile(file + ".damaged"); err != nil || string(kept) != content {
			t.Errorf("%.40q is not kept: %v", content, err)
		}
		if err := a.Learn(Identity{Node: "b", Address: "host:1"}); err != nil {
			t.Error(err)
		}
		shut(t, a)
		if got := open(t, Options{Node: "a", BookFile: file}).Known(); len(got) != 1 {
			t.Errorf("%.40q: the new book has %v", content, got)
		}
	}
}
