// Package pmap holds persistent maps: a change returns a new map that shares all untouched parts with the old one, at a cost
// of O(log n). Routing tables and snapshots are built of them, so that readers need no lock and a binding more costs the same
// whether an exchange has ten or a hundred thousand.
//
// [Strings] is keyed by names and words, [IDs] by unique numbers. Both are values whose zero value is the empty map; they are
// safe for any number of concurrent readers and may be copied freely. Both are hash tries with 32 children per node (after
// Bagwell's "Ideal Hash Trees"). Names come from clients, so their hash is keyed with a seed of the process: nobody outside can
// craft names that collide. Iteration order is fixed for a given map, but for Strings it differs from process to process.
package pmap
