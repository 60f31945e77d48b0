// Package datadir opens the data directory of a node: it creates and marks a new one, refuses what is not one of ours, and
// keeps it locked so that no two processes write to it. internal/node opens it before anything else and closes it last; what
// is inside, apart from the two files of this package, belongs to the store and the replicated state.
//
// A [Dir] is safe for concurrent use except for Close.
package datadir
