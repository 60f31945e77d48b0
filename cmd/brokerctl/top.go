package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl"
	"github.com/brokerd/brokerd/internal/ctl/output"
)

// sum adds up a figure of all nodes.
func sum[N float64 | uint64](r *adminv1.WatchRatesResponse, figure func(*adminv1.NodeRates) N) N {
	var total N
	for _, n := range r.GetNodes() {
		total += figure(n)
	}
	return total
}

// rateColumn sums a rate over all nodes.
func rateColumn(name string, figure func(*adminv1.NodeRates) float64, extra bool) output.Column[*adminv1.WatchRatesResponse] {
	return output.Column[*adminv1.WatchRatesResponse]{Name: name, Extra: extra,
		Get: func(r *adminv1.WatchRatesResponse) any { return rounded(sum(r, figure)) }}
}

// gaugeColumn sums a number over all nodes.
func gaugeColumn(name string, figure func(*adminv1.NodeRates) uint64, extra bool) output.Column[*adminv1.WatchRatesResponse] {
	return output.Column[*adminv1.WatchRatesResponse]{Name: name, Extra: extra,
		Get: func(r *adminv1.WatchRatesResponse) any { return sum(r, figure) }}
}

// rateColumns are what top prints where there is no screen: the figures of all nodes together.
var rateColumns = output.Columns[*adminv1.WatchRatesResponse]{
	{Name: "time", Get: func(r *adminv1.WatchRatesResponse) any { return moment(r.GetTime()) }},
	{Name: "nodes", Get: func(r *adminv1.WatchRatesResponse) any { return len(r.GetNodes()) }},
	rateColumn("publish_rate", (*adminv1.NodeRates).GetPublishRate, false),
	rateColumn("confirm_rate", (*adminv1.NodeRates).GetConfirmRate, false),
	rateColumn("deliver_rate", (*adminv1.NodeRates).GetDeliverRate, false),
	rateColumn("ack_rate", (*adminv1.NodeRates).GetAckRate, false),
	rateColumn("unroutable_rate", (*adminv1.NodeRates).GetUnroutableRate, true),
	rateColumn("receive_rate", (*adminv1.NodeRates).GetReceiveRate, true),
	rateColumn("send_rate", (*adminv1.NodeRates).GetSendRate, true),
	gaugeColumn("messages_ready", (*adminv1.NodeRates).GetMessagesReady, false),
	gaugeColumn("messages_unacknowledged", (*adminv1.NodeRates).GetMessagesUnacknowledged, false),
	gaugeColumn("connections", func(n *adminv1.NodeRates) uint64 { return n.GetObjects().GetConnections() }, false),
	gaugeColumn("memory_used", (*adminv1.NodeRates).GetMemoryUsedBytes, true),
	{Name: "unreachable_nodes", Get: func(r *adminv1.WatchRatesResponse) any { return r.GetUnreachableNodes() }, Extra: true},
}

func (a *app) topCommand() *cobra.Command {
	return a.single(verb{
		use: "top", short: "Watch rates, nodes and the fullest queues on a live screen",
		columns: rateColumns.Names(),
		long: "top draws a screen every second: q quits, s sorts the queues by another column. Without a terminal, or with --output, it prints\n" +
			"a line for each moment.",
		example: "brokerctl top --count 1 --interval 100ms\nbrokerctl top --for 300ms --interval 100ms --output json",
		flags: func(fs *pflag.FlagSet) {
			fs.Var(new(duration), "interval", "time between two moments, 100ms to 1h (1s)")
			fs.Lookup("interval").DefValue = ""
			watchFlags(fs)
		},
		run: runTop,
	})
}

func (c *call) interval() (time.Duration, error) {
	d, ok := c.cmd.Flags().Lookup("interval").Value.(*duration)
	if !ok || *d == 0 {
		return time.Second, nil
	}
	if interval := time.Duration(*d); interval >= 100*time.Millisecond && interval <= time.Hour {
		return interval, nil
	}
	return 0, usagef("--interval %v is not within 100ms and 1h", time.Duration(*d))
}

func runTop(c *call) error {
	interval, err := c.interval()
	if err != nil {
		return err
	}
	in, ok := c.cmd.InOrStdin().(*os.File)
	out, _ := c.out.(*os.File)
	if ok && terminal(in) && terminal(out) && !c.changed("output") && !c.changed("columns") && os.Getenv("TERM") != "dumb" {
		return c.topScreen(interval, in, out)
	}
	return follow(c, rateColumns, func(ctx context.Context) (func() (*adminv1.WatchRatesResponse, error), error) {
		stream, err := c.rates(ctx, interval)
		if err != nil {
			return nil, err
		}
		return stream.Recv, nil
	})
}

func (c *call) rates(ctx context.Context, interval time.Duration) (adminv1.WatchService_WatchRatesClient, error) {
	return c.watches().WatchRates(ctx, &adminv1.WatchRatesRequest{Interval: durationpb.New(interval)})
}

// maxTopQueues bounds the queues that top looks at; beyond it says that it does not show all.
const maxTopQueues = 10000

// fullQueues returns the queues that hold messages, in the order of their names.
func (c *call) fullQueues() (queues []*adminv1.Queue, all bool, _ error) {
	fetch := c.queuePages(&adminv1.ListQueuesRequest{Vhost: c.chosenVHost(), WithMessages: true})
	errEnough := errors.New("enough")
	_, err := eachPage(fetch, func(items []*adminv1.Queue) error {
		queues = append(queues, items...)
		if len(queues) >= maxTopQueues {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return queues, false, nil
	}
	return queues, true, err
}

// topScreen draws until q, an interrupt, --count or --for.
func (c *call) topScreen(interval time.Duration, in, out *os.File) (err error) {
	ctx, cancel := c.watching()
	defer cancel()
	stream, err := c.rates(ctx, interval)
	if err != nil {
		return err
	}
	raw, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return &ctl.Problem{Code: ctl.ExitIO, Err: err}
	}
	defer func() {
		_, _ = io.WriteString(out, "\x1b[?25h\x1b[?1049l") // cursor and the screen from before
		err = errors.Join(err, term.Restore(int(in.Fd()), raw))
	}()
	if _, err := io.WriteString(out, "\x1b[?1049h\x1b[?25l"); err != nil {
		return writeProblem(err)
	}
	keys := make(chan byte)
	go readKeys(ctx, in, keys) // ends with the process: reading a terminal cannot be interrupted
	moments := make(chan topMoment)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.topMoments(ctx, stream, moments)
	}()
	defer func() {
		cancel()
		<-done
	}()
	return c.drawTop(ctx, out, keys, moments)
}

// topMoment is what top shows at one moment, or why there is no more.
type topMoment struct {
	rates  *adminv1.WatchRatesResponse
	queues []*adminv1.Queue
	all    bool
	err    error
}

// topMoments sends moments until the stream ends.
func (c *call) topMoments(ctx context.Context, stream adminv1.WatchService_WatchRatesClient, moments chan<- topMoment) {
	for {
		var m topMoment
		if m.rates, m.err = stream.Recv(); m.err == nil {
			m.queues, m.all, m.err = c.fullQueues()
		}
		select {
		case moments <- m:
		case <-ctx.Done():
			return
		}
		if m.err != nil {
			return
		}
	}
}

func readKeys(ctx context.Context, in io.Reader, keys chan<- byte) {
	var b [1]byte
	for {
		if n, err := in.Read(b[:]); n == 0 || err != nil {
			return
		}
		select {
		case keys <- b[0]:
		case <-ctx.Done():
			return
		}
	}
}

// drawTop draws each moment, and at once after a key.
func (c *call) drawTop(ctx context.Context, out *os.File, keys <-chan byte, moments <-chan topMoment) error {
	screen := topScreen{}
	most := c.number("count")
	for drawn := uint64(0); most == 0 || drawn < most; {
		select {
		case <-ctx.Done():
			return nil
		case key := <-keys:
			switch key {
			case 'q', 'Q', 3, 4: // 3 and 4 are ^C and ^D, which a raw terminal does not turn into signals
				return nil
			case 's':
				screen.sort = (screen.sort + 1) % len(topSorts)
			}
		case m := <-moments:
			if m.err != nil {
				return streamEnd(c.ctx, ctx, m.err)
			}
			screen.moment = m
			drawn++
		}
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil || width < 20 || height < 5 {
			width, height = 80, 24
		}
		if _, err := io.WriteString(out, screen.frame(width, height)); err != nil {
			return writeProblem(err)
		}
	}
	return nil
}

// topSorts are the columns that the queues can be sorted by, the greatest first.
var topSorts = []struct {
	name  string
	value func(*adminv1.Queue) uint64
}{
	{"messages", func(q *adminv1.Queue) uint64 { return q.GetMessagesReady() + q.GetMessagesUnacknowledged() }},
	{"ready", (*adminv1.Queue).GetMessagesReady},
	{"unacked", (*adminv1.Queue).GetMessagesUnacknowledged},
	{"memory", (*adminv1.Queue).GetMemoryBytes},
}

// sortQueues sorts the fullest first, and equal ones by name.
func sortQueues(queues []*adminv1.Queue, by int) {
	value := topSorts[by].value
	slices.SortStableFunc(queues, func(a, b *adminv1.Queue) int {
		switch x, y := value(a), value(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
}

// topTitle is the first line.
func topTitle(m topMoment, sorted string) string {
	return fmt.Sprintf("brokerd  %s  %d nodes  queues by %s  [s] sort [q] quit", moment(m.rates.GetTime()).Local().Format(time.TimeOnly),
		len(m.rates.GetNodes()), sorted)
}
