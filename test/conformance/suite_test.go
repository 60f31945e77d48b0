package conformance

import (
	"bufio"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// conformanceCase is a script, and what it needs.
type conformanceCase struct {
	id     string
	about  string
	script script
	// prepare changes what only an administrator can; nil if there is nothing. It makes the case one of the own node only.
	prepare func(t testing.TB, b *cluster.Broker)
	// do are the functions that the script calls.
	do map[string]func(*run) error
	// on is the node with other settings than usual that the case needs. Such a case is one of the own nodes only.
	on *nodeSpec
	// alone cases wait and declare nothing: they are played beside all others.
	alone bool
}

// target is a broker under test. broker is nil when it is not in this process.
type target struct {
	addr, user, password, vhost string
	channelMax                  uint16
	frameMax                    uint32
	broker                      *cluster.Broker
}

// subject is the broker that the cases are played against, save those that need a node of their own, and list is the file with
// the cases that are known to differ there.
var (
	subject *target
	list    string
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	// Most cases that are played at once only wait, so that the number of processors says nothing.
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if uri := os.Getenv("AMQP_URL"); uri != "" {
		var err error
		if subject, err = aim(uri); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		list = os.Getenv("AMQP_LIST")
		return m.Run()
	}
	spec := &nodeSpec{}
	t, err := spec.start()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	subject, list = t, "known.txt"
	code := m.Run()
	if err = spec.stop(); err == nil && code == 0 {
		err = goleak.Find()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// aim points the suite at the broker of a URI.
func aim(uri string) (*target, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return nil, err
	}
	t := &target{addr: u.Host, user: u.User.Username(), vhost: strings.TrimPrefix(u.Path, "/"), channelMax: 2047, frameMax: 131072}
	t.password, _ = u.User.Password()
	if t.vhost == "" {
		t.vhost = "/"
	}
	return t, nil
}

// groups are all cases there are.
var groups = [][]conformanceCase{
	exchangeTraces, routingTraces, queueTraces, argumentTraces, consumeTraces, ackTraces, publishTraces, txTraces, featureTraces,
	channelTraces, frameTraces,
	ownershipCases, expiryCases, handshakeCases, loginCases, tuneCases, waitingCases, frameCases, policyCases, permissionCases,
	limitCases, exchangeCases, hashCases, delayedCases, repetitionCases, watchCases, declareCases, deadLetterCases, publishCases,
	consumeCases, alarmCases, restartCases, laterCases,
}

func allCases() (all []conformanceCase) {
	for _, group := range groups {
		all = append(all, group...)
	}
	return all
}

// TestCases plays the cases against one broker, one after the other: they use the same names.
func TestCases(t *testing.T) {
	t.Parallel()
	known := readList(t, list)
	for _, c := range allCases() {
		if c.on == nil && !c.alone {
			t.Run(c.id, func(t *testing.T) { judge(t, &c, subject, known) })
		}
	}
}

// TestWaiting plays the cases that take their time, all at once.
func TestWaiting(t *testing.T) {
	t.Parallel()
	known := readList(t, list)
	for _, c := range allCases() {
		if c.alone {
			t.Run(c.id, func(t *testing.T) {
				t.Parallel()
				judge(t, &c, subject, known)
			})
		}
	}
}

// TestOwnNodes plays the cases that need a node with settings of their own.
func TestOwnNodes(t *testing.T) {
	t.Parallel()
	if subject.broker == nil {
		t.Skip("needs nodes in this process")
	}
	known := readList(t, list)
	byNode := make(map[*nodeSpec][]conformanceCase)
	for _, c := range allCases() {
		if c.on != nil {
			byNode[c.on] = append(byNode[c.on], c)
		}
	}
	for spec, cases := range byNode {
		t.Run(spec.name, func(t *testing.T) {
			t.Parallel()
			at, err := spec.start()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := spec.stop(); err != nil {
					t.Error(err)
				}
			}()
			for _, c := range cases {
				t.Run(c.id, func(t *testing.T) { judge(t, &c, at, known) })
			}
		})
	}
}

func judge(t *testing.T, c *conformanceCase, at *target, known map[string]string) {
	if c.prepare != nil && at.broker == nil {
		t.Skip("needs the node's administration")
	}
	reason, listed := known[c.id]
	r := &run{t: t, target: at, patience: long, do: c.do, clients: map[string]*client{}, exchanges: map[string]bool{}, queues: map[string]bool{}}
	if listed {
		r.patience = short
	}
	defer r.clean()
	if c.prepare != nil {
		c.prepare(t, at.broker)
	}
	err := r.play(c.script)
	switch {
	case err != nil && !listed:
		t.Errorf("%s\n%v", c.about, err)
	case err != nil:
		t.Logf("%s: as known: %s\n%v", c.about, reason, err)
	case listed && !strings.HasPrefix(reason, "sometimes"):
		t.Errorf("%s: is right, but %s lists it: %s", c.about, list, reason)
	}
}

// clean ends the connections of a case and deletes what it declared.
func (r *run) clean() {
	for _, c := range r.clients {
		c.close()
	}
	clear(r.clients)
	if len(r.queues) == 0 && len(r.exchanges) == 0 {
		return
	}
	r.patience = long
	c, err := r.client("cleaner")
	if err == nil {
		err = c.open(1)
	}
	if err != nil {
		r.t.Errorf("cleaning: %v", err)
		return
	}
	defer c.close()
	ask := func(m wire.Method, answer string) {
		c.send(1, m)
		if got := c.next(1); !strings.HasPrefix(got, answer) {
			r.t.Errorf("cleaning: %s", got)
		}
	}
	for q := range r.queues {
		if !strings.HasPrefix(q, "amq.") && q != "" {
			ask(&wire.QueueDelete{Queue: q}, "queue.delete-ok")
		}
	}
	for x := range r.exchanges {
		if !strings.HasPrefix(x, "amq.") && x != "" {
			ask(&wire.ExchangeDelete{Exchange: x}, "exchange.delete-ok")
		}
	}
}

// readList reads the cases that are known to differ: an id and the reason a line. A reason that starts with "sometimes" allows
// both.
func readList(t *testing.T, name string) map[string]string {
	known := make(map[string]string)
	if name == "" {
		return known
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if id, reason, ok := strings.Cut(line, " "); ok && !strings.HasPrefix(line, "#") {
			known[id] = reason
		}
	}
	return known
}
