package routing

import (
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"

	"github.com/brokerd/brokerd/amqp/exchange"
)

const (
	// cacheSlots is the number of routes in a cache.
	cacheSlots = 256
	// cacheWarmup is the number of lookups before a cache takes memory, so that an exchange whose bindings change with every other
	// message pays nothing for it.
	cacheWarmup = 64
	// cacheKeyLen and cacheQueues bound what is worth remembering: the length of a routing key in bytes and of its route.
	cacheKeyLen = 255
	cacheQueues = 16
	// cacheReplace is the number of misses in an occupied slot of which one, picked at random, takes it. With more keys in use than
	// slots, most misses so cost no memory.
	cacheReplace = 8
)

// cache remembers the routes of single keys through one topic exchange, for routes that depend on nothing but the bindings of
// that exchange. It belongs to one Exchange and goes with it, which is when a binding changes: no route can be outdated.
//
// It is safe for concurrent use. An entry is complete and never changed once its pointer is in a slot, so a reader needs nothing
// but the load; writers may overwrite each other, which loses an entry and no more.
type cache struct {
	lookups atomic.Uint32 // until slots is set
	slots   atomic.Pointer[[cacheSlots]atomic.Pointer[cached]]
}

type cached struct {
	key    string
	queues []*Queue
}

// newCache returns the cache of an exchange of this type, nil if it does not need one: the other types match as fast as a cache.
func newCache(typ *exchange.Type) *cache {
	if typ.Name != exchange.Topic {
		return nil
	}
	return &cache{}
}

var cacheSeed = maphash.MakeSeed()

// slot returns the place of key, nil if the cache has none for it.
func (c *cache) slot(key []byte) *atomic.Pointer[cached] {
	slots := c.slots.Load()
	if slots == nil {
		if c.lookups.Add(1) != cacheWarmup {
			return nil
		}
		slots = new([cacheSlots]atomic.Pointer[cached])
		c.slots.Store(slots)
	}
	if len(key) > cacheKeyLen {
		return nil
	}
	return &slots[maphash.Bytes(cacheSeed, key)%cacheSlots]
}

// remember puts the route of key into a slot.
func remember(slot *atomic.Pointer[cached], key []byte, queues []*Queue) {
	if len(queues) > cacheQueues || slot.Load() != nil && rand.Uint32N(cacheReplace) != 0 {
		return
	}
	slot.Store(&cached{string(key), append([]*Queue(nil), queues...)})
}
