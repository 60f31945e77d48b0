package dedup

// Window is the keys that came last. Its times are Unix milliseconds; they should not decrease. It is not safe for concurrent use.
type Window struct {
	size    int
	ttl     int64
	numbers map[Key]uint64 // of the entry that counts for a key
	// entries are in the order in which they were added; the first one has the number base. Those before off are gone. An entry
	// whose number is not in numbers is void.
	entries []Entry
	off     int
	base    uint64
}

// Entry is a key and when it came.
type Entry struct {
	Key  Key
	Time int64 // Unix milliseconds
}

// NewWindow returns an empty window.
func NewWindow(o Options) *Window {
	size := o.Size
	if size <= 0 {
		size = DefaultSize
	}
	return &Window{size: min(size, MaxSize), ttl: o.TTL, numbers: make(map[Key]uint64)}
}

// Known tells whether k is in the window at the time now.
func (w *Window) Known(k Key, now int64) bool {
	n, ok := w.numbers[k]
	return ok && !w.late(w.entries[n-w.base].Time, now)
}

// Add puts k, which is not known, into the window and returns the number of its entry. Numbers increase.
func (w *Window) Add(k Key, now int64) uint64 {
	n := w.base + uint64(len(w.entries))
	w.entries = append(w.entries, Entry{k, now})
	w.numbers[k] = n
	for w.off < len(w.entries) && (len(w.entries)-w.off > w.size || w.late(w.entries[w.off].Time, now)) {
		first := w.entries[w.off].Key
		if w.numbers[first] == w.base+uint64(w.off) {
			delete(w.numbers, first)
		}
		w.off++
	}
	if w.off > 1024 && w.off > len(w.entries)/2 {
		kept := copy(w.entries, w.entries[w.off:])
		w.entries = w.entries[:kept]
		w.base += uint64(w.off)
		w.off = 0
	}
	return n
}

// Each calls visit for all keys, in the order in which they were added. Some may be too old.
func (w *Window) Each(visit func(Entry)) {
	for i := w.off; i < len(w.entries); i++ {
		if n, ok := w.numbers[w.entries[i].Key]; ok && n == w.base+uint64(i) {
			visit(w.entries[i])
		}
	}
}

// Forget takes k out: its message was not taken after all.
func (w *Window) Forget(k Key) { delete(w.numbers, k) }

// Oldest returns the least number that an entry in the window can have.
func (w *Window) Oldest() uint64 { return w.base + uint64(w.off) }

// Len returns the number of keys, those included whose time is over and that nothing has pushed out yet.
func (w *Window) Len() int { return len(w.numbers) }

func (w *Window) late(added, now int64) bool { return w.ttl > 0 && now-added >= w.ttl }
