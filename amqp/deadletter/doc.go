// Package deadletter says what becomes of a message that leaves a queue for a dead-letter exchange: [Letter] makes its new
// properties, with the x-death header brought up to date, and the keys to route it with; [Cycle] says which target queues it must
// not enter, because it would go round for ever. [Parse] reads the history back.
//
// The queue engine, or whoever routes for it, calls Letter once per message, routes the result through the dead-letter exchange,
// and asks Cycle of each queue found. Everything works on encoded properties, as a record of amqp/block holds them. Headers that
// have nothing to do with dead-lettering stay as they are, byte for byte and in their order.
//
// Header names, types, and the order of fields are those of RabbitMQ 3.10 ("Dead Letter Exchanges" in its documentation). Like
// that version, and unlike 4.0, the history lives in the header alone, so one that a client republishes is gone on with.
//
// The functions are pure: no I/O, no clock, no state. Client-made headers of any shape neither panic nor fail.
package deadletter
