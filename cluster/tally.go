package cluster

import (
	"time"

	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// Limits of connections and channels count what all nodes have. Each node tells the others what it has, all of it each time, so that a
// word that is lost does no harm; what a node said is forgotten when it cannot be reached, for its clients are about to come to
// others. A node checks a limit against what it has heard. So two nodes that take connections at the same moment may exceed the
// limit together, by as many as come to the others until the word is there: tellPause and the time of a notice. A cut network makes each
// part count for itself. Nobody is closed for that afterwards.

// tellPause is the least time between two reports of what clients have here.
const tellPause = 100 * time.Millisecond

// tally is what clients of one vhost or user have on another node.
type tally struct{ connections, channels int }

// tallies is what another node said.
type tallies [2]map[string]tally // by ofVHosts or ofUsers

const (
	ofVHosts = iota
	ofUsers
)

// others returns what clients of a vhost or user have on other nodes. mu is held.
func (u *usage) others(of int, name string) (sum tally) {
	for _, t := range u.elsewhere {
		sum.connections += t[of][name].connections
		sum.channels += t[of][name].channels
	}
	return sum
}

// tellLater has the other nodes told soon.
func (u *usage) tellLater() {
	select {
	case u.changed <- struct{}{}:
	default:
	}
}

// hear takes what a node says.
func (u *usage) hear(node string, m *peerv1.Usage) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.elsewhere[node] = tallies{talliesOf(m.GetVhosts()), talliesOf(m.GetUsers())}
}

// forget drops what a node has said.
func (u *usage) forget(node string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.elsewhere, node)
}

func talliesOf(list []*peerv1.Tally) map[string]tally {
	m := make(map[string]tally, len(list))
	for _, t := range list {
		m[string(t.GetName())] = tally{int(t.GetConnections()), int(t.GetChannels())}
	}
	return m
}

// report returns what clients have here.
func (u *usage) report() *peerv1.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	return &peerv1.Usage{Vhosts: open(u.vhosts), Users: open(u.users)}
}

// open lists the accounts with connections.
func open(accounts map[string]*account) (list []*peerv1.Tally) {
	for name, a := range accounts {
		if a.connections > 0 {
			list = append(list, &peerv1.Tally{Name: []byte(name), Connections: uint32(a.connections), Channels: uint32(a.channels)})
		}
	}
	return list
}

// reportUsage tells the other nodes what clients have here whenever that has changed, until the Broker closes.
func (b *Broker) reportUsage() {
	for {
		select {
		case <-b.leaving:
			return
		case <-b.usage.changed:
		}
		if !b.tellUsage(b.nodes.reached(), false) {
			b.usage.tellLater() // a link had too much to carry
		}
		select {
		case <-b.leaving:
			return
		case <-time.After(tellPause):
		}
	}
}

// tellUsage tells nodes what clients have here; ask is as in peerv1.Usage. It does not wait. It returns false if a node to which there
// is a link was not told.
func (b *Broker) tellUsage(nodes []string, ask bool) (told bool) {
	if len(nodes) == 0 {
		return true
	}
	b.usage.telling.Lock()
	defer b.usage.telling.Unlock()
	r := b.usage.report()
	r.Ask = ask
	told = true
	for _, name := range nodes {
		if !b.links.Notify(name, &peerv1.Notice{Usage: r}) && b.links.Up(name) {
			told = false
		}
	}
	return told
}

// hearUsage takes what clients have on a node, and answers it if it wants to know that of this one.
func (n *nodes) hearUsage(node string, m *peerv1.Usage) {
	n.mu.Lock()
	member := n.others[node] != nil
	n.mu.Unlock()
	if !member {
		return
	}
	n.broker.usage.hear(node, m)
	if m.GetAsk() {
		n.broker.tellUsage([]string{node}, false)
		n.sendAlarms(node)
	}
}
