// Package meta is the replicated metadata of the broker: vhosts, users, permissions, exchanges, queues, bindings, policies,
// parameters, the nodes, and which run of which node owns what. One Raft group holds it; a single node is a group of one member.
//
// [Open] starts the group. A change is a [Command] given to [Group.Propose], which returns once the change is committed and
// applied on this node; commands that are proposed at the same time share one entry of the Raft log, so that a thousand
// clients declaring at once cost a few syncs. Reading is [Group.State]: an immutable [State] that any number of goroutines
// may use without a lock for as long as they like. Options.OnApply hears of every new state together with the [Change] list
// that led to it, before the proposers do; cluster/routing compiles its snapshots there.
//
// All members are alike to the caller. What only the leader can do, the others have it do by way of Options.Forward, which
// carries bytes to the leader's [Group.HandleForward]: batches of commands, the question for the index that a reader must have
// applied ([Group.ReadIndex]), members that [Group.Join] or [Group.Leave]. What certainly did not happen is tried again until the
// caller's time is up; what may have happened never is. The leader gives votes to those who have caught up, to [MaxVoters] in all.
//
// Commands have versions, see [CommandVersion], so that nodes of different releases can be members of one group.
//
// The state machine is deterministic: what a command does depends on the state and the command alone, never on a clock, a
// random number or the order of a map. Cascades (bindings of a deleted queue, auto-delete exchanges that lost their last
// binding, everything in a vhost) are computed there, so that all members agree on them.
//
// What the package never does: it knows no AMQP reply texts, checks no permissions and no equivalence of redeclarations (a
// declare of an existing name returns the existing entity), and protects no names: the cluster package does that before it
// proposes.
//
// Concurrency: a State and everything in it is read-only. Group is safe for concurrent use. The Raft library applies from one
// goroutine, which owns the state machine; the only shared word is the pointer to the current State.
package meta
