// Package network carries everything that the nodes of a cluster say to each other. One listener per node takes authenticated
// connections; each of them is a stream of Raft messages or a gRPC connection. The package knows nothing of queues or metadata.
//
// internal/node calls [Listen], gives [Network.Transport] to the Raft group, registers its services with [Network.Server] and
// calls [Network.Serve]. From then on [Network.Conn] gives one shared gRPC connection per node, and [Caller] says inside a
// service who asks. Nodes are named by their id everywhere: the package keeps a book of their addresses, fed by every handshake
// and by [Network.Learn], so that a node may move.
//
// # Authentication
//
// A connection begins with mutual TLS 1.3, if [Options].TLS is set, and then with a handshake of our own, in which both sides
// say who they are, which protocols they speak and which cluster they are in. If there is a shared secret, each side sends 32
// random bytes and proves that it knows the secret by an HMAC-SHA256 over its role and everything that both have said. Thus no
// proof serves for the other direction, for another connection, or for identities or protocol ranges that were changed on
// the way, and the secret itself never leaves the node. Inside TLS the proof covers the TLS session too.
//
// With a secret alone, a connection is authenticated when it is set up, and no more: it is not encrypted, and somebody who
// controls the path can read and change what follows. Who records a handshake can try guesses at the secret, so it should be
// random (openssl rand -hex 32). Networks that are not trusted need TLS. With TLS alone, everybody with a certificate of the
// configured authority is a member: it must sign for this cluster only. With neither, the listener must be on a loopback
// address, and no other address is called; everybody on the machine is trusted then.
//
// Why the other side refuses is only said where it gives nothing away: before the proof, that the protocols or the secrets do
// not match; after it, the rest. A reason that comes before the proof, or without a secret, may be forged by somebody on the
// path: treat [ErrForeignCluster] and its kin as a reason to log and to retry, never to give something up.
//
// # Failures
//
// A link that hangs without a word is closed within some 6 s: gRPC connections are asked for a sign of life every second, and
// on Linux the kernel gives up sent data that was not acknowledged for 5 s. gRPC connections come back by themselves.
//
// # Bounds
//
// Handshakes have 5 s; at most 64 are under way, 48 with one address; 4096 connections may be open. The book keeps 1024 nodes.
//
// # Concurrency
//
// A Network is safe for concurrent use. Its goroutines end with [Network.Close].
package network
