package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
)

// Formation says how a node without metadata finds its cluster. Without either list it makes one of its own.
type Formation struct {
	// Join are addresses of members of a running cluster.
	Join []string
	// Initial are the addresses of all first members of a new cluster, this node's among them, the same on all of them.
	Initial []string
}

// ErrFormation says that a node cannot become part of the cluster that it is configured for.
var ErrFormation = errors.New("cluster formation")

// form decides how a node without metadata begins: with a cluster of its own, or as a member of the one that it returns addresses
// of.
func (b *Broker) form(ctx context.Context) (join []string, err error) {
	switch f := &b.opts.Formation; {
	case b.network == nil:
		return nil, nil
	case len(f.Join) > 0:
		return f.Join, nil
	case len(f.Initial) > 0:
		return b.formInitial(ctx, f.Initial)
	}
	return nil, nil
}

// formInitial finds out whether this node makes the cluster. Only the first of the list does, and only when it sees more than half
// of the list and none of that is in a cluster: so it does not make a second one when it comes back with an empty disk. As
// listeners answer before, the order of starts does not matter.
func (b *Broker) formInitial(ctx context.Context, list []string) (join []string, err error) {
	said := time.Now()
	for wait := firstPause; ; wait = min(2*wait, maxJoinPause) {
		seen, self, first, missing := 0, false, false, []string(nil)
		for i, address := range list {
			probe, cancel := context.WithTimeout(ctx, probeTimeout)
			id, err := b.network.Probe(probe, address)
			cancel()
			switch {
			case errors.Is(err, network.ErrSelf):
				self, first = true, first || i == 0
				seen++
			case final(err):
				return nil, fmt.Errorf("%w: %s of cluster.initial: %w", ErrFormation, address, err)
			case err != nil:
				missing = append(missing, address)
			case id.Cluster != "":
				return []string{address}, nil
			default:
				seen++
			}
		}
		if first && seen > len(list)/2 {
			return nil, nil
		}
		if !self && len(missing) == 0 {
			return nil, fmt.Errorf("%w: cluster.initial %v does not have the address of this node, which is %s (cluster.advertise)",
				ErrFormation, list, b.network.Advertised())
		}
		if time.Since(said) > sayAgain {
			said = time.Now()
			b.log.Warn("waiting for the first members of the cluster", "initial", list, "missing", missing)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w; missing of cluster.initial: %v", ErrFormation, context.Cause(ctx), missing)
		case <-time.After(wait):
		}
	}
}

const (
	probeTimeout = 2 * time.Second
	// leaderAttempt is longer than an election takes: a node without a leader after that asks whether it still is a member.
	leaderAttempt = 3 * time.Second
	voteTimeout   = 5 * time.Second
)

// openMeta brings up the metadata group: as it was, as a group of its own, or as a member of a group that it joins.
func (b *Broker) openMeta(ctx context.Context) error {
	o := &b.opts
	mo := o.Meta
	empty, err := meta.Empty(mo.Dir)
	if err != nil {
		return fmt.Errorf("cluster: metadata: %w", err)
	}
	var join []string
	if err := b.recallCluster(empty); err != nil {
		return err
	}
	if b.network != nil {
		mo.Transport = patient(b.network.Transport(), b.nodes)
		mo.Forward, mo.Reachable = b.forward, b.Reachable
		b.network.Serve()
	}
	if empty {
		if join, err = b.form(ctx); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	mo.Bootstrap = empty && join == nil
	if b.meta, err = meta.Open(mo); err != nil {
		return fmt.Errorf("cluster: metadata: %w", err)
	}
	close(b.membership.opened)
	switch {
	case join != nil:
		if err := b.join(ctx, join); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	case !empty && b.network != nil:
		if err := b.checkFormation(ctx); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	if err := b.awaitLeader(ctx); err != nil {
		return err
	}
	if join != nil {
		b.awaitVote(ctx)
	}
	return b.rememberCluster()
}

// awaitVote waits until this node, which has joined and caught up, has a vote, if it is to have one: once it serves clients, they may
// rely on what the cluster survives. A cluster that is short of that already cannot give it, so it does not wait for long.
func (b *Broker) awaitVote(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, voteTimeout)
	defer cancel()
	if err := b.meta.Join(ctx, b.opts.NodeID); err != nil {
		b.log.Warn("no vote in the cluster yet", "error", err)
		return
	}
	for {
		members, err := b.meta.Members()
		if err != nil {
			b.log.Warn("no vote in the cluster yet", "error", err)
			return
		}
		voters := 0
		for _, m := range members {
			if m.Voter {
				voters++
			}
			if m.Voter && m.ID == b.opts.NodeID {
				return
			}
		}
		if voters >= meta.MaxVoters {
			return
		}
		select {
		case <-ctx.Done():
			b.log.Warn("no vote in the cluster yet", "error", context.Cause(ctx))
			return
		case <-time.After(firstPause):
		}
	}
}

// clusterFile, beside the metadata, has the id of the cluster. The metadata has it, too, but a member only knows that once it has
// a leader, and until then nobody must take it for a node without a cluster.
func (b *Broker) clusterFile() string { return filepath.Join(b.opts.Meta.Dir, "cluster") }

func (b *Broker) recallCluster(empty bool) error {
	if empty {
		return nil
	}
	id, err := os.ReadFile(b.clusterFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	text := strings.TrimSpace(string(id))
	b.clusterID.Store(&text)
	return nil
}

// rememberCluster writes the id of the cluster to clusterFile. A node that joined has it from the answer, and not in the file yet.
func (b *Broker) rememberCluster() error {
	id := b.meta.State().ClusterID()
	if id == "" {
		return nil
	}
	if b.ClusterID() != id {
		b.clusterID.Store(&id)
		if b.network != nil {
			b.network.Renew()
		}
	}
	if known, err := os.ReadFile(b.clusterFile()); err == nil && strings.TrimSpace(string(known)) == id {
		return nil
	}
	f, err := os.CreateTemp(b.opts.Meta.Dir, "cluster-*")
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	_, err = f.WriteString(id + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), b.clusterFile())
	}
	if err != nil {
		return fmt.Errorf("cluster: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// checkFormation looks whether what the node is configured to join is what it belongs to. Addresses where nobody answers do not
// count: the node needs no one of them any more.
func (b *Broker) checkFormation(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	own := b.ClusterID() // the metadata may know it only once there is a leader
	foreign := make([]bool, len(b.opts.Formation.Join))
	var probes sync.WaitGroup
	for i, address := range b.opts.Formation.Join {
		probes.Go(func() {
			id, err := b.network.Probe(ctx, address)
			foreign[i] = errors.Is(err, network.ErrForeignCluster) || err == nil && own != "" && id.Cluster != "" && id.Cluster != own
		})
	}
	probes.Wait()
	if i := slices.Index(foreign, true); i >= 0 {
		return fmt.Errorf("%w: %s belongs to another cluster, and this node has data of its own (cluster %s): a node that joins "+
			"needs an empty data directory", ErrFormation, b.opts.Formation.Join[i], own)
	}
	return nil
}

// awaitLeader waits until the group has a leader and this node has what the leader has. Without a majority of the members that is
// as long as it takes, unless the cluster has one and this node is no longer a member of it: that tells nobody who is not.
func (b *Broker) awaitLeader(ctx context.Context) error {
	said := time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, leaderAttempt)
		err := b.meta.ReadIndex(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, meta.ErrShutdown) || errors.Is(err, meta.ErrIncompatible) {
			return fmt.Errorf("cluster: waiting for the leader of the metadata: %w", err)
		}
		if err := b.checkStanding(ctx); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
		if time.Since(said) >= sayAgain {
			said = time.Now()
			b.log.Warn("waiting for a majority of the cluster", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(firstPause):
		}
	}
}
