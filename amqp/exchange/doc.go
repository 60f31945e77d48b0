// Package exchange holds the routing tables of exchanges: pure values that say which destinations a routing key and headers
// lead to. There is one kind of table per exchange type: direct, fanout, topic and headers. [Lookup] finds a [Type] by the name
// that exchange.declare carries; the Type makes empty tables and checks the arguments of new bindings.
//
// A [Table] is immutable. [Table.With] and [Table.Without] return a changed table that shares what they did not touch, at a cost
// of O(log n) in the number of bindings. Any number of goroutines may match in one table; nothing is locked and, apart from the
// growth of the caller's buffer, nothing is allocated.
//
// cluster/routing compiles tables into snapshots and gives destinations their meaning. This package knows neither queues nor
// names of exchanges, follows no bindings between exchanges, and does no I/O.
package exchange
