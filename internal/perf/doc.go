// Package perf is the load generator behind "brokerctl perf": it publishes to and consumes from any AMQP 0-9-1 broker and
// reports rates, latencies and, if asked, whether every message arrived once and in order.
//
// [Run] takes [Options] and returns a [Report]. It declares queues, exchange and bindings over a control connection, starts
// the consumers, then the producers, prints a line per interval, and removes what it declared.
//
// A generator that is slower than the broker measures itself. Therefore there is no client library underneath: a producer
// copies prepared frames into a buffer, patches a stamp of 16 bytes in each and writes many of them with one system call; a
// consumer parses frames in place in a large read buffer and settles each chunk it has read with few acknowledgements. Neither
// allocates, locks or reads the clock per message.
//
// A connection of producers has two goroutines, one that writes and one that reads confirms; they share a [window] whose
// fields say who writes them. A connection of consumers has one goroutine. Counters are atomics that are added to once per
// chunk; latencies go to a few sharded histograms, locked once per chunk. All goroutines have ended when Run returns.
//
// The parts that decide anything (schedule, window, message stamps, verification, summary) know no socket and no clock.
package perf
