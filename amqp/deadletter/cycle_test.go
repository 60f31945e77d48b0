package deadletter

import (
	"reflect"
	"testing"

	"github.com/brokerd/brokerd/amqp/wire"
)

// TestCycleWithRejection is the trace where a message is rejected in zR and expires in zW, and so comes back for ever.
func TestCycleWithRejection(t *testing.T) {
	r, w := queueOf{"zR", "", ptr("zW")}, queueOf{"zW", "", ptr("zR")}
	m := message{key: "zR"}
	for i := int64(1); i <= 3; i++ {
		m = die(t, m, r, Rejected, 100)
		if Cycle(m.properties.Append(nil), "zW", Rejected) {
			t.Fatalf("round %d: a rejected message may go anywhere", i)
		}
		m = die(t, m, w, Expired, 101)
		if Cycle(m.properties.Append(nil), "zR", Expired) {
			t.Fatalf("round %d: the cycle has a rejection in it", i)
		}
		order := fresh
		if i > 1 {
			order = sorted
		}
		want := table(deaths(entry(sorted, i, "expired", "zW", 101, "", "zW"), entry(order, i, "rejected", "zR", 100, "", "zR")),
			first("", "zR", "rejected"))
		if got := m.properties.Headers; !reflect.DeepEqual(got, want) {
			t.Fatalf("round %d: got\n%v\nwant\n%v", i, got, want)
		}
	}
}

func TestCycle(t *testing.T) {
	death := func(queue, reason string) wire.Table { return entry(fresh, 1, reason, queue, now, "", "k") }
	for _, c := range []struct {
		name   string
		header wire.Table
		queue  string
		reason Reason
		want   bool
	}{
		{"to itself by expiry", table(deaths(death("q", "expired"))), "q", Expired, true},
		{"to itself by length", table(deaths(death("q", "maxlen"))), "q", MaxLen, true},
		{"to itself by the delivery limit", table(deaths(death("q", "delivery_limit"))), "q", DeliveryLimit, true},
		{"just rejected", table(deaths(death("q", "rejected"))), "q", Rejected, false},
		{"never there", table(deaths(death("p", "expired"))), "q", Expired, false},
		{"over two queues", table(deaths(death("p", "expired"), death("q", "maxlen"))), "q", Expired, true},
		{"rejected on the way", table(deaths(death("p", "expired"), death("r", "rejected"), death("q", "expired"))), "q", Expired, false},
		{"rejected there", table(deaths(death("p", "expired"), death("q", "rejected"))), "q", Expired, false},
		{"rejected before", table(deaths(death("p", "expired"), death("q", "expired"), death("q", "rejected"))), "q", Expired, true},
		{"no headers", nil, "q", Expired, false},
		{"no list", table(header("x-death", wire.String("q"))), "q", Expired, false},
		{"no deaths in the list", table(header("x-death", list("q"))), "q", Expired, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := wire.Properties{Headers: c.header}
			if got := Cycle(p.Append(nil), c.queue, c.reason); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if Cycle([]byte{0xff}, "q", Expired) {
		t.Error("malformed properties are in no cycle")
	}
}

// inCycle is the rule of the RabbitMQ document in other words: of the deaths up to the one in queue, none is a rejection.
func inCycle(past []Death, queue string) bool {
	for i := range past {
		if past[i].Queue == queue {
			for _, d := range past[:i+1] {
				if d.Reason == "rejected" {
					return false
				}
			}
			return true
		}
	}
	return false
}
