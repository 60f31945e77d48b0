// Package peer lets a node use queues that other nodes lead as if they were its own.
//
// [Links] is the using side. It keeps one stream to each other node and gives out queue.Handles ([Links.Queue]) that stand for
// the queues led there. [Service] is the leading side: it serves the streams of other nodes from this node's engines. A
// stream carries whole blocks and pieces of blocks, never single messages where there are more, and everything that is pending
// when it is free goes as one message.
//
// What a link guarantees. Operations of one goroutine on one handle take effect in their order. A publication is answered as the
// leader's queue answers it, or refused when the link is lost first; it may have been taken all the same then. A delivery can be
// settled over the link on which it came and over no other: when a link is lost, the leader requeues what was delivered over it
// and not settled, and settlements of it are void from then on. Consumers of a lost link are told with Receiver.Cancelled.
//
// A handle differs from an engine in these points only: a Publication must not have a Source, because no transaction goes across
// nodes; a Consumer is good for one Consume; and calls that wait do so for 10 seconds at most.
//
// Flow. A publisher's Flow is given back when the leader's queue gives it back, so that publishers bound what is pending on the
// way. A consumer has a window of messages and bytes at the leader, which its receiver refills by taking deliveries. What a
// receiver refuses is kept for a moment and then returned to the queue, so that a client that does not read holds up no
// messages that others could have.
//
// Concurrency: Links, its handles, and Service are safe for concurrent use. Receivers are called by one goroutine at a time for each
// consumer, never with a lock held that Publish, Settle or Wake need. A link has four goroutines on the using side and three on
// the leading side, whatever the number of queues and consumers; only calls that may wait in the engine have their own there.
package peer
