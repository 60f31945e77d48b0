package conformance

import (
	"fmt"
	"os"
	"syscall"

	"github.com/brokerd/brokerd/internal/config"
)

// ballastBytes are what a case allocates to provoke the memory alarm of roomy nodes.
const ballastBytes = 512 << 20

// memoryInUse returns the bytes of memory that this process has for itself, as nodes count it.
func memoryInUse() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	var size, resident, shared int64
	if _, err2 := fmt.Sscan(string(b), &size, &resident, &shared); err != nil || err2 != nil {
		panic(fmt.Sprint("memory of this process: ", err, err2))
	}
	return (resident - shared) * int64(os.Getpagesize())
}

var (
	// roomy nodes have memory until somebody takes the ballast aboard.
	roomy = &nodeSpec{name: "memory", adjust: func(cfg *config.Config) {
		cfg.Memory.Limit, cfg.Store.MinFree = memoryInUse()+ballastBytes*3/4, 0
	}}
	// crowded nodes want more free disk space than there is.
	crowded = &nodeSpec{name: "disk", adjust: func(cfg *config.Config) { cfg.Store.MinFree = 1 << 60 }}
	// desperate nodes lack both.
	desperate = &nodeSpec{name: "both", adjust: func(cfg *config.Config) { cfg.Memory.Limit, cfg.Store.MinFree = 1<<20, 1<<60 }}
)

// ballast is memory that is in use.
type ballast struct{ pages []byte }

func (b *ballast) load(*run) (err error) {
	if b.pages, err = syscall.Mmap(-1, 0, ballastBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
		return fmt.Errorf("ballast: %w", err)
	}
	for i := 0; i < len(b.pages); i += 4096 {
		b.pages[i] = 1
	}
	return nil
}

func (b *ballast) drop(*run) error { return syscall.Munmap(b.pages) }

func withBallast() map[string]func(*run) error {
	var b ballast
	return map[string]func(*run) error{"load": b.load, "drop": b.drop}
}

// alarmCases are about alarms and flow control, section 13. Nodes notice a shortage within a fraction of a second; the scripts
// publish until they are blocked.
var alarmCases = []conformanceCase{
	{id: "R415", about: "memory alarm: who publishes is blocked, who consumes is not, and all goes on when it is over", on: roomy, do: withBallast(), script: `
		connect p
		p0< connection.open-ok
		connect k
		k0< connection.open-ok
		k> queue.declare queue=xb
		k< queue.declare-ok queue=xb
		k> basic.consume queue=xb consumer-tag=t no-ack
		k< basic.consume-ok consumer-tag=t
		do load
		p> queue.declare queue=xb passive
		p< queue.declare-ok queue=xb consumer-count=1
		p0< (nothing)
		~p> basic.publish exchange=amq.fanout
		p0< connection.blocked reason=low on memory
		p> basic.publish routing-key=xb body=1
		p> basic.qos
		p< (nothing)
		k0< (nothing)
		k2> queue.declare queue=xb passive
		k2< queue.declare-ok queue=xb consumer-count=1
		connect f
		f0< connection.open-ok
		f> queue.declare queue=xb passive
		f< queue.declare-ok queue=xb consumer-count=1
		f> basic.publish routing-key=xb body=2
		f0< connection.blocked reason=low on memory
		do drop
		p0< connection.unblocked
		p< basic.qos-ok
		f0< connection.unblocked
		k< basic.deliver consumer-tag=t delivery-tag=1 routing-key=xb body=…
		k< basic.deliver consumer-tag=t delivery-tag=2 routing-key=xb body=…`},
	{id: "S13.2", about: "acknowledgements of a connection that only consumes still count", on: crowded, script: `
		connect k
		k0< connection.open-ok
		k> queue.declare queue=xb exclusive
		k< queue.declare-ok queue=xb
		k> basic.qos prefetch-count=1
		k< basic.qos-ok
		connect p
		p0< connection.open-ok
		~p> basic.publish exchange=amq.fanout
		p0< connection.blocked reason=low on disk
		k> basic.get queue=xb
		k< basic.get-empty
		k> basic.ack multiple
		k> basic.qos
		k< basic.qos-ok
		cut p`},
	{id: "S13.3a", about: "disk alarm: a connection opened during it is blocked when it publishes", on: crowded, script: `
		connect p
		p0< connection.open-ok
		p> basic.qos
		p< basic.qos-ok
		~p> basic.publish exchange=amq.fanout
		p0< connection.blocked reason=low on disk
		p> basic.qos
		p< (nothing)
		cut p`},
	{id: "S13.3b", about: "a client that does not know connection.blocked is blocked without a word", on: crowded, script: `
		connect n
		n0< connection.open-ok
		~n> basic.publish exchange=amq.fanout
		n0< connection.blocked reason=low on disk
		connect p bare
		p0< connection.open-ok
		p> basic.publish exchange=amq.fanout
		p0< (nothing)
		p> basic.qos
		p< (nothing)
		cut n
		cut p`},
	{id: "S13.3c", about: "both alarms", on: desperate, script: `
		connect p
		p0< connection.open-ok
		~p> basic.publish exchange=amq.fanout
		p0< connection.blocked reason=low on memory & disk
		cut p`},
	{id: "S13.2b", about: "a blocked client is not cut for its silence, and gets heartbeats", on: crowded, script: `
		connect p heartbeat=1
		p0< connection.open-ok
		~p> basic.publish exchange=amq.fanout
		p0< connection.blocked reason=low on disk
		hear p
		p0< heartbeat
		p0< heartbeat
		p0< heartbeat
		p0< heartbeat
		p0< heartbeat
		p0< heartbeat
		p0< heartbeat
		cut p`},
}
