package queue

// None stands for a limit or a time that is not set.
const None = -1

// Settings are what arguments and policies make of a queue. They can change while it runs.
type Settings struct {
	MessageTTL    int64 // milliseconds that a message may wait, None
	Expires       int64 // milliseconds that the queue may be unused, None
	MaxLength     int64 // ready messages, None
	MaxBytes      int64 // bytes of the bodies of ready messages, None
	Overflow      Overflow
	DeadLetters   bool  // messages that are given up go to Options.DeadLetter
	DeliveryLimit int64 // failed deliveries after which a message is given up, None
}

// NoSettings are the settings of a plain queue.
var NoSettings = Settings{MessageTTL: None, Expires: None, MaxLength: None, MaxBytes: None, DeliveryLimit: None}

// Overflow says what a full queue does with a message more.
type Overflow uint8

const (
	DropHead         Overflow = iota // the oldest ready messages are given up
	RejectPublish                    // the new one is refused
	RejectPublishDLX                 // the new one is refused, and dead-lettered
)

// Configure changes the settings. What is in the queue already keeps the deadlines it has (SEMANTICS 6.5); shorter limits take
// effect at once. It does not wait.
func (q *Queue) Configure(s Settings) {
	q.post(&item{fn: func() {
		if q.over() {
			return
		}
		q.configure(s)
	}})
}

func (q *Queue) configure(s Settings) {
	counted := q.countBytes
	q.set = s
	q.countBytes = s.MaxBytes >= 0
	if counted != q.countBytes {
		q.countReadyBytes()
	}
	q.touch()
}

// countReadyBytes finds readyBytes anew, if it is kept.
func (q *Queue) countReadyBytes() {
	q.readyBytes = 0
	if !q.countBytes {
		return
	}
	for _, l := range q.lanes {
		l.eachReady(func(b *memBlock, lo, hi uint32) { q.readyBytes += bodiesOf(b, lo, int(hi-lo+1)) })
	}
}

// eachReady calls fn for every run of ready records.
func (l *lane) eachReady(fn func(b *memBlock, lo, hi uint32)) {
	for _, r := range l.requeued {
		l.eachLive(r, fn)
	}
	if l.curOff < l.next {
		l.eachLive(Range{l.curOff, l.next - 1}, fn)
	}
}
