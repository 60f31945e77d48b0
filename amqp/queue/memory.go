package queue

import (
	"sync"
	"sync/atomic"
)

// Memory is the node's budget for message bytes in queues. Queues page out what lies beyond their share.
type Memory struct {
	// Budget is the number of bytes that all queues of the node together may keep in memory.
	Budget int64
	// PerQueue is the number of bytes that one queue may keep in memory of what the log holds anyway.
	PerQueue int64

	floor    int64 // what a queue may keep however short the node is of memory, in bytes
	resident atomic.Int64
	queues   sync.Map // *Queue -> struct{}
}

// floorPerQueue is the default of Memory.floor.
const floorPerQueue = 256 << 10

// NewMemory returns a budget. Zero values stand for 1 GiB in all and 32 MiB a queue.
func NewMemory(budget, perQueue int64) *Memory {
	if budget <= 0 {
		budget = 1 << 30
	}
	if perQueue <= 0 {
		perQueue = 32 << 20
	}
	return &Memory{Budget: budget, PerQueue: perQueue, floor: floorPerQueue}
}

// Resident returns the bytes of messages that all queues hold in memory.
func (m *Memory) Resident() int64 { return m.resident.Load() }

// share returns how much a queue may keep of stored messages, and from which size on it writes out messages that would
// otherwise stay in memory only.
func (m *Memory) share() (stored, unstored int64) {
	r := m.resident.Load()
	switch {
	case r > m.Budget:
		return m.floor, m.floor
	case r > m.Budget/2:
		return min(m.PerQueue, 4*m.floor), 16 * m.floor
	default:
		return m.PerQueue, m.Budget / 4
	}
}

// Trim asks every queue to page out what lies beyond its share. Call it now and then while Resident is above half the budget.
func (m *Memory) Trim() {
	if m.resident.Load() <= m.Budget/2 {
		return
	}
	m.queues.Range(func(k, _ any) bool {
		q := k.(*Queue)
		q.post(&item{fn: q.trim})
		return true
	})
}
