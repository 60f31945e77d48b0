package node

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// Alarms (SEMANTICS 13): while memory or disk are short, connections that publish are blocked.

const (
	// watchInterval is how often memory and disk are looked at.
	watchInterval = 200 * time.Millisecond
	// An alarm ends when the figure is this far, in percent, on the good side of its limit, so that it does not flap.
	hysteresis = 5
)

// hardFloor is where the store refuses to write, in bytes: well below the alarm, so that what is under way when the alarm is
// raised still finds room.
func hardFloor(minFree int64) int64 { return min(64<<20, max(32<<20, minFree/2)) }

// watchResources raises and ends the alarms until the node stops.
func (n *Node) watchResources() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	var memory, disk bool
	raised := ""
	for {
		select {
		case <-n.stopWatch:
			return
		case <-tick.C:
		}
		n.memory.Trim()
		n.shortages.Store(&shortages{memory, disk})
		used := memoryInUse()
		memory = short(memory, n.cfg.Memory.Limit-used, n.cfg.Memory.Limit)
		free := n.store.FreeBytes()
		disk = short(disk, free-n.cfg.Store.MinFree, n.cfg.Store.MinFree)
		var names []string
		if memory {
			names = append(names, "memory")
		}
		if disk {
			names = append(names, "disk")
		}
		reason := strings.Join(names, " & ")
		if reason == raised {
			continue
		}
		raised = reason
		if reason == "" {
			n.log.Info("resource alarm over", "memory_used", used, "disk_free", free)
		} else {
			n.log.Warn("resource alarm: publishing connections are blocked on all nodes", "short_of", reason,
				"memory_used", used, "memory_limit", n.cfg.Memory.Limit, "disk_free", free, "disk_min_free", n.cfg.Store.MinFree)
			if memory {
				runtime.GC() // what is garbage should not count for long
			}
		}
		n.broker.SetAlarms(names)
	}
}

// short decides about an alarm: left is what is left until the limit.
func short(was bool, left, limit int64) bool {
	if was {
		return left < limit*hysteresis/100
	}
	return left < 0
}

// memoryInUse returns the bytes of memory that the process has for itself: resident and not backed by files, which the system
// can take back. Where that cannot be had, it is what the Go runtime has from the system.
func memoryInUse() int64 {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		f := strings.Fields(string(b))
		if len(f) > 2 {
			resident, err1 := strconv.ParseInt(f[1], 10, 64)
			shared, err2 := strconv.ParseInt(f[2], 10, 64)
			if err1 == nil && err2 == nil {
				return (resident - shared) * int64(os.Getpagesize())
			}
		}
	}
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64() - s[1].Value.Uint64())
}
