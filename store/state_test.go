package store

import (
	"bytes"
	"testing"

	"github.com/brokerd/brokerd/amqp/block"
)

// state makes an op that stores a state of n bytes.
func state(queue, base uint64, n int) *block.Op {
	v := bytes.Repeat([]byte{byte(base)}, n)
	return &block.Op{Kind: block.OpState, Queue: queue, Desc: block.Desc{Base: base, Size: uint32(n)}, Records: v}
}

func TestStates(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	before := s.live.Load()
	with := put(1, 0, 3, 3, 10)
	with.With = []*block.Op{state(1, 7, 20), state(2, 1, 5000)}
	must(t, do(t, s, with))
	must(t, do(t, s, state(1, 300, 1)))
	must(t, do(t, s, state(1, 8, 100_000)))
	must(t, do(t, s, state(3, 0, 400)))
	replace := state(1, 9, 700)
	replace.Remove = []block.Desc{{Base: 300, Size: 1}, {Base: 8, Size: 100_000}}
	must(t, do(t, s, replace))
	must(t, do(t, s, &block.Op{Kind: block.OpState, Queue: 3, Remove: []block.Desc{{Base: 0, Size: 400}}}))
	wrong := state(1, 50, 10)
	wrong.Desc.Size++
	if err := do(t, s, wrong); err == nil {
		t.Error("a state that is not as long as its description was stored")
	}
	live := s.live.Load() - before
	closeStore(t, s)

	s = openAt(t, Options{Dir: dir})
	if s.live.Load() != live {
		t.Errorf("%d live bytes after the start, %d before", s.live.Load(), live)
	}
	want := map[uint64][]block.Desc{1: {{Base: 7, Size: 20}, {Base: 9, Size: 700}}, 2: {{Base: 1, Size: 5000}}}
	for q, r := range s.Recovered() {
		if len(r.States) != len(want[q]) {
			t.Fatalf("queue %d: %d states, want %d", q, len(r.States), len(want[q]))
		}
		for i, st := range r.States {
			if st.Desc != want[q][i] || !bytes.Equal(st.Value, state(q, st.Desc.Base, int(st.Desc.Size)).Records) {
				t.Errorf("queue %d: state %+v with %d bytes, want %+v", q, st.Desc, len(st.Value), want[q][i])
			}
		}
		delete(want, q)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	must(t, s.sweepQueue(1))
	must(t, s.sweepQueue(2))
	if s.live.Load() != 0 {
		t.Errorf("%d live bytes after everything is deleted", s.live.Load())
	}
	closeStore(t, s)
	s = openAt(t, Options{Dir: dir})
	defer closeStore(t, s)
	if n := len(s.Recovered()); n != 0 {
		t.Errorf("%d queues left", n)
	}
}

// A damaged state is forgotten, and reported; the others are there.
func TestDamagedState(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, Options{Dir: dir})
	must(t, do(t, s, state(1, 1, 30)))
	must(t, do(t, s, state(1, 2, 30)))
	txn := s.db.NewTransactionAt(s.version.Load(), true)
	must(t, txn.Set(appendStateKey(nil, 1, block.Desc{Base: 1, Size: 30}), make([]byte, 34)))
	must(t, txn.CommitAt(s.version.Add(1), nil))
	closeStore(t, s)
	s = openAt(t, Options{Dir: dir})
	defer closeStore(t, s)
	if r := s.Recovered()[1]; len(r.States) != 1 || r.States[0].Desc.Base != 2 {
		t.Errorf("states %+v, want the second one", r.States)
	}
	if st := s.Stats(); st.Corrupt != 1 || st.LastError == "" {
		t.Errorf("%d damaged, last error %q", st.Corrupt, st.LastError)
	}
}
