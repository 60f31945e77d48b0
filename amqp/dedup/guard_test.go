package dedup

import (
	"errors"
	"slices"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
)

// heldLog completes ops when it is told to.
type heldLog struct {
	block.Log
	ops []*block.Op
}

func (l *heldLog) Submit(op *block.Op) { l.ops = append(l.ops, op) }

func (l *heldLog) finish(err error) {
	ops := l.ops
	l.ops = nil
	for _, op := range ops {
		if op.Owner != nil {
			op.Owner.Done(op, err)
		}
	}
}

func none(uint64) bool { return false }

func TestGuard(t *testing.T) {
	l := &heldLog{}
	g := NewGuard(Options{}, l, 1<<63, nil)
	take := func(c *Claim, n int, seq uint64, persistent bool) (holder *Claim, fresh bool) {
		return c.Take(key(n), 1, seq, persistent)
	}
	first, second := g.Claim(), g.Claim()
	for i := range 3 {
		if _, fresh := take(first, i, uint64(i), i > 0); !fresh {
			t.Fatalf("key %d is not new", i)
		}
	}
	kept := map[int]bool{}
	for i := range 3 {
		holder, fresh := take(second, i, 9, true)
		if fresh || holder != first {
			t.Fatalf("key %d is new, or not held by the first claim", i)
		}
		holder.Wait(key(i), func(is bool) { kept[i] = is })
	}
	var failed []uint64
	first.Settle(func(seq uint64) bool { return seq == 2 }, func(f []uint64) { failed = append(f, 100) })
	if len(l.ops) != 1 || len(l.ops[0].Records) != entryLen || len(kept) > 0 || failed != nil {
		t.Fatalf("%d ops, %d outcomes, %v failed before key 1 is logged", len(l.ops), len(kept), failed)
	}
	l.finish(nil)
	if !slices.Equal(failed, []uint64{100}) || len(kept) != 3 || !kept[0] || !kept[1] || kept[2] {
		t.Fatalf("failed %v, kept %v", failed, kept)
	}
	first.Wait(key(2), func(is bool) { kept[2] = !is })
	if !kept[2] {
		t.Error("after the settlement key 2 counts as kept")
	}

	// What cannot be logged is refused and forgotten; what needs no log is kept.
	if _, fresh := take(second, 2, 5, true); !fresh {
		t.Fatal("a refused key is known")
	}
	take(second, 7, 6, false)
	second.Settle(none, func(f []uint64) { failed = f })
	l.finish(errors.New("disk on fire"))
	if !slices.Equal(failed, []uint64{5}) {
		t.Fatalf("failed %v, want 5", failed)
	}
	third := g.Claim()
	for n, want := range map[int]bool{0: false, 1: false, 2: true, 7: false} {
		if holder, fresh := take(third, n, 1, true); fresh != want || holder != nil {
			t.Errorf("key %d: new %t, want %t", n, fresh, want)
		}
	}

	// Whatever is logged after the exchange is gone is deleted again.
	third.Settle(none, nil)
	g.Drop()
	if len(l.ops) != 2 || len(l.ops[1].Remove) != 1 {
		t.Fatalf("%d ops at the end of the exchange, want 2", len(l.ops))
	}
	logged := l.ops[0].Desc
	l.finish(nil)
	if len(l.ops) != 1 || !slices.Equal(l.ops[0].Remove, []block.Desc{logged}) {
		t.Fatalf("%d ops after the end of the exchange, want the deletion of %+v", len(l.ops), logged)
	}
	late := g.Claim()
	take(late, 50, 1, true)
	l.ops = nil
	late.Settle(none, nil)
	if len(l.ops) != 0 {
		t.Error("a key was logged for an exchange that is gone")
	}
}
