package server

import (
	"context"
	"math/bits"
	"runtime/pprof"
	"sync/atomic"
	"time"
)

// Stats are what a server has done since it was made. Messages are counted once per read chunk or hand-over, so figures of messages
// that are on their way at the moment may be missing.
type Stats struct {
	Connections, Channels, Publishers int // gauges: open now; publishers are channels that have published

	ConnectionsOpened, ConnectionsClosed uint64 // after connection.open-ok
	ChannelsOpened, ChannelsClosed       uint64
	LoginsRefused                        uint64
	HandshakesFailed                     uint64 // connections that ended before connection.open-ok, refused logins included

	BytesRead, BytesWritten uint64 // of frames, above TLS
	Reads, Writes           uint64 // read chunks handled, and writes

	Received        uint64 // messages published by clients
	ReceivedConfirm uint64 // of them, those on channels in confirm mode
	Routed          uint64 // copies that were given to queues
	Dropped         uint64 // messages that no queue took
	Returned        uint64 // messages that no queue took and that were returned
	Confirmed       uint64 // messages confirmed with basic.ack
	Refused         uint64 // messages answered with basic.nack

	DeliveredManualAck, DeliveredAutoAck uint64 // to consumers
	GotManualAck, GotAutoAck, GetEmpty   uint64 // answers to basic.get
	Redelivered                          uint64 // of both, messages with redelivered set
	Acknowledged                         uint64
	Rejected                             uint64 // or requeued, by clients or because their channels were closed

	QueuesDeclared uint64 // declarations answered, whether the queue was there or not
}

// stats are the counters behind Stats. Those that different goroutines add to are apart, so that they do not share cache lines.
type stats struct {
	connectionsOpened, connectionsClosed atomic.Uint64
	channelsOpened, channelsClosed       atomic.Uint64
	loginsRefused, handshakesFailed      atomic.Uint64
	queuesDeclared                       atomic.Uint64
	publishers                           atomic.Int64
	_                                    [64]byte
	bytesRead, reads                     atomic.Uint64
	received, receivedConfirm            atomic.Uint64
	routed, dropped, returned            atomic.Uint64
	acknowledged, rejected               atomic.Uint64
	_                                    [64]byte
	confirmed, refused                   atomic.Uint64
	deliveredManual, deliveredAuto       atomic.Uint64
	gotManual, gotAuto, getEmpty         atomic.Uint64
	redelivered                          atomic.Uint64
	_                                    [64]byte
	bytesWritten, writes                 atomic.Uint64

	readLatency, writeLatency, dispatchLatency Histogram
}

// CPU profiles tell the time of readers, with the handling of what they read, from that of writers, of queues (amqp/queue) and of
// the subsystems that internal/node starts.
var (
	readerLabels = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "reader"))
	writerLabels = pprof.WithLabels(context.Background(), pprof.Labels("subsystem", "writer"))
)

// Stats returns the counters. It takes no lock.
func (s *Server) Stats() Stats {
	c := &s.stats
	st := Stats{
		ConnectionsOpened: c.connectionsOpened.Load(), ConnectionsClosed: c.connectionsClosed.Load(),
		ChannelsOpened: c.channelsOpened.Load(), ChannelsClosed: c.channelsClosed.Load(),
		LoginsRefused: c.loginsRefused.Load(), HandshakesFailed: c.handshakesFailed.Load(),
		BytesRead: c.bytesRead.Load(), BytesWritten: c.bytesWritten.Load(), Reads: c.reads.Load(), Writes: c.writes.Load(),
		Received: c.received.Load(), ReceivedConfirm: c.receivedConfirm.Load(),
		Routed: c.routed.Load(), Dropped: c.dropped.Load(), Returned: c.returned.Load(),
		Confirmed: c.confirmed.Load(), Refused: c.refused.Load(),
		DeliveredManualAck: c.deliveredManual.Load(), DeliveredAutoAck: c.deliveredAuto.Load(),
		GotManualAck: c.gotManual.Load(), GotAutoAck: c.gotAuto.Load(), GetEmpty: c.getEmpty.Load(),
		Redelivered: c.redelivered.Load(), Acknowledged: c.acknowledged.Load(), Rejected: c.rejected.Load(),
		QueuesDeclared: c.queuesDeclared.Load(),
	}
	st.Publishers = int(c.publishers.Load())
	// The opened ones were loaded first, so the differences are never negative but for what was closed in between.
	st.Connections = max(0, int(st.ConnectionsOpened)-int(st.ConnectionsClosed))
	st.Channels = max(0, int(st.ChannelsOpened)-int(st.ChannelsClosed))
	return st
}

// delivered counts n messages that were delivered to a consumer, again of them redelivered.
func (s *stats) delivered(n, again int, noAck bool) {
	if noAck {
		s.deliveredAuto.Add(uint64(n))
	} else {
		s.deliveredManual.Add(uint64(n))
	}
	if again > 0 {
		s.redelivered.Add(uint64(again))
	}
}

// got counts a message that answers basic.get.
func (s *stats) got(noAck, again bool) {
	if noAck {
		s.gotAuto.Add(1)
	} else {
		s.gotManual.Add(1)
	}
	if again {
		s.redelivered.Add(1)
	}
}

// Latencies are the histograms of a server. One read or write in sampleEvery of a connection is measured.
type Latencies struct {
	Read     *Histogram // the system call that reads frames from a socket
	Write    *Histogram // the one that writes frames, or all of them if TLS needs more
	Dispatch *Histogram // handling all frames of one read, until their messages are with their queues
}

// Latencies returns the histograms, which go on being filled.
func (s *Server) Latencies() Latencies {
	return Latencies{Read: &s.stats.readLatency, Write: &s.stats.writeLatency, Dispatch: &s.stats.dispatchLatency}
}

// sampleEvery is how many reads or writes of a connection one is measured of. A power of two.
const sampleEvery = 1024

// sampler chooses what is measured. The zero value chooses nothing.
type sampler struct {
	to    *Histogram
	count uint32
}

// newSampler returns a sampler that begins somewhere in its round, which differs between connections, so that those that come and
// go are measured, too.
func newSampler(to *Histogram, connection uint64) sampler {
	const golden = 0x9E3779B97F4A7C15 // spreads consecutive numbers
	return sampler{to: to, count: uint32(connection * golden >> 54)}
}

// begin returns the time if what comes now is to be measured, and the zero time otherwise.
func (s *sampler) begin() (t time.Time) {
	if s.count++; s.count%sampleEvery == 0 && s.to != nil {
		t = time.Now()
	}
	return t
}

// end takes what begin has returned.
func (s *sampler) end(begin time.Time) {
	if !begin.IsZero() {
		s.to.Observe(time.Since(begin))
	}
}

// histogramBuckets is the number of bounds: two for each doubling from a microsecond to four seconds.
const histogramBuckets = 44

// Histogram counts durations in buckets, two for each doubling. The zero value is empty. It is safe for concurrent use.
type Histogram struct {
	counts [histogramBuckets + 1]atomic.Uint64
	sum    atomic.Int64 // nanoseconds
}

// Observe counts a duration.
func (h *Histogram) Observe(d time.Duration) {
	h.counts[bucketOf(d)].Add(1)
	h.sum.Add(int64(d))
}

// bucketOf returns the first bucket whose bound is not less than d.
func bucketOf(d time.Duration) int {
	if d <= time.Microsecond {
		return 0
	}
	// Bounds are 1024 ns times 1, 1.5, 2, 3, 4, ...
	n := uint64(d-1) >> 9
	if n < 2 {
		return 0
	}
	octave := bits.Len64(n) - 2
	return min(2*octave+int(n>>octave&1)+1, histogramBuckets)
}

// bound returns the upper bound of a bucket.
func bound(i int) time.Duration {
	d := time.Duration(1024) << (i / 2)
	if i%2 == 1 {
		d += d / 2
	}
	return d
}

// Buckets returns how many durations there were in all, their sum, and how many of them were not longer than each bound, which is
// in seconds.
func (h *Histogram) Buckets() (count uint64, sum time.Duration, below map[float64]uint64) {
	below = make(map[float64]uint64, histogramBuckets)
	sum = time.Duration(h.sum.Load())
	for i := range h.counts {
		count += h.counts[i].Load()
		if i < histogramBuckets {
			below[bound(i).Seconds()] = count
		}
	}
	return count, sum, below
}
