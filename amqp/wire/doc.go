// Package wire turns AMQP 0-9-1 frames, methods, field tables and content properties into Go values and back, in the dialect
// that RabbitMQ and its clients speak. Both sides of a connection use it: the server, and the load generator as a client.
//
// There are two layers. [ParseMethod] and [AppendMethod] handle every method as a struct with copied, keepable strings. The
// methods that come once per message have views instead ([ParsePublish], [ParseAck], [ScanProperties], ...) that point into the
// frame and allocate nothing, and encoders that append whole frames to a buffer ([AppendDeliver], [AppendAck], ...).
//
// The package does no I/O, holds no state and starts no goroutine; all functions may be called concurrently on distinct
// buffers. It never panics on bytes from the network: whatever is wrong with them comes back as an [*Error] with the reply code
// and text that the peer is to get, or as [ErrUnknownMethod].
package wire
