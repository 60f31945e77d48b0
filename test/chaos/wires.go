//go:build linux

package chaos

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wires are the connections between the nodes: a proxy for each direction of each pair. A node advertises one address only, so
// behind that is a switch, which finds out which process calls and hands the connection to the proxy of the pair.
type wires struct {
	nodes    []*node
	proxies  map[[2]int]*toxiproxy.Proxy // from, to
	switches []net.Listener

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

// newWires lays the wires of nodes, whose listen addresses must be set, and sets their addresses. addresses are free ones, enough
// for a switch per node and a proxy for each direction of each pair.
func newWires(nodes []*node, addresses []string) (*wires, error) {
	w := &wires{nodes: nodes, proxies: map[[2]int]*toxiproxy.Proxy{}, open: map[net.Conn]struct{}{}}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()) // proxies hang on it; it does not listen
	for _, to := range nodes {
		for _, from := range nodes {
			if from == to {
				continue
			}
			p := toxiproxy.NewProxy(server, fmt.Sprintf("%d-%d", from.index, to.index), addresses[0], to.listen)
			addresses = addresses[1:]
			if err := p.Start(); err != nil {
				return nil, errors.Join(err, w.close())
			}
			w.proxies[[2]int{from.index, to.index}] = p
		}
		l, err := net.Listen("tcp", addresses[0])
		if err != nil {
			return nil, errors.Join(err, w.close())
		}
		addresses = addresses[1:]
		to.address = l.Addr().String()
		w.switches = append(w.switches, l)
		w.done.Go(func() { w.accept(l, to) })
	}
	return w, nil
}

func (w *wires) accept(l net.Listener, to *node) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		w.done.Go(func() { w.carry(conn, to) })
	}
}

// carry connects a caller with a node by way of the proxy of the pair.
func (w *wires) carry(conn net.Conn, to *node) {
	defer conn.Close()
	from := w.caller(conn)
	if from == nil {
		return
	}
	address := to.listen // for a node that looks for itself in cluster.initial
	if p := w.proxies[[2]int{from.index, to.index}]; p != nil {
		address = p.Listen
	}
	other, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return
	}
	defer other.Close()
	if !w.track(conn, other) {
		return
	}
	defer w.untrack(conn, other)
	var copying sync.WaitGroup
	move := func(to, from net.Conn) {
		_, _ = io.Copy(to, from) // how it ended does not matter: both are closed
		_ = to.Close()
		_ = from.Close()
	}
	copying.Go(func() { move(other, conn) })
	move(conn, other)
	copying.Wait()
}

func (w *wires) track(conns ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		w.open[c] = struct{}{}
	}
	return !w.closed
}

func (w *wires) untrack(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.open, c)
	}
}

// caller finds the node whose process has the other end of a connection, nil if there is none.
func (w *wires) caller(conn net.Conn) *node {
	inode := socketInode(conn.RemoteAddr(), conn.LocalAddr())
	if inode == "" {
		return nil
	}
	for _, n := range w.nodes {
		pid := n.pid.Load()
		if pid == 0 {
			continue
		}
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is good
		for _, file := range files {
			if target, err := os.Readlink(file); err == nil && target == "socket:["+inode+"]" {
				return n
			}
		}
	}
	return nil
}

// socketInode returns the number of the socket with these two ends, as /proc/PID/fd has it.
func socketInode(local, remote net.Addr) string {
	content, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return ""
	}
	l, r := kernelAddress(local), kernelAddress(remote)
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 9 && f[1] == l && f[2] == r {
			return f[9]
		}
	}
	return ""
}

// kernelAddress writes an IPv4 address as /proc/net/tcp does.
func kernelAddress(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	ip := tcp.IP.To4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], tcp.Port)
}

// each calls f for both directions between two nodes.
func (w *wires) each(a, b int, f func(*toxiproxy.Proxy) error) error {
	return errors.Join(f(w.proxies[[2]int{a, b}]), f(w.proxies[[2]int{b, a}]))
}

// cut ends all connections between two nodes and refuses new ones.
func (w *wires) cut(a, b int) error {
	return w.each(a, b, func(p *toxiproxy.Proxy) error {
		p.Stop()
		return nil
	})
}

// hang lets nothing through any more, without either side noticing. Connections that lost something so end when it is mended.
func (w *wires) hang(a, b int) error { return w.toxic(a, b, "timeout", `{"timeout":0}`) }

// slow delays what goes between two nodes, in each direction.
func (w *wires) slow(a, b int, by time.Duration) error {
	return w.toxic(a, b, "latency", fmt.Sprintf(`{"latency":%d}`, by.Milliseconds()))
}

func (w *wires) toxic(a, b int, kind, attributes string) error {
	return w.each(a, b, func(p *toxiproxy.Proxy) error {
		for _, stream := range []string{"upstream", "downstream"} {
			toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+stream, kind, stream, attributes)
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return fmt.Errorf("wire %s: %w", p.Name, err)
			}
		}
		return nil
	})
}

// mend makes the wires between two nodes whole.
func (w *wires) mend(a, b int) error {
	return w.each(a, b, func(p *toxiproxy.Proxy) error {
		p.Toxics.ResetToxics(context.Background())
		if p.Enabled {
			return nil
		}
		if err := p.Start(); err != nil {
			return fmt.Errorf("wire %s: %w", p.Name, err)
		}
		return nil
	})
}

// close ends everything.
func (w *wires) close() (err error) {
	for _, l := range w.switches {
		err = errors.Join(err, l.Close())
	}
	w.mu.Lock()
	w.closed = true
	for conn := range w.open {
		_ = conn.Close()
	}
	w.mu.Unlock()
	for _, p := range w.proxies {
		p.Stop()
	}
	w.done.Wait()
	return err
}
