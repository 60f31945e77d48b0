package deadletter

import "github.com/brokerd/brokerd/amqp/wire"

// Cycle reports whether a dead message must not enter the named queue, because it was there before and came back without anybody
// rejecting it: it would go round for ever. properties are those that [Letter] returned, so that its latest death, which was for
// reason, counts as well; the copy for that queue is to be dropped.
//
// From the latest death back to the latest one in the queue none may be a rejection; a message that was just rejected, or has not
// died in the queue, is in no cycle. Nor is one with an x-death that is not a list of deaths up to there, as only a client can
// have made that.
func Cycle(properties []byte, queue string, reason Reason) bool {
	if reason == Rejected {
		return false
	}
	var v wire.PropertyView
	if wire.ScanProperties(properties, &v) != nil {
		return false
	}
	past, found, err := find(v.Headers, headerDeath)
	if err != nil || !found || past.Kind != wire.KindArray {
		return false
	}
	rejected := Rejected.String()
	r := deathReader{rest: past.Data}
	for d := (rawDeath{}); r.next(&d); {
		if string(d.reason) == rejected {
			return false
		}
		if string(d.queue) == queue {
			return true
		}
	}
	return false
}
