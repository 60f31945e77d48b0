package server

import "time"

// idleCheck is how often a connection without heartbeats is looked at, in case writing to it failed.
const idleCheck = 30 * time.Second

// startMonitor begins to watch the connection: it sends a heartbeat when nothing was written for half the agreed interval, and
// ends the connection when nothing was read for two intervals. It uses a timer, not a goroutine, as idle connections are many.
func (c *conn) startMonitor() {
	tick := idleCheck
	if c.heartbeat > 0 {
		tick = c.heartbeat / 2
	}
	c.lastRead.Store(time.Now().UnixNano())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.monitor = time.AfterFunc(tick, func() { c.check(tick) })
}

// stopMonitor ends the watch; a check that runs at the moment changes nothing any more.
func (c *conn) stopMonitor() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.monitor != nil {
		c.monitor.Stop()
		c.monitor = nil
	}
}

func (c *conn) check(tick time.Duration) {
	select {
	case <-c.out.fail():
		c.abort()
		return
	default:
	}
	now := time.Now()
	if c.heartbeat > 0 {
		if c.paused.Load() > 0 {
			c.lastRead.Store(now.UnixNano()) // the peer is not to blame
		}
		if silent := now.Sub(time.Unix(0, c.lastRead.Load())); silent > 2*c.heartbeat {
			c.log.Warn("missed heartbeats from client", "timeout", 2*c.heartbeat)
			c.abort()
			return
		}
		// Timers are late rather than early, so a heartbeat written by the last check is a bit less than a tick old.
		if now.Sub(c.out.lastWrite()) > tick/2 {
			c.out.sendHeartbeat()
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.monitor != nil {
		c.monitor.Reset(tick)
	}
}
