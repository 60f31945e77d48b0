package perf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"
)

// dialAhead is how many connections are opened at the same time.
const dialAhead = 32

// run is one measurement. Its goroutine is the one that called Run; the connections have theirs and call fail and blocked.
type run struct {
	o                 *Options
	topology          *topology
	clock             clock
	tag               uint8 // of the messages
	readBuffer        int
	frameMax          uint32
	latency, confirms *recorder
	verifier          *verifier // nil without verification

	publishing []*publishing
	consuming  []*consuming
	control    *control

	failed chan error // the first failure

	mu      sync.Mutex
	reasons []string // of blockages, each once
}

// Run generates load as o says until that is done or ctx ends, which ends the run in order, too. The report is nil if the run
// could not start. With an error beside it, the report covers what was done before a connection failed. A verification that
// found something is not an error: see [Report.Verification].
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &run{
		o:        &o,
		topology: newTopology(&o),
		clock:    newClock(),
		tag:      uint8(rand.N(256)),
		latency:  newRecorder(2 * runtime.GOMAXPROCS(0)),
		confirms: newRecorder(2 * runtime.GOMAXPROCS(0)),
		failed:   make(chan error, 1),
	}
	if o.Verify {
		r.verifier = newVerifier(r.tag, o.Producers == 0, r.topology.queues)
	}
	var endpoints []endpoint
	for _, u := range o.URIs {
		e, err := parseURI(u)
		if err != nil {
			return nil, err
		}
		endpoints = append(endpoints, e)
	}
	r.readBuffer, r.frameMax = bufferSizes(connections(o.Producers, o.Channels) + connections(o.Consumers, o.Channels))

	c, err := dial(ctx, endpoints[0], "control connection", minReadBuffer*2, minReadBuffer)
	if err != nil {
		return nil, err
	}
	if r.control, err = newControl(c, r.topology); err != nil {
		c.socket.Close()
		return nil, err
	}
	report, err := (*Report)(nil), r.control.setUp()
	if err == nil {
		report, err = r.load(ctx, endpoints)
	}
	if cleaning := r.control.tearDown(); cleaning != nil && !isRefusedByConnection(err) {
		err = errors.Join(err, cleaning)
	}
	return report, err
}

// isRefusedByConnection reports whether err already tells that the broker ended a connection; that the clean-up then fails too
// is no news.
func isRefusedByConnection(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.what == "connection"
}

func connections(members, channels int) int { return (members + channels - 1) / channels }

// load connects, runs the load and closes the connections.
func (r *run) load(ctx context.Context, endpoints []endpoint) (*Report, error) {
	defer r.closeSockets()
	// The consumers are there first, so that a run does not begin with a backlog.
	var readers sync.WaitGroup
	defer readers.Wait()
	if err := r.connectConsumers(ctx, endpoints, &readers); err != nil {
		return nil, err
	}
	if err := r.connectProducers(ctx, endpoints); err != nil {
		return nil, err
	}
	for _, b := range r.consuming {
		select {
		case <-b.ready:
		case err := <-r.failed:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}

	stop := make(chan struct{})
	var writers sync.WaitGroup
	now := r.clock.now()
	for _, b := range r.publishing {
		for _, p := range b.producers {
			p.start(now, r.o)
		}
		readers.Go(b.read)
		writers.Go(func() { b.write(stop) })
	}
	published := make(chan struct{})
	go func() {
		writers.Wait()
		close(published)
	}()

	m := newMeter(r, now)
	err := r.watch(ctx, m, stop, published)
	if err != nil {
		m.failed = true
		r.closeSockets()
	}
	<-published
	for _, b := range r.consuming {
		b.finish()
	}
	for _, b := range r.consuming {
		<-b.closed
	}
	if err == nil {
		select {
		case err = <-r.failed: // while closing
			m.failed = true
		default:
		}
	}
	return m.report(), err
}

// watch runs until the load is over: published is closed when the producers have ended, and stop is closed here to end them.
func (r *run) watch(ctx context.Context, m *meter, stop chan struct{}, published <-chan struct{}) error {
	var once sync.Once
	stopPublishing := func() {
		once.Do(func() {
			close(stop)
			for _, b := range r.publishing {
				b.limitWrites()
			}
		})
	}
	defer stopPublishing()
	tick := time.NewTicker(r.o.ReportInterval)
	defer tick.Stop()
	var warm, deadline <-chan time.Time
	if r.o.Warmup > 0 {
		t := time.NewTimer(r.o.Warmup)
		defer t.Stop()
		warm = t.C
	}
	if r.o.Duration > 0 {
		t := time.NewTimer(r.o.Warmup + r.o.Duration)
		defer t.Stop()
		deadline = t.C
	}
	var drain *drain
	interrupt := ctx.Done()
	look := time.NewTicker(drainLook)
	defer look.Stop()
	if r.o.Producers == 0 {
		published = nil
		if r.o.Drain || r.o.Verify && r.o.Duration == 0 {
			drain = newDrain(r)
		}
	}
	for {
		select {
		case err := <-r.failed:
			return err
		case <-interrupt:
			interrupt = nil
			r.notice("interrupted")
			m.interrupted = true
			if published == nil {
				return nil
			}
			stopPublishing()
		case <-warm:
			m.begin()
			tick.Reset(r.o.ReportInterval)
		case <-tick.C:
			m.tick()
		case <-deadline:
			if r.o.Producers == 0 {
				return nil
			}
			stopPublishing()
		case <-published:
			published = nil
			wanted := r.o.Verify || !m.interrupted && (r.o.Drain || r.o.Count > 0)
			if r.o.Consumers == 0 || !wanted {
				return nil
			}
			drain = newDrain(r)
		case <-look.C:
			if drain == nil {
				continue
			}
			if over, err := drain.over(); over || err != nil {
				return err
			}
		}
	}
}

// fail ends the run with the first error.
func (r *run) fail(err error) {
	select {
	case r.failed <- err:
	default:
	}
}

// blocked notes that the broker blocks a connection.
func (r *run) blocked(connection, reason string) {
	r.mu.Lock()
	known := false
	for _, s := range r.reasons {
		known = known || s == reason
	}
	if !known {
		r.reasons = append(r.reasons, reason)
	}
	r.mu.Unlock()
	if !known {
		r.notice("%s is blocked by the broker: %s", connection, reason)
	}
}

func (r *run) notice(format string, args ...any) {
	if r.o.Progress != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		fmt.Fprintf(r.o.Progress, format+"\n", args...)
	}
}

// closeSockets makes everything that reads or writes end.
func (r *run) closeSockets() {
	for _, b := range r.publishing {
		b.cut.Store(true)
		b.c.socket.Close()
	}
	for _, b := range r.consuming {
		b.c.socket.Close()
	}
}

func (r *run) connectConsumers(ctx context.Context, endpoints []endpoint, readers *sync.WaitGroup) error {
	r.consuming = make([]*consuming, connections(r.o.Consumers, r.o.Channels))
	err := parallel(len(r.consuming), func(i int) (err error) {
		first := i * r.o.Channels
		n := min(r.o.Channels, r.o.Consumers-first)
		r.consuming[i], err = openConsuming(ctx, r, first, n, endpoints[i%len(endpoints)])
		return err
	})
	r.consuming = present(r.consuming)
	if err != nil {
		return err
	}
	for _, b := range r.consuming {
		readers.Go(b.read)
	}
	return nil
}

func (r *run) connectProducers(ctx context.Context, endpoints []endpoint) error {
	r.publishing = make([]*publishing, connections(r.o.Producers, r.o.Channels))
	err := parallel(len(r.publishing), func(i int) (err error) {
		first := i * r.o.Channels
		n := min(r.o.Channels, r.o.Producers-first)
		r.publishing[i], err = openPublishing(ctx, r, first, n, endpoints[i%len(endpoints)])
		return err
	})
	r.publishing = present(r.publishing)
	return err
}

// present returns s without the connections that could not be opened.
func present[T any](s []*T) []*T {
	var p []*T
	for _, b := range s {
		if b != nil {
			p = append(p, b)
		}
	}
	return p
}

// parallel calls open for 0 to n-1, some at a time, and returns the error of the first that failed. After an error no more are
// begun.
func parallel(n int, open func(i int) error) error {
	var wg sync.WaitGroup
	slots := make(chan struct{}, dialAhead)
	failed := make(chan error, n)
	for i := 0; i < n && len(failed) == 0; i++ {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := open(i); err != nil {
				failed <- err
			}
		})
	}
	wg.Wait()
	close(failed)
	return <-failed
}
