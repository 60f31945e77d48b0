// Package policy says what policies make of queues and exchanges. A policy gives settings to everything in a vhost whose name
// matches its pattern; an operator policy does the same with a few keys, on top. Its numbers can only tighten what others ask for.
//
// [Validate] checks a policy before it is stored. [Compile] turns the policies of one vhost into a [Set], which says what applies
// to a queue or exchange ([Set.ForQueue], [Set.ForExchange]). [QueueSettings] and [ExchangeSettings] put that together with the
// arguments of the declaration, and say of each setting where it comes from.
//
// All policies that match take part: each key has its value from the matching policy of the highest priority that has the key,
// and a key that a queue of that type, or an exchange, does not have is left out alone. RabbitMQ lets one policy apply, and that
// one only if all of its keys do. Precedence among policy, operator policy and argument is RabbitMQ's, key by key, except for
// overflow, where it differs between queue types and is one rule here.
//
// Patterns are Go regular expressions (RE2) and match anywhere in the name unless they are anchored.
//
// Everything here is pure: no I/O, no clock, no goroutine. A Set is immutable; any number of goroutines may use it. The cluster
// compiles a new one when a policy of the vhost changes.
package policy
