package perf

import (
	"fmt"
	"sync"
)

// maxExamples is how many findings of a verification are reported in words.
const maxExamples = 10

// verifier checks that each queue gets each message once and in order. Its queueVerifiers are used by the consumers.
type verifier struct {
	run    uint8
	any    bool // check the messages of any run, for there are no producers in this one
	queues []*queueVerifier
}

func newVerifier(run uint8, anyRun bool, queues []string) *verifier {
	v := &verifier{run: run, any: anyRun}
	for _, name := range queues {
		v.queues = append(v.queues, &queueVerifier{owner: v, name: name, streams: make(map[uint32]*seqSet)})
	}
	return v
}

// queueVerifier collects what was received from one queue, by all its consumers.
type queueVerifier struct {
	owner *verifier
	name  string

	mu          sync.Mutex
	streams     map[uint32]*seqSet // by messageID.stream
	lastStream  uint32             // the entry looked up last, nil set if none
	lastSet     *seqSet
	received    int64 // distinct messages
	duplicates  int64 // received again without being marked as redelivered
	redelivered int64 // received again and marked
	reordered   int64
	foreign     int64 // without a stamp, or of another run
	examples    []string
}

// lastSeen is a consumer's memory of the highest sequence number per stream of one queue.
type lastSeen map[uint32]int64

// receive notes one delivery. mu must be held; last belongs to the consumer.
func (q *queueVerifier) receive(id messageID, stamped, redelivered bool, last lastSeen) {
	if !stamped || !q.owner.any && id.run() != q.owner.run {
		q.foreign++
		return
	}
	stream, n := id.stream(), id.sequence()
	if q.lastSet == nil || q.lastStream != stream {
		set := q.streams[stream]
		if set == nil {
			set = new(seqSet)
			q.streams[stream] = set
		}
		q.lastStream, q.lastSet = stream, set
	}
	if !q.lastSet.add(n) {
		if redelivered {
			q.redelivered++
			return
		}
		q.duplicates++
		q.note("duplicate", id)
		return
	}
	q.received++
	// A message that another consumer gave back comes out of order, and says so.
	if highest, ok := last[stream]; ok && n < highest {
		if !redelivered {
			q.reordered++
			q.note("out of order", id)
		}
		return
	}
	last[stream] = n
}

func (q *queueVerifier) note(what string, id messageID) {
	if len(q.examples) < maxExamples {
		q.examples = append(q.examples, fmt.Sprintf("%s: %s in queue %s", what, describe(id), q.name))
	}
}

func describe(id messageID) string {
	return fmt.Sprintf("message %d of producer %d", id.sequence(), id.producer())
}

// stream is what a producer has published to one target.
type stream struct {
	producer uint16
	queues   []int // of the target
	count    int64 // the sequence numbers are 0 to count-1
	excused  *seqSet
}

// received returns the number of distinct messages received so far from all queues.
func (v *verifier) received() int64 {
	var n int64
	for _, q := range v.queues {
		q.mu.Lock()
		n += q.received
		q.mu.Unlock()
	}
	return n
}

// Verification is the result of checking each message of each producer in each queue.
type Verification struct {
	OK bool `json:"ok"`
	// Expected is the number of messages that had to arrive, counted once per queue. Messages that were refused, returned or
	// never confirmed are not among them, though they may arrive.
	Expected int64 `json:"expected"`
	// Received is the number of distinct messages that did.
	Received int64 `json:"received"`
	// Lost messages were expected and did not arrive.
	Lost int64 `json:"lost"`
	// Duplicated deliveries came again without the redelivered flag.
	Duplicated int64 `json:"duplicated"`
	// Reordered messages came to a consumer after a later one of the same producer, without the redelivered flag.
	Reordered int64 `json:"reordered"`
	// Redelivered messages came again and were marked as such, which is allowed.
	Redelivered int64 `json:"redelivered"`
	// Foreign messages are of another run or program; they are not checked.
	Foreign int64 `json:"foreign"`
	// Findings describes some of what is wrong.
	Findings []string `json:"findings,omitempty"`
}

// result compares what was received with what was published. Without producers in this run, each stream has to be without gap
// from the first to the last message that was received.
func (v *verifier) result(published []stream) *Verification {
	r := new(Verification)
	for _, q := range v.queues {
		q.mu.Lock()
		r.Received += q.received
		r.Duplicated += q.duplicates
		r.Reordered += q.reordered
		r.Redelivered += q.redelivered
		r.Foreign += q.foreign
		r.Findings = append(r.Findings, q.examples...)
		if v.any {
			for id, set := range q.streams {
				v.gaps(r, q, id, set)
			}
		}
		q.mu.Unlock()
	}
	for _, s := range published {
		for _, i := range s.queues {
			v.compare(r, v.queues[i], s)
		}
	}
	if len(r.Findings) > maxExamples {
		r.Findings = r.Findings[:maxExamples]
	}
	r.OK = r.Lost == 0 && r.Duplicated == 0 && r.Reordered == 0
	return r
}

func (v *verifier) compare(r *Verification, q *queueVerifier, s stream) {
	q.mu.Lock()
	defer q.mu.Unlock()
	id := newMessageID(v.run, s.producer, 0)
	set := q.streams[id.stream()]
	if set == nil {
		set = new(seqSet)
	}
	r.Expected += s.count
	if s.excused != nil {
		r.Expected -= s.excused.count
	}
	lost := rangeList{}
	set.missing(0, s.count, func(n int64) {
		if s.excused == nil || !s.excused.has(n) {
			lost.add(n)
		}
	})
	r.addLost(q, s.producer, &lost)
}

func (v *verifier) gaps(r *Verification, q *queueVerifier, id uint32, set *seqSet) {
	lost := rangeList{}
	first := set.first()
	set.missing(first, set.end, lost.add)
	r.Expected += set.end - first
	r.addLost(q, uint16(id), &lost)
}

func (r *Verification) addLost(q *queueVerifier, producer uint16, lost *rangeList) {
	r.Lost += lost.count
	for _, e := range lost.ranges {
		what := fmt.Sprintf("message %d", e[0])
		if e[1] > e[0] {
			what = fmt.Sprintf("messages %d to %d", e[0], e[1])
		}
		if len(r.Findings) < maxExamples {
			r.Findings = append(r.Findings, fmt.Sprintf("lost: %s of producer %d in queue %s", what, producer, q.name))
		}
	}
}

// rangeList counts ascending numbers and remembers the first ranges of them.
type rangeList struct {
	count  int64
	ranges [][2]int64
	last   int64
}

func (l *rangeList) add(n int64) {
	if l.count > 0 && n == l.last+1 {
		if e := &l.ranges[len(l.ranges)-1]; e[1] == l.last {
			e[1] = n
		}
	} else if len(l.ranges) < maxExamples {
		l.ranges = append(l.ranges, [2]int64{n, n})
	}
	l.count++
	l.last = n
}
