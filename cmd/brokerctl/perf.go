package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/internal/perf"
)

// errVerification is returned when the verification has found something; the report tells what.
var errVerification = errors.New("verification failed")

// perfFlags are the flags that are not options of the load generator as they are.
type perfFlags struct {
	durable    bool
	queueArgs  []string
	output     string
	jsonFile   string
	noProgress bool
}

func perfCommand() *cobra.Command {
	o := perf.DefaultOptions()
	var f perfFlags
	cmd := &cobra.Command{
		Use:   "perf",
		Short: "Generate load and measure rates and latencies",
		Long: "perf publishes to and consumes from an AMQP 0-9-1 broker and prints a line per second and a summary.\n" +
			"It declares its queues, and deletes those that did not exist before when it ends (--keep leaves them).\n" +
			"It ends with --duration, with --count, or with an interrupt, which still prints the summary.\n" +
			"Durations are numbers with a unit (500ms, 1m30s) or numbers of seconds.",
		Example: "  brokerctl perf -z 10                                   # as fast as possible, transient, without confirms\n" +
			"  brokerctl perf -z 10 --persistent -c 1000 -q 500       # durable, confirmed, acknowledged\n" +
			"  brokerctl perf -z 30 -r 50000 -a                       # latency at a fixed rate\n" +
			"  brokerctl perf -x 4 -y 4 --queues 8 -C 100000 --verify # nothing lost, doubled or out of order?\n" +
			"  brokerctl perf -y 0 -C 1000000 --keep && brokerctl perf -x 0 --drain",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return runPerf(cmd, o, f) },
	}
	addPerfFlags(cmd, &o, &f)
	return cmd
}

func addPerfFlags(cmd *cobra.Command, o *perf.Options, f *perfFlags) {
	s := cmd.Flags()
	s.SortFlags = false
	s.StringArrayVar(&o.URIs, "uri", o.URIs, "broker; repeat it to spread the connections over several")
	s.IntVarP(&o.Producers, "producers", "x", o.Producers, "publishing channels, 0 to consume only")
	s.IntVarP(&o.Consumers, "consumers", "y", o.Consumers, "consuming channels, 0 to publish only")
	s.IntVar(&o.Channels, "channels", o.Channels, "channels (producers or consumers) per connection")
	s.IntVar(&o.Queues, "queues", o.Queues, "number of queues, 0 to publish without any")
	s.StringVarP(&o.QueuePattern, "queue-pattern", "u", o.QueuePattern, "name of the queues, %d is the number")
	s.StringArrayVar(&f.queueArgs, "queue-arg", nil, "argument of queue.declare as name=value, repeatable (numbers and true, false are such)")
	s.StringVarP(&o.Exchange, "exchange", "e", o.Exchange, "exchange to publish to, empty for the default exchange")
	s.StringVarP(&o.ExchangeType, "type", "t", o.ExchangeType, "direct, fanout, topic or headers")
	s.StringVarP(&o.RoutingKey, "routing-key", "k", o.RoutingKey, "routing key of all messages, so that each goes to all queues (the name of one queue)")
	s.StringVar(&o.BindingKey, "binding-key", o.BindingKey, "binding key, such as a topic pattern (the routing key)")
	s.BoolVarP(&o.Predeclared, "predeclared", "p", o.Predeclared, "use existing queues and bindings, declare and delete nothing")
	s.BoolVar(&f.durable, "durable", false, "durable queues and exchange (as --persistent)")
	s.BoolVar(&o.AutoDelete, "auto-delete", o.AutoDelete, "auto-delete queues")

	s.IntVarP(&o.Size, "size", "s", o.Size, "bytes per message")
	s.BoolVar(&o.Persistent, "persistent", o.Persistent, "persistent messages")
	s.BoolVar(&o.Mandatory, "mandatory", o.Mandatory, "have messages returned that no queue takes")
	s.IntVarP(&o.Confirm, "confirm", "c", o.Confirm, "publish with confirms, this many outstanding per producer, 0 for none")
	s.Float64VarP(&o.Rate, "rate", "r", o.Rate, "messages per second and producer, 0 for as many as possible")

	s.IntVarP(&o.Prefetch, "prefetch", "q", o.Prefetch, "prefetch count per consumer, 0 for no limit")
	s.BoolVarP(&o.AutoAck, "auto-ack", "a", o.AutoAck, "consume without acknowledgements")
	s.IntVarP(&o.MultiAck, "multi-ack", "A", o.MultiAck, "acknowledge every N messages, 0 for what was read at once")
	s.Var((*duration)(&o.ConsumerDelay), "consumer-delay", "time that a consumer works on each message")

	s.VarP((*duration)(&o.Duration), "duration", "z", "time to run, 0 for no limit")
	s.Int64VarP(&o.Count, "count", "C", o.Count, "messages per producer, 0 for no limit")
	s.Var((*duration)(&o.Warmup), "warmup", "time to run before anything counts")
	s.BoolVar(&o.Drain, "drain", o.Drain, "consume until the queues are empty")
	s.Var((*duration)(&o.DrainTimeout), "drain-timeout", "give up draining when nothing arrives for this long")
	s.BoolVar(&o.Verify, "verify", o.Verify, "check that each message arrives once and in order; exit code 1 if not")
	s.BoolVar(&o.Purge, "purge", o.Purge, "empty the queues first")
	s.BoolVar(&o.Keep, "keep", o.Keep, "leave queues and exchange behind")

	s.VarP((*duration)(&o.ReportInterval), "report-interval", "i", "time between two lines")
	s.BoolVar(&f.noProgress, "no-progress", false, "print the summary only")
	s.StringVar(&f.output, "output", "text", "what to print on standard output: text or json (progress then goes to standard error)")
	s.StringVar(&f.jsonFile, "json", "", "write the summary as JSON to this file, too")
}

func runPerf(cmd *cobra.Command, o perf.Options, f perfFlags) error {
	if o.Durable = f.durable; !cmd.Flags().Changed("durable") {
		o.Durable = o.Persistent
	}
	for _, a := range f.queueArgs {
		name, value, ok := strings.Cut(a, "=")
		if !ok || name == "" {
			return &usageError{fmt.Errorf("queue argument %q is not name=value", a)}
		}
		o.QueueArguments = o.QueueArguments.Set(name, argument(value))
	}
	if f.output != "text" && f.output != "json" {
		return &usageError{fmt.Errorf("output %q is neither text nor json", f.output)}
	}
	if err := o.Validate(); err != nil {
		return &usageError{err}
	}
	switch {
	case f.noProgress:
	case f.output == "json":
		o.Progress = cmd.ErrOrStderr()
	default:
		o.Progress = cmd.OutOrStdout()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // so that a second signal ends the process at once
	report, err := perf.Run(ctx, o)
	if report == nil {
		return err
	}
	write := report.WriteText
	if f.output == "json" {
		write = report.WriteJSON
	}
	err = errors.Join(err, write(cmd.OutOrStdout()))
	if f.jsonFile != "" {
		err = errors.Join(err, writeFile(f.jsonFile, report))
	}
	if v := report.Verification; err == nil && v != nil && !v.OK {
		return errVerification
	}
	return err
}

func writeFile(name string, report *perf.Report) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(file), file.Close())
}

// argument reads a value of --queue-arg.
func argument(s string) wire.Value {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return wire.Int64(n)
	}
	switch s {
	case "true":
		return wire.Bool(true)
	case "false":
		return wire.Bool(false)
	}
	return wire.String(s)
}

// duration is a flag value that takes a plain number as seconds.
type duration time.Duration

func (d *duration) Set(s string) error {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		*d = duration(n * float64(time.Second))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is neither a number of seconds nor a duration such as 1m30s", s)
	}
	*d = duration(v)
	return nil
}

func (d *duration) String() string { return time.Duration(*d).String() }

func (d *duration) Type() string { return "duration" }
