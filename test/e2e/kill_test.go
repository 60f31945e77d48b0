//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// killQueues are the queues of TestKill: two reached through a direct exchange, three through a fanout.
var killQueues = []string{"direct-0", "direct-1", "fan-0", "fan-1", "fan-2"}

// TestKill kills the broker with SIGKILL in the middle of publishing, consuming, and changing the topology, several times, and
// checks after each start that it has kept what it had promised. At the end it does the same with an orderly restart.
func TestKill(t *testing.T) {
	t.Logf("seed %d (repeat with -args -seed %d)", *seed, *seed)
	r := rand.New(rand.NewPCG(*seed, 1))
	b := startBroker(t)
	l := newLedger()
	topo := &topology{rand: rand.New(rand.NewPCG(*seed, 2))}
	declareKillQueues(t, b)
	seqs := make([]int, 4)

	for round := 1; round <= *rounds; round++ {
		if !t.Run(fmt.Sprintf("round %d", round), func(t *testing.T) {
			b.t = t
			ld := startKillLoad(b, l, r, topo, seqs)
			time.Sleep(time.Duration(200+r.IntN(1500)) * time.Millisecond) // the moment of the crash, the point of the test
			b.kill()
			ld.stop()
			l.endRun()
			took := b.start()
			t.Logf("started again in %s, after %d topology changes", took.Round(time.Millisecond), topo.changes)
			topo.check(t, b)
			l.report(t, "after the kill")
		}) {
			break
		}
	}
	b.t = t

	ld := startKillLoad(b, l, r, topo, seqs)
	time.Sleep(500 * time.Millisecond) // some load for the orderly end
	ld.stop()
	ld.close()
	b.stop()
	l.endRun()
	l.settleAcked()
	b.start()
	topo.check(t, b)
	drain(b, l, killQueues)
	l.report(t, "at the end")
	b.stop()
}

func declareKillQueues(t *testing.T, b *broker) {
	t.Helper()
	ch := b.channel()
	for name, kind := range map[string]string{"direct": amqp.ExchangeDirect, "fan": amqp.ExchangeFanout} {
		if err := ch.ExchangeDeclare(name, kind, true, false, false, false, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, q := range killQueues {
		declare(t, ch, q)
		exchange, key := "direct", q
		if q[0] == 'f' {
			exchange, key = "fan", ""
		}
		if err := ch.QueueBind(q, key, exchange, false, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// startKillLoad starts publishers on two connections, consumers of different kinds on two others, and one connection that
// changes the topology.
func startKillLoad(b *broker, l *ledger, r *rand.Rand, topo *topology, seqs []int) *load {
	b.t.Helper()
	ld := newLoad(b, l, r)
	in := []*amqp.Connection{b.dial(), b.dial()}
	for i := range seqs {
		exchange, key, queues := "fan", "", killQueues[2:]
		if i < 2 {
			exchange, key, queues = "direct", killQueues[i], killQueues[i:i+1]
		}
		ld.publish(in[i%2], publisherName(i, exchange), exchange, key, queues, &seqs[i], 1+r.IntN(500))
	}
	out := []*amqp.Connection{b.dial(), b.dial()}
	for i, a := range []acker{
		{queue: "direct-0", batch: 1},
		{queue: "direct-0", batch: 20},
		{queue: "direct-1", batch: 50, tx: true},
		{queue: "fan-0", batch: 10, keep: 20},
		{queue: "fan-1", batch: 7, tx: true, keep: 50},
	} { // fan-2 has no consumer, so it grows
		a.consumer = fmt.Sprintf("%s-c%d", a.queue, i)
		ld.consume(out[i%2], a)
	}
	ch := openChannel(b.t, b.dial())
	ld.done.Go(func() {
		for ld.ctx.Err() == nil && topo.change(ch, l) == nil {
		}
	})
	return ld
}
