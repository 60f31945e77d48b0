// Package block defines the record (one message as a queue holds it) and the block (a run of records of one queue with
// consecutive offsets), which is the unit of hand-over, memory, disk and links between nodes.
//
// The connection's reader encodes records with [AppendRecord]; the queue engine walks them with [RecordLen] and [Parse]; the
// store writes [AppendStored] and checks with [ParseStored]; the connection's writer encodes deliveries from the parsed view.
// Nothing here allocates, blocks or does I/O. Values are plain data: a Block's bytes are written by one goroutine before they
// are published and never changed afterwards.
package block
