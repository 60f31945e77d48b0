package block

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func drawRecord(t *rapid.T) Record {
	text := func(most int, what string) []byte {
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, what)}, rapid.IntRange(0, most).Draw(t, what+" length"))
	}
	return Record{
		Flags:         Flags(rapid.IntRange(0, 3).Draw(t, "flags")),
		Priority:      rapid.Byte().Draw(t, "priority"),
		DeliveryCount: rapid.Uint16().Draw(t, "delivery count"),
		Arrived:       rapid.Int64().Draw(t, "arrived"),
		Deadline:      rapid.SampledFrom([]int64{0, 0, 1, 77, 1 << 60}).Draw(t, "deadline"),
		Exchange:      text(255, "exchange"),
		RoutingKey:    text(255, "key"),
		Properties:    text(400, "properties"),
		Body:          text(500, "body"),
	}
}

func sameRecord(a, b *Record) bool {
	return a.Flags == b.Flags && a.Priority == b.Priority && a.DeliveryCount == b.DeliveryCount && a.Arrived == b.Arrived &&
		a.Deadline == b.Deadline && bytes.Equal(a.Exchange, b.Exchange) && bytes.Equal(a.RoutingKey, b.RoutingKey) &&
		bytes.Equal(a.Properties, b.Properties) && bytes.Equal(a.Body, b.Body)
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		buf := AppendRecord([]byte("before"), &r)[len("before"):]
		if len(buf) != r.Len() || RecordLen(buf) != r.Len() || FlagsOf(buf) != r.Flags || DeadlineOf(buf) != r.Deadline ||
			BodyLenOf(buf) != len(r.Body) {
			t.Fatalf("record of %d bytes, want %d; body of %d, want %d", len(buf), r.Len(), BodyLenOf(buf), len(r.Body))
		}
		var got Record
		n, err := Parse(append(slices.Clone(buf), "behind"...), nil, &got)
		if err != nil || n != len(buf) || !sameRecord(&got, &r) {
			t.Fatalf("parsed %d bytes, %v: %+v, want %+v", n, err, got, r)
		}
		head := AppendRecordHead(nil, &r, len(r.Body))
		if n, err = Parse(head, r.Body, &got); err != nil || n != len(buf) || !sameRecord(&got, &r) {
			t.Fatalf("with a tail: parsed %d bytes, %v: %+v, want %+v", n, err, got, r)
		}
		if len(r.Body) > 0 {
			if _, err = Parse(head, r.Body[1:], &got); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("with a tail that is too short: %v", err)
			}
			if _, err = Parse(buf[:len(buf)-1], nil, &got); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut off: %v", err)
			}
		}
	})
}

// What a parsed record gives away cannot be appended to over what lies behind it.
func TestParsedSlicesAreCapped(t *testing.T) {
	r := Record{Exchange: []byte("x"), RoutingKey: []byte("k"), Properties: []byte{0, 0}, Body: []byte("body")}
	buf := append(AppendRecord(nil, &r), "next"...)
	want := slices.Clone(buf)
	var got Record
	if _, err := Parse(buf, nil, &got); err != nil {
		t.Fatal(err)
	}
	for _, s := range [][]byte{got.Exchange, got.RoutingKey, got.Properties, got.Body} {
		_ = append(s, "overwritten"...)
	}
	if !bytes.Equal(buf, want) {
		t.Fatalf("the block has changed: %q", buf)
	}
}

func TestBlockCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Block
		var size, persistent int
		var bodies, deadline int64
		n := rapid.IntRange(1, 20).Draw(t, "n")
		for range n {
			r := drawRecord(t)
			b.Append(&r)
			size += r.Len()
			bodies += int64(len(r.Body))
			if r.Flags&Persistent != 0 {
				persistent++
			}
			if r.Deadline != 0 && (deadline == 0 || r.Deadline < deadline) {
				deadline = r.Deadline
			}
		}
		if b.Count != n || b.Size() != size || b.Bodies != bodies || b.Persistent != persistent || b.MinDeadline != deadline {
			t.Fatalf("%d records, %d bytes, %d of bodies, %d persistent, deadline %d; want %d, %d, %d, %d, %d",
				b.Count, b.Size(), b.Bodies, b.Persistent, b.MinDeadline, n, size, bodies, persistent, deadline)
		}
		h := Header{Queue: 1, Base: 2, Count: uint32(n), Persistent: uint32(persistent), MinDeadline: deadline}
		got, records, err := ParseStored(AppendStored(nil, h, b.Records))
		if h.Len = uint32(size); err != nil || got != h || !bytes.Equal(records, b.Records) {
			t.Fatalf("stored and parsed: %+v, %v; want %+v", got, err, h)
		}
		b.Reset()
		if b.Size() != 0 || b.Count != 0 || cap(b.Records) < size {
			t.Fatalf("after Reset: %d bytes, %d records, room for %d", b.Size(), b.Count, cap(b.Records))
		}
	})
}

func TestLargeBodyIsShared(t *testing.T) {
	var b Block
	body := bytes.Repeat([]byte("x"), LargeBody)
	r := Record{RoutingKey: []byte("k"), Properties: []byte{0, 0}, Body: body}
	b.Append(&r)
	if &b.Tail[0] != &body[0] || b.Size() != r.Len() || len(b.Records) != r.Len()-LargeBody {
		t.Fatalf("%d bytes of records, %d of tail", len(b.Records), len(b.Tail))
	}
	_, records, err := ParseStored(AppendStored(nil, Header{Count: 1}, b.Records, b.Tail))
	var got Record
	if _, perr := Parse(records, nil, &got); err != nil || perr != nil || !sameRecord(&got, &r) {
		t.Fatalf("stored and parsed: %v, %v", err, perr)
	}
}

func storedExample() []byte {
	var b Block
	for i := range 3 {
		b.Append(&Record{Flags: Persistent, RoutingKey: []byte("key"), Properties: []byte{0, 0}, Body: []byte{byte(i)}})
	}
	return AppendStored(nil, Header{Queue: 9, Base: 70, Count: 3, Persistent: 3}, b.Records)
}

// sum makes the checksum right again after a change.
func sum(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

func TestParseStoredDamage(t *testing.T) {
	whole := storedExample()
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 0x10
		if _, _, err := ParseStored(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d changed: %v, want %v", i, err, ErrCorrupt)
		}
		if _, _, err := ParseStored(whole[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v, want %v", i, err, ErrCorrupt)
		}
	}
	for name, change := range map[string]func(b []byte) []byte{
		"record too long":      func(b []byte) []byte { b[HeaderLen]++; return b },
		"record too short":     func(b []byte) []byte { b[HeaderLen] = 3; return b },
		"huge record":          func(b []byte) []byte { copy(b[HeaderLen:], "\xff\xff\xff\xff"); return b },
		"huge properties":      func(b []byte) []byte { copy(b[HeaderLen+28:], "\xff\xff\xff\xff"); return b },
		"one record too few":   func(b []byte) []byte { b[24]--; return b },
		"one record too many":  func(b []byte) []byte { b[24]++; return b },
		"length of records":    func(b []byte) []byte { b[40]--; return b },
		"a byte after the end": func(b []byte) []byte { b[40]++; return append(b, 0) },
	} {
		if _, _, err := ParseStored(sum(change(slices.Clone(whole)))); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, want %v", name, err, ErrCorrupt)
		}
	}
}

// FuzzParseStored: nothing panics, and what passes can be walked without checks and comes out of a round trip as it was.
func FuzzParseStored(f *testing.F) {
	f.Add(storedExample())
	f.Add(AppendStored(nil, Header{}))
	f.Add([]byte("AMB1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderLen { // let it come past the checksum
			b = slices.Clone(b)
			binary.LittleEndian.PutUint32(b, magic)
			sum(b)
		}
		h, records, err := ParseStored(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("%v does not wrap %v", err, ErrCorrupt)
			}
			return
		}
		var again []byte
		rest := records
		for range h.Count {
			var r Record
			n, err := Parse(rest, nil, &r)
			if err != nil || n != RecordLen(rest) || BodyLenOf(rest) != len(r.Body) || DeadlineOf(rest) != r.Deadline {
				t.Fatalf("record of %d bytes: %v", n, err)
			}
			reserved := binary.LittleEndian.Uint16(rest[26:])
			at := len(again)
			again = AppendRecord(again, &r)
			binary.LittleEndian.PutUint16(again[at+26:], reserved)
			rest = rest[n:]
		}
		if len(rest) != 0 || !bytes.Equal(again, records) {
			t.Fatalf("%d bytes behind the records, or they differ", len(rest))
		}
		h2, records2, err := ParseStored(AppendStored(nil, h, again))
		if err != nil || h2 != h || !bytes.Equal(records2, records) {
			t.Fatalf("round trip: %+v, %v; want %+v", h2, err, h)
		}
	})
}

func TestArenas(t *testing.T) {
	for _, n := range []int{0, 1, SmallArena, SmallArena + 1, TargetLen, TargetLen + 1, 1 << 20} {
		b := GetArena(n)
		if len(b) != 0 || cap(b) < n {
			t.Fatalf("GetArena(%d): %d bytes, room for %d", n, len(b), cap(b))
		}
		PutArena(b)
	}
	b := append(GetArena(0), "content"...)
	for n := range 40 {
		b = append(Grow(b, 4000), bytes.Repeat([]byte{byte(n)}, 4000)...)
	}
	if len(b) != 7+160_000 || string(b[:7]) != "content" || b[7+4000*3] != 3 {
		t.Fatalf("%d bytes after Grow, beginning with %q", len(b), b[:7])
	}
	PutArena(make([]byte, 10)) // not one of ours
	if n := testing.AllocsPerRun(100, func() { PutArena(GetArena(100)) }); n > 0 {
		t.Errorf("%v allocations for a small arena, want 0", n)
	}
}

func BenchmarkAppendRecord(b *testing.B) {
	r := Record{RoutingKey: []byte("key"), Properties: []byte{0, 0}, Body: make([]byte, 16)}
	buf := make([]byte, 0, TargetLen)
	b.ReportAllocs()
	for range b.N {
		if cap(buf)-len(buf) < r.Len() {
			buf = buf[:0]
		}
		buf = AppendRecord(buf, &r)
	}
}

func BenchmarkParseStored(b *testing.B) {
	var blk Block
	for range 1000 {
		blk.Append(&Record{RoutingKey: []byte("key"), Properties: []byte{0, 0}, Body: make([]byte, 16)})
	}
	stored := AppendStored(nil, Header{Count: 1000}, blk.Records)
	b.ReportAllocs()
	b.SetBytes(int64(len(stored)))
	for range b.N {
		if _, _, err := ParseStored(stored); err != nil {
			b.Fatal(err)
		}
	}
}
