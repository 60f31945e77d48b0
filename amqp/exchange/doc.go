// Package exchange holds the routing tables of exchanges: pure values that say which destinations a routing key and headers
// lead to. [Lookup] finds a [Type] by the name that exchange.declare carries; the Type makes empty tables and checks what clients
// ask of exchanges and bindings.
//
// There are the four types of the specification, direct, fanout, topic and headers, and four that choose one destination, after
// RabbitMQ's plugins of the same names: x-consistent-hash, x-modulus-hash, x-random and x-local-random. All nodes make the same
// choice by hash, at any time, if they have the same bindings; it is not the one that RabbitMQ would make. x-delayed-message
// routes like another type; [Delay] says for how long a message is to be kept back before. x-recent-history routes like fanout;
// [HistoryLength] and [InHistory] say what is to be kept for queues that are bound later.
//
// A [Table] is immutable. [Table.With] and [Table.Without] return a changed table that shares what they did not touch, at a cost
// of O(log n) in the number of bindings. Any number of goroutines may match in one table; nothing is locked and, apart from the
// growth of the caller's buffer and what a table that chooses prepares for its first match, nothing is allocated.
//
// cluster/routing compiles tables into snapshots and gives destinations their meaning. This package knows neither queues nor
// names of exchanges, follows no bindings between exchanges, and does no I/O.
package exchange
