package queue

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/brokerd/brokerd/amqp/block"
)

// loadJob is a block on its way from the log into memory. The runner makes it; a loading goroutine runs it and hands it back.
type loadJob struct {
	blk   *memBlock // only for the runner
	spill *block.Desc
	parts []loadPart // by position
	count uint32
	size  int

	buf []byte
	// lost is the records that are damaged in the log, as pairs of first and last index; in their place buf has filling of the
	// same length. damage says why.
	lost   [][2]uint32
	damage error
	// spillLost says that the spilled copy is damaged; what is stored for durability was read instead.
	spillLost bool
	err       error // the log cannot be read now; nothing else is set
	last      bool  // the goroutine ends with this job
}

// loadPart is a stored run of records: n records from index first on, at byte position pos.
type loadPart struct {
	desc     block.Desc
	first, n uint32
	pos      int
}

func newLoadJob(b *memBlock) *loadJob {
	j := &loadJob{blk: b, count: b.count, size: b.size}
	if b.spill != nil {
		j.spill = &b.spill.desc
	}
	for _, s := range b.segs {
		if s.stored {
			j.parts = append(j.parts, loadPart{desc: s.desc, first: s.first, n: s.n, pos: s.pos})
		}
	}
	return j
}

// run reads the block.
func (j *loadJob) run(log block.Log, queue uint64) {
	if j.spill != nil {
		j.buf, j.err = read(log, queue, *j.spill)
		if j.err == nil || !errors.Is(j.err, block.ErrCorrupt) {
			return
		}
		j.spillLost, j.damage, j.err = true, j.err, nil
	}
	var next loadPart // where the part that is missing begins
	for _, p := range j.parts {
		records, err := read(log, queue, p.desc)
		switch {
		case err == nil && len(j.parts) == 1 && p.n == j.count:
			j.buf = records
			return
		case err == nil:
			j.fill(next, p.first, p.pos)
			j.place(p.pos, records)
			next = loadPart{first: p.first + p.n, pos: p.pos + int(p.desc.Size)}
		case errors.Is(err, block.ErrCorrupt):
			j.damage = errors.Join(j.damage, err)
		default:
			*j = loadJob{blk: j.blk, err: err}
			return
		}
	}
	j.fill(next, j.count, j.size)
	if j.buf == nil && j.count > 0 { // nothing is left of it
		j.lost = [][2]uint32{{0, j.count - 1}}
	}
}

// read loads one stored block and compares its length with its description.
func read(log block.Log, queue uint64, d block.Desc) ([]byte, error) {
	records, err := log.Load(queue, d)
	if err == nil && len(records) != int(d.Size) {
		err = fmt.Errorf("%w: %d bytes at offset %d, want %d", block.ErrCorrupt, len(records), d.Base, d.Size)
	}
	return records, err
}

func (j *loadJob) place(pos int, records []byte) {
	if j.buf == nil {
		j.buf = make([]byte, j.size)
	}
	copy(j.buf[pos:], records)
}

// fill notes the records from where from begins up to index end, at position pos, as lost, and puts empty ones in their place,
// so that the others can be found. If all are lost it leaves buf nil.
func (j *loadJob) fill(from loadPart, end uint32, pos int) {
	n, size := int(end-from.first), pos-from.pos
	if n == 0 {
		return
	}
	j.lost = append(j.lost, [2]uint32{from.first, end - 1})
	if n == int(j.count) || size < n*block.PrefixLen {
		return
	}
	filling := make([]byte, size)
	for i := range n {
		length := block.PrefixLen
		if i == n-1 {
			length = size - i*block.PrefixLen
		}
		binary.LittleEndian.PutUint32(filling[i*block.PrefixLen:], uint32(length))
	}
	j.place(from.pos, filling)
}
