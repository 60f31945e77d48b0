// Package cluster is the broker as one thing: what the AMQP server and the admin API call.
//
// A [Broker] joins the replicated metadata (cluster/meta), the queue engines of this node (amqp/queue), their log (store) and
// the routing snapshots (cluster/routing). A connection works through an [Access], which is its user's view of one virtual
// host. Every check that RabbitMQ makes on a declare, bind, delete or consume is made here, in RabbitMQ's order and with
// its reply texts, because client libraries and operators match on them; errors for the client are [*wire.Error] without the
// failing method, which the server adds.
//
// The metadata is the authority on what exists. A change is checked against the current state, proposed to Raft, and checked
// again when it is applied; engines and routes follow in the order of the Raft log, before the proposer gets its answer, so
// that whoever was told of a queue can use it. Checking and proposing are separate functions, so that other front ends
// can share the checks.
//
// What operators change (vhosts, users, permissions, policies, limits) goes the same way: methods of Broker check it, with an
// [*ArgumentError] that says what is allowed, and propose it. Permissions, tags and limits are read from the current state
// wherever they count, so that a change acts on open connections at once; connections whose vhost or user is deleted are
// closed through [Options].CloseConnections. What happens is told on the exchange [EventExchange], if anything is bound to it.
//
// With Options.Network the node is one of several. formation.go and membership.go make it a member; nodes.go watches the others: who
// can be reached, how far they are, what they are short of; remote.go finds what another node declared or leads; placement.go,
// move.go, gate.go, rebalance.go and drain.go say where queues are led. A change is answered once all nodes that can be reached act on
// it (nodes.agree), and a name that is not found is asked for at the leader of the metadata (catchUp).
//
// Concurrency: a Broker and an Access are safe for concurrent use. Reads (routes, permissions) take no lock and never wait for
// Raft; an identical redeclare proposes nothing, and waits only for changes that other nodes are still taking in. The apply hook runs in the goroutine of the Raft state machine and waits for nothing: work
// that asks a queue engine is handed to goroutines that the Broker owns and Close waits for.
package cluster
