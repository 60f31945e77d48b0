// Package definitions reads and writes RabbitMQ's definitions: the JSON in which a broker's vhosts, users, permissions, parameters,
// policies, queues, exchanges and bindings are exported, kept, compared and imported (SEMANTICS 19).
//
// [Export] makes [Definitions] of a state, [Parse] of a file; [Definitions.AppendJSON] writes them. [Diff] compares a state with
// definitions and returns a [Plan], whose steps say what is to be created, changed or deleted. [Apply] carries a plan out; an import
// is that without deletions. [Load] does all of it for a file or directory, for a node that starts.
//
// A file is wrong as a whole or not at all: Parse and Diff check everything that the broker would check, and nothing is changed
// before they have. Every problem names file, line, column, field and value, and what is allowed.
//
// Queues and exchanges that exist stay as they are, as in RabbitMQ; if they differ from the file the plan has a conflict. Field
// tables become JSON and back by RabbitMQ's rules: integers are longs, numbers with a point or an exponent doubles, null is void.
// What JSON cannot hold (bytes that are not UTF-8, NaN) is a warning of the export.
//
// The package never looks into the broker beside its state, and starts goroutines only in Apply, which waits for them. Definitions
// and plans do not change once they are made and may be used by several goroutines.
package definitions
