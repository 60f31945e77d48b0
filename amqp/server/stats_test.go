package server

import (
	"testing"
	"time"

	"github.com/brokerd/brokerd/amqp/wire"
)

// TestStats does each thing that is counted a few times.
func TestStats(t *testing.T) {
	s := startServer(t, Options{})
	refused := s.dial()
	refused.raw([]byte(wire.ProtocolHeader))
	expect[*wire.ConnectionStart](refused, 0)
	start := startOk()
	start.Response = []byte("\x00guest\x00wrong")
	refused.send(0, start)
	expect[*wire.ConnectionClose](refused, 0)
	check(refused.nc.Close())

	c := s.openChannel()
	c.send(1, &wire.QueueDeclare{Exclusive: true})
	q := expect[*wire.QueueDeclareOk](c, 1).Queue
	c.raw(publish(1, "", q, "plain"))
	c.raw(publish(1, "", "nowhere", "plain"))
	c.raw(publishWith(1, "", "nowhere", "plain", true, wire.Properties{}))
	expect[*wire.BasicReturn](c, 1)
	c.content(1)
	c.send(1, &wire.ConfirmSelect{})
	expect[*wire.ConfirmSelectOk](c, 1)
	for range 3 {
		c.raw(publish(1, "", q, "confirmed"))
		expect[*wire.BasicAck](c, 1)
	}
	get := func(noAck bool) uint64 {
		c.send(1, &wire.BasicGet{Queue: q, NoAck: noAck})
		tag := expect[*wire.BasicGetOk](c, 1).DeliveryTag
		c.content(1)
		return tag
	}
	get(true)
	c.send(1, &wire.BasicNack{DeliveryTag: get(false), Requeue: true})
	c.send(1, &wire.BasicConsume{Queue: q})
	expect[*wire.BasicConsumeOk](c, 1)
	for range 3 {
		expect[*wire.BasicDeliver](c, 1)
		c.content(1)
	}
	c.send(1, &wire.BasicAck{Multiple: true})
	c.sync(1)
	c.send(1, &wire.BasicGet{Queue: q})
	expect[*wire.BasicGetEmpty](c, 1)
	c.channel(2)
	c.send(2, &wire.ChannelClose{})
	expect[*wire.ChannelCloseOk](c, 2)

	want := Stats{
		Connections: 1, Channels: 1, Publishers: 1, ConnectionsOpened: 1, ChannelsOpened: 2, ChannelsClosed: 1,
		LoginsRefused: 1, HandshakesFailed: 1,
		Received: 6, ReceivedConfirm: 3, Routed: 4, Dropped: 1, Returned: 1, Confirmed: 3,
		DeliveredManualAck: 3, GotManualAck: 1, GotAutoAck: 1, GetEmpty: 1, Redelivered: 1, Acknowledged: 3, Rejected: 1, QueuesDeclared: 1,
	}
	got := s.Stats()
	if got.BytesRead == 0 || got.BytesWritten == 0 || got.Reads == 0 || got.Writes == 0 {
		t.Errorf("nothing was transferred: %+v", got)
	}
	got.BytesRead, got.BytesWritten, got.Reads, got.Writes = 0, 0, 0, 0
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	check(c.nc.Close())
	eventually(t, "closed", func() bool {
		s := s.Stats()
		return s.Connections == 0 && s.Channels == 0 && s.Publishers == 0 && s.ConnectionsClosed == 1
	})
}

func TestHistogram(t *testing.T) {
	for d, want := range map[time.Duration]time.Duration{
		0: 1024, 1: 1024, 1024: 1024, 1025: 1536, 1536: 1536, 1537: 2048, 2048: 2048, 2049: 3072, 1 << 20: 1 << 20, 1<<20 + 1: 3 << 19,
	} {
		if got := bound(bucketOf(d)); got != want {
			t.Errorf("%d ns is in the bucket up to %d, want %d", d, got, want)
		}
	}
	var h Histogram
	for i := range histogramBuckets {
		if i > 0 && bound(i) <= bound(i-1) {
			t.Errorf("bound %d is %v after %v", i, bound(i), bound(i-1))
		}
		if got := bucketOf(bound(i)); got != i {
			t.Errorf("%v is in bucket %d, want %d", bound(i), got, i)
		}
		h.Observe(bound(i))
	}
	h.Observe(time.Hour)
	count, sum, below := h.Buckets()
	if count != histogramBuckets+1 || sum < time.Hour || len(below) != histogramBuckets || below[bound(0).Seconds()] != 1 ||
		below[bound(histogramBuckets-1).Seconds()] != histogramBuckets {
		t.Errorf("%d, %v, %v", count, sum, below)
	}
}

// TestSampler counts what is measured of many connections: one in sampleEvery, wherever they begin.
func TestSampler(t *testing.T) {
	var h Histogram
	const connections = 512
	for id := range uint64(connections) {
		s := newSampler(&h, id)
		for range 256 {
			s.end(s.begin())
		}
	}
	if count, _, _ := h.Buckets(); count < 64 || count > 256 {
		t.Errorf("%d of %d were measured, want about %d", count, connections*256, connections*256/sampleEvery)
	}
	var none sampler
	for range 2 * sampleEvery {
		none.end(none.begin())
	}
}
