package chaos

import (
	"fmt"
	"strconv"
	"strings"
)

// message is what is known of one that was published.
type message struct {
	publish *Op
	firsts  int // deliveries without the mark of a redelivery
	any     *Op // the last delivery
	acked   bool
}

// fate is what is known of the deletion of a queue.
type fate struct {
	deleted bool // certainly, at some time
	maybe   bool // a delete without a known outcome
	last    *Op  // the last that told whether it is there
}

// excuses says whether messages of the queue may be gone.
func (f *fate) excuses() bool {
	return f != nil && (f.deleted || f.maybe && f.last != nil && f.last.Outcome == Absent)
}

// checkMessages checks what was published against what came.
func (c *checker) checkMessages() {
	messages, fates := c.gather()
	c.checkDeliveries(messages)
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != Publish || op.Outcome != OK {
			continue
		}
		m := messages[op.Message]
		c.verdict.Confirmed++
		switch f := fates[op.Name]; {
		case m.acked:
			c.verdict.Consumed++
		case f.excuses():
			c.verdict.Excused++
		case m.any != nil:
			c.violate("lost", fmt.Sprintf("message %s of queue %s was confirmed and delivered, never acknowledged, and is gone\n    %s\n    %s",
				op.Message, op.Name, op.line(), m.any.line()))
		default:
			c.violate("lost", fmt.Sprintf("message %s of queue %s was confirmed and never came\n    %s", op.Message, op.Name, op.line()))
		}
		if m.firsts > 1 {
			c.violate("duplicate", fmt.Sprintf("message %s of queue %s came %d times without the mark of a redelivery\n    %s\n    %s",
				op.Message, op.Name, m.firsts, op.line(), m.any.line()))
		}
	}
}

// gather collects the messages by their ids and the fates of queues by their names.
func (c *checker) gather() (map[string]*message, map[string]*fate) {
	messages, fates := map[string]*message{}, map[string]*fate{}
	removed := map[string]*Op{} // the end of the first certain delete
	for i := range c.ops {
		op := &c.ops[i]
		f := fates[op.Name]
		if f == nil {
			f = &fate{}
			fates[op.Name] = f
		}
		switch op.Kind {
		case Publish:
			messages[op.Message] = &message{publish: op}
			if r := removed[op.Name]; r != nil && op.Outcome == OK && op.Start > r.End {
				c.violate("phantom", fmt.Sprintf("message %s was confirmed and not returned, but its queue %s was deleted before\n    %s\n    %s",
					op.Message, op.Name, r.line(), op.line()))
			}
		case DeleteQueue:
			f.deleted = f.deleted || op.Outcome == OK
			f.maybe = f.maybe || op.Outcome == Unknown
			if op.Outcome == OK && removed[op.Name] == nil {
				removed[op.Name] = op
			}
		case LookQueue:
			if op.Outcome != Unknown && op.Outcome != Fail {
				f.last = op
			}
		}
	}
	return messages, fates
}

// checkDeliveries looks for messages that nobody has sent, and for those out of order: first deliveries of one channel to one
// consumer are in the order of publishing.
func (c *checker) checkDeliveries(messages map[string]*message) {
	type flow struct{ consumer, queue, channel string }
	lasts := map[flow]int64{}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != Deliver {
			continue
		}
		m := messages[op.Message]
		if m == nil || m.publish.Name != op.Name {
			c.violate("foreign", fmt.Sprintf("message %q came from queue %s, to which nobody has published it\n    %s", op.Message, op.Name, op.line()))
			continue
		}
		m.any = op
		m.acked = m.acked || op.Settled == Acked
		if op.Redelivered {
			continue
		}
		m.firsts++
		channel, serial, ok := parseMessage(op.Message)
		if !ok {
			continue
		}
		f := flow{op.Client, op.Name, channel}
		if last, ok := lasts[f]; ok && last >= serial {
			c.violate("order", fmt.Sprintf("message %s of queue %s came after number %d\n    %s", op.Message, op.Name, last, op.line()))
		}
		lasts[f] = serial
	}
}

// messageID names the n-th message of a channel.
func messageID(channel string, n int64) string { return channel + "/" + strconv.FormatInt(n, 10) }

func parseMessage(id string) (channel string, serial int64, ok bool) {
	at := strings.LastIndexByte(id, '/')
	if at < 0 {
		return "", 0, false
	}
	serial, err := strconv.ParseInt(id[at+1:], 10, 64)
	return id[:at], serial, err == nil
}
