// Package server speaks AMQP 0-9-1 to clients: it accepts connections, performs the handshake, keeps the state of connections and
// channels, and turns methods into calls of a [Broker]. It knows nothing about how the broker does what is asked.
//
// internal/node makes a [Server] with [New], opens its listeners with [Server.Listen] and ends it with [Server.Shutdown]. Nothing
// here stores messages, decides about permissions or routes.
//
// Each connection has one goroutine that reads (the reader). It parses frames in place in its read buffer and runs whatever
// cannot wait: publishing with its content, ack, nack, reject, qos and the like. A method that may wait runs on a goroutine of its
// channel; frames of that channel are kept meanwhile (see channel). Writing is the outbox's business and never blocks a reader.
// The state of a channel is touched by one goroutine at a time: the reader, or the channel's goroutine while there is one.
package server
