// Package dedup remembers which messages have been seen, so that a queue or an exchange can drop those that come again.
//
// A message is identified by a value that its publisher gave it: a header, the message id or the correlation id. Of a value only a
// [Key] is kept, a hash of 16 bytes. A [Window] holds the latest keys, bounded in number and in time; a repetition does not renew
// it. A [Journal] keeps the keys of a window in the log, as small records of their own that are merged as they become many.
//
// The queue engine owns a Window and a Journal per queue; its runner is the only one that uses them, and they have neither locks
// nor clocks. A [Guard] is the same for an exchange, to which many channels publish at once.
//
// The order that makes this safe: a key becomes durable together with its message or after it, never before. If it were before, a
// crash in between would lose the message, because the publisher's second attempt would be dropped.
package dedup
