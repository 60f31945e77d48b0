// Package queue is the queue engine: ready and unacknowledged messages, consumers and their credit, requeue to the old
// position, paging between memory and log.
//
// A [Queue] is run by one goroutine at a time (its runner); an idle queue has none. Everything reaches it through a lock-free
// inbox; its state needs no lock. The server calls it through [Handle], so that a queue led by another node can stand behind
// the same interface. The engine knows no sockets and no AMQP frames: it moves pieces of blocks (see amqp/block) to
// [Receiver]s, which are channels.
//
// A queue can move to another node while it is used, see [Departure] and [Arrival]. The engine that it leaves passes on what still
// reaches it, for the rest of its life.
//
// A queue with Options.Delays has no consumers: it keeps messages until their deadlines and gives them up in that order, sorted
// into the slots of a timing wheel, so that millions may wait without being in memory.
package queue
