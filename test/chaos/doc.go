// Package chaos is the fault test of a cluster. It runs three brokerd processes with clients on all of them, while a nemesis kills,
// pauses and separates the nodes, and then checks the history of everything that the clients did against the contracts of
// the broker.
//
//	make chaos                                                      one round of a minute, and the planted bugs
//	go test -tags chaos -run TestChaos ./test/chaos -duration 2h    rounds with successive seeds until the time is over
//	go test -tags chaos -run TestChaos ./test/chaos -seed 7         the schedule of a run before
//
// [NewPlan] makes the schedule of faults from a seed and nothing else. [Run] runs a round and writes its history, one [Op] per
// line of JSON, beside the logs of the nodes; [Check] reads a history and knows nothing of how it came about, so it can be tested
// with histories written by hand, and run again on one that was kept. A [Report] has the counts.
//
// # What is checked
//
// Messages: none that was confirmed, persistent and not consumed is missing at the end, unless its queue was deleted; none comes
// that was not published; none comes twice as a first delivery; first deliveries to one consumer are in the order in which
// each channel published them.
//
// Names: what clients saw of each queue, exchange and binding fits into one order of events (porcupine). At the end every node
// is asked for every name. An operation without a known outcome may have taken effect at any time since, or never.
//
// Processes: none ends but by the nemesis, and all stop in order at the end.
//
// # What a node may not know
//
// A node goes on with what it knows while it is cut off: it may still find a name that the others have deleted. So for a node
// with a disturbed link, and a moment after, the checker lets it find names that exist no more. It never lets a node find what never
// existed, nor miss what exists.
//
// # Planted bugs
//
// The build tags fault_confirm_early (package store: confirms come before the write) and fault_apply_early (package cluster/meta:
// declarations are answered before they are committed) make a broker that the test must find guilty (TestFindsPlanted).
package chaos
