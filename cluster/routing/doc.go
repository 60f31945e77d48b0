// Package routing holds the routing state of the cluster as readers use it: an immutable [Snapshot] of vhosts, exchanges, queues
// and bindings, and [VHost.RouteMessage], which finds the queues of a message.
//
// The cluster feeds every change of the replicated state to a [Builder] and publishes the result of [Builder.Commit] through a
// [Table]. A commit costs what its changes cost, each O(log n): snapshots share all parts that did not change. Readers load the
// current snapshot and use it without locks for as long as they like; it never changes, and looking up and routing allocate
// nothing beyond the growth of the caller's buffer and, now and then, a remembered topic route or, once after a change, the list of queues
// that an exchange chooses from.
//
// A *VHost is the same in two snapshots exactly if nothing in that vhost changed, so it may serve as the generation under which a
// route is remembered, for messages that are alike in what the route rests on.
//
// A topic exchange remembers the routes of up to 256 keys until one of its bindings changes. BenchmarkRoute shows that it pays:
// with 100 keys in use a route takes a quarter of the time, and with far more keys than slots it takes hardly longer.
//
// The package does not check whether changes are allowed, and does not know permissions or durability.
package routing
