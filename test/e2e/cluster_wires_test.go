//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// wires are the connections between the nodes of a cluster, one proxy for each direction of each pair. A node advertises one address
// only, so behind that is a splitter, which finds out which node calls and hands the connection to the proxy of the pair.
type wires struct {
	t      *testing.T
	server *toxiproxy.ApiServer // what proxies hang on; it does not listen

	mu      sync.Mutex
	members []*member
	proxies map[pair]*toxiproxy.Proxy
	open    map[net.Conn]bool
	closed  bool
	done    sync.WaitGroup
}

// pair is a direction: from calls to.
type pair struct{ from, to int }

func newWires(t *testing.T) *wires {
	t.Helper()
	w := &wires{
		t: t, server: toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()),
		proxies: map[pair]*toxiproxy.Proxy{}, open: map[net.Conn]bool{},
	}
	t.Cleanup(w.close)
	return w
}

// add puts wires between m and all nodes before it and returns the address at which the others reach it.
func (w *wires) add(m *member) string {
	w.t.Helper()
	for _, other := range w.members {
		w.connect(pair{other.index, m.index}, m.listen)
		w.connect(pair{m.index, other.index}, other.listen)
	}
	w.mu.Lock()
	w.members = append(w.members, m)
	w.mu.Unlock()
	splitter, err := net.Listen("tcp", freeAddress(w.t))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = splitter.Close() })
	w.done.Go(func() {
		for {
			conn, err := splitter.Accept()
			if err != nil {
				return // closed
			}
			w.done.Go(func() { w.carry(conn, m.index) })
		}
	})
	return splitter.Addr().String()
}

func (w *wires) connect(p pair, upstream string) {
	w.t.Helper()
	proxy := toxiproxy.NewProxy(w.server, fmt.Sprintf("%d-%d", p.from, p.to), freeAddress(w.t), upstream)
	if err := proxy.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.proxies[p] = proxy
	w.mu.Unlock()
}

// carry connects a caller to the proxy that leads from it to a node.
func (w *wires) carry(conn net.Conn, to int) {
	defer conn.Close()
	from, ok := w.caller(conn)
	if !ok {
		return
	}
	w.mu.Lock()
	address := w.members[to].listen // for a node that looks for itself in cluster.initial
	if from != to {
		address = w.proxies[pair{from, to}].Listen
	}
	w.mu.Unlock()
	w.join(conn, address)
}

// join copies in both directions until one side ends.
func (w *wires) join(conn net.Conn, address string) {
	other, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return
	}
	defer other.Close()
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.open[conn], w.open[other] = true, true
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.open, conn)
		delete(w.open, other)
		w.mu.Unlock()
	}()
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

// caller finds the node that a connection comes from: the process that has the other end of its socket.
func (w *wires) caller(conn net.Conn) (index int, ok bool) {
	local, remote := hexAddress(conn.RemoteAddr()), hexAddress(conn.LocalAddr())
	content, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return 0, false
	}
	inode := ""
	for scanner := bufio.NewScanner(bytes.NewReader(content)); scanner.Scan(); {
		f := strings.Fields(scanner.Text())
		if len(f) > 9 && f[1] == local && f[2] == remote {
			inode = f[9]
		}
	}
	w.mu.Lock()
	members := w.members
	w.mu.Unlock()
	for _, m := range members {
		pid := m.pid.Load()
		if pid == 0 || inode == "" {
			continue
		}
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is good
		for _, file := range files {
			if target, err := os.Readlink(file); err == nil && target == "socket:["+inode+"]" {
				return m.index, true
			}
		}
	}
	return 0, false
}

// hexAddress writes an IPv4 address as /proc/net/tcp does.
func hexAddress(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	ip := tcp.IP.To4()
	return fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], tcp.Port)
}

// each calls f for both directions between two nodes.
func (w *wires) each(a, b *member, f func(*toxiproxy.Proxy) error) {
	w.t.Helper()
	for _, p := range []pair{{a.index, b.index}, {b.index, a.index}} {
		w.mu.Lock()
		proxy := w.proxies[p]
		w.mu.Unlock()
		if err := f(proxy); err != nil {
			w.t.Fatalf("wire %s: %v", proxy.Name, err)
		}
	}
}

// cut ends all connections between two nodes and refuses new ones.
func (w *wires) cut(a, b *member) {
	w.t.Helper()
	w.each(a, b, func(p *toxiproxy.Proxy) error {
		p.Stop()
		return nil
	})
}

// hang lets nothing through between two nodes any more, without either noticing: what is sent is lost.
func (w *wires) hang(a, b *member) { w.toxic(a, b, "timeout", `{"timeout":0}`) }

// slow delays everything between two nodes by a time in each direction.
func (w *wires) slow(a, b *member, by time.Duration) {
	w.toxic(a, b, "latency", fmt.Sprintf(`{"latency":%d}`, by.Milliseconds()))
}

func (w *wires) toxic(a, b *member, kind, attributes string) {
	w.t.Helper()
	w.each(a, b, func(p *toxiproxy.Proxy) error {
		for _, stream := range []string{"upstream", "downstream"} {
			toxic := fmt.Sprintf(`{"name":%q,"type":%q,"stream":%q,"attributes":%s}`, kind+stream, kind, stream, attributes)
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return err
			}
		}
		return nil
	})
}

// mend makes the wires between two nodes whole.
func (w *wires) mend(a, b *member) {
	w.t.Helper()
	w.each(a, b, func(p *toxiproxy.Proxy) error {
		p.Toxics.ResetToxics(w.t.Context())
		if !p.Enabled {
			return p.Start()
		}
		return nil
	})
}

// isolate cuts a node off from all others, reunite takes it back.
func (w *wires) isolate(m *member) {
	w.t.Helper()
	for _, other := range w.members {
		if other != m {
			w.cut(m, other)
		}
	}
}

func (w *wires) reunite(m *member) {
	w.t.Helper()
	for _, other := range w.members {
		if other != m {
			w.mend(m, other)
		}
	}
}

// close ends everything; the splitters are closed already, since their cleanups come first.
func (w *wires) close() {
	w.mu.Lock()
	w.closed = true
	for conn := range w.open {
		_ = conn.Close()
	}
	for _, p := range w.proxies {
		p.Stop()
	}
	w.mu.Unlock()
	w.done.Wait()
}
