package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Ports of the first node of a development cluster; the others count up from there.
const (
	devAMQP    = 5672
	devCluster = 7672
	devAdmin   = 8672
	devHTTP    = 15672
)

// maxDevNodes is as many as have their ports apart.
const maxDevNodes = 9

// dev is a cluster of processes on this machine.
type dev struct {
	nodes        int
	dir          string
	ports        int // added to all ports
	restartAfter time.Duration
	out          io.Writer
	mu           sync.Mutex // guards out
}

func devCommand() *cobra.Command {
	d := &dev{}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a cluster on this machine, to try things out",
		Long: "dev runs a cluster of nodes on this machine, each a process of its own, and keeps their data for the next time.\n" +
			"Kill one of them and see what happens: it is started again after a while. SIGINT and SIGTERM stop them all in order.\n" +
			"Settings for all nodes can be given by environment variables, such as BROKERD_LOG_LEVEL.",
		Example: "  brokerd dev\n  brokerd dev --nodes 1 --dir /tmp/try",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d.out = cmd.OutOrStdout()
			return d.run()
		},
	}
	cmd.Flags().IntVar(&d.nodes, "nodes", 3, fmt.Sprintf("number of nodes, 1 to %d", maxDevNodes))
	cmd.Flags().StringVar(&d.dir, "dir", "./brokerd-dev", "directory for the data of all nodes")
	cmd.Flags().IntVar(&d.ports, "port-offset", 0, "added to all port numbers")
	cmd.Flags().DurationVar(&d.restartAfter, "restart-after", 5*time.Second, "time after which a node that ended is started again, 0 for never")
	return cmd
}

func (d *dev) run() error {
	if d.nodes < 1 || d.nodes > maxDevNodes {
		return &usageError{fmt.Sprintf("--nodes %d is out of range; allowed: 1 to %d", d.nodes, maxDevNodes)}
	}
	if d.ports < 0 || d.ports+devHTTP+d.nodes > 65536 {
		return &usageError{fmt.Sprintf("--port-offset %d is out of range; allowed: 0 to %d", d.ports, 65536-devHTTP-d.nodes)}
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		return err
	}
	if err := d.checkPorts(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	up := make(chan int, d.nodes)
	ended := make([]error, d.nodes)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range d.nodes {
		running.Go(func() {
			if ended[i] = d.keep(ctx, program, i, up); ended[i] != nil {
				cancel() // the others are of no use without it
			}
		})
	}
	for n := 0; n < d.nodes; {
		select {
		case <-up:
			n++
		case <-ctx.Done():
			n = d.nodes
		}
	}
	if ctx.Err() == nil {
		d.greet()
	}
	running.Wait()
	return errors.Join(ended...)
}

// checkPorts finds out before anything is started whether the ports are free.
func (d *dev) checkPorts() error {
	for i := range d.nodes {
		for _, port := range []int{devAMQP, devCluster, devAdmin, devHTTP} {
			l, err := net.Listen("tcp", d.address(port, i))
			if err != nil {
				return fmt.Errorf("%w (--port-offset moves all ports)", err)
			}
			_ = l.Close()
		}
	}
	return nil
}

func (d *dev) name(i int) string { return "node" + strconv.Itoa(i+1) }

func (d *dev) address(port, i int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+d.ports+i))
}

func (d *dev) dataDir(i int) string { return filepath.Join(d.dir, d.name(i)) }

// arguments returns the command line of node i.
func (d *dev) arguments(i int) []string {
	var initial []string
	for j := range d.nodes {
		initial = append(initial, d.address(devCluster, j))
	}
	return []string{
		"--data-dir", d.dataDir(i),
		"--node-name", d.name(i),
		"--amqp-listen", d.address(devAMQP, i),
		"--cluster-listen", d.address(devCluster, i),
		"--cluster-initial", strings.Join(initial, ","),
		"--admin-listen", d.address(devAdmin, i),
		"--http-listen", d.address(devHTTP, i),
	}
}

// keep runs node i until ctx ends, and starts it again when it ends by itself. The error says that it cannot run.
func (d *dev) keep(ctx context.Context, program string, i int, up chan<- int) error {
	// The system ends the child when the thread that started it ends, so that thread must stay.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for first := true; ; first = false {
		err := d.start(ctx, program, i, up)
		if ctx.Err() != nil {
			return nil
		}
		var exit *exec.ExitError
		if first && errors.As(err, &exit) && exit.Exited() {
			return fmt.Errorf("%s: %w", d.name(i), err)
		}
		if d.restartAfter <= 0 {
			d.say(i, fmt.Sprintf("ended (%v) and is not started again", err))
			<-ctx.Done()
			return nil
		}
		d.say(i, fmt.Sprintf("ended (%v), starting again in %s", err, d.restartAfter))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(d.restartAfter):
		}
	}
}

// devGrace is what a node may take to stop beyond its own timeout for that.
const devGrace = 20 * time.Second

// start runs node i once.
func (d *dev) start(ctx context.Context, program string, i int, up chan<- int) error {
	cmd := exec.CommandContext(ctx, program, d.arguments(i)...)
	// A process group of its own, so that Ctrl-C at the terminal reaches the nodes through this process only.
	cmd.SysProcAttr = childAttributes()
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = devGrace
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(log, 64<<10)
	for told := false; ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			d.say(i, strings.TrimSuffix(line, "\n"))
		}
		if !told && (strings.Contains(line, "msg=started") || strings.Contains(line, `"msg":"started"`)) {
			told = true
			select {
			case up <- i:
			default: // it was up before
			}
		}
		if err != nil {
			break
		}
	}
	return cmd.Wait()
}

// say prints a line of node i.
func (d *dev) say(i int, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, "%s | %s\n", d.name(i), line)
}

// greet prints what to do with the cluster.
func (d *dev) greet() {
	d.mu.Lock()
	defer d.mu.Unlock()
	fmt.Fprintf(d.out, "\nThe cluster is up. Clients connect to any of\n\n")
	for i := range d.nodes {
		fmt.Fprintf(d.out, "    amqp://guest:guest@%s/\n", d.address(devAMQP, i))
	}
	fmt.Fprintf(d.out, "\nTry\n\n")
	for _, line := range []string{"cluster status", "queues declare --name hello --durable", "queues list", "status"} {
		fmt.Fprintf(d.out, "    brokerctl --data-dir %s %s\n", d.dataDir(0), line)
	}
	fmt.Fprintf(d.out, "\nor kill a node and watch. Ctrl-C stops them all.\n\n")
}
