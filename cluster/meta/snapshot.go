package meta

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/hashicorp/raft"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/proto"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// errTruncated reports a snapshot that does not end as it should.
var errTruncated = errors.New("metadata snapshot is damaged")

// snapshot is a State on its way to disk or to another node. It implements raft.FSMSnapshot.
type snapshot struct{ state *State }

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := writeSnapshot(sink, s.state); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}

// snapshotWriter writes records; after an error it does nothing more.
type snapshotWriter struct {
	w        *bufio.Writer
	entities uint64
	err      error
}

func (w *snapshotWriter) record(r *metav1.SnapshotRecord) {
	if w.err != nil {
		return
	}
	opts := protodelim.MarshalOptions{MarshalOptions: proto.MarshalOptions{Deterministic: true}}
	_, w.err = opts.MarshalTo(w.w, r)
}

// writeAll writes the entities of one kind in their order.
func writeAll[T any](w *snapshotWriter, all iter.Seq[T], record func(T) *metav1.SnapshotRecord) {
	for e := range all {
		if w.err != nil {
			return
		}
		w.record(record(e))
		w.entities++
	}
}

func writeSnapshot(to io.Writer, s *State) error {
	w := &snapshotWriter{w: bufio.NewWriterSize(to, 256<<10)}
	w.record(&metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Header{Header: &metav1.SnapshotHeader{
		Version: s.version, Index: s.index, LastQueueId: s.lastQueue, Initialized: s.initialized, ClusterId: s.clusterID,
	}}})
	writeAll(w, s.VHosts(), func(e *VHost) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Vhost{Vhost: e.encode()}}
	})
	writeAll(w, s.Users(), func(e *User) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_User{User: e.encode()}}
	})
	writeAll(w, s.Permissions(), func(e *Permission) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Permission{Permission: e.encode()}}
	})
	writeAll(w, s.TopicPermissions(), func(e *TopicPermission) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_TopicPermission{TopicPermission: e.encode()}}
	})
	writeAll(w, s.Exchanges(), func(e *Exchange) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Exchange{Exchange: e.encode()}}
	})
	writeAll(w, s.AllQueues(), func(e *Queue) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Queue{Queue: e.encode()}}
	})
	writeAll(w, s.Bindings(), func(e *Binding) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Binding{Binding: e.encode()}}
	})
	writeAll(w, s.Policies(), func(e *Policy) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Policy{Policy: e.encode()}}
	})
	writeAll(w, s.Parameters(), func(e *Parameter) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Parameter{Parameter: e.encode()}}
	})
	writeAll(w, s.Nodes(), func(e *Node) *metav1.SnapshotRecord {
		return &metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Node{Node: e.encode()}}
	})
	w.record(&metav1.SnapshotRecord{Kind: &metav1.SnapshotRecord_Trailer{
		Trailer: &metav1.SnapshotTrailer{Entities: w.entities},
	}})
	if w.err != nil {
		return fmt.Errorf("write metadata snapshot: %w", w.err)
	}
	return w.w.Flush()
}

// readSnapshot builds a State, indexes included, from what writeSnapshot wrote.
// The snapshot of a state that took commands of a greater version than version is ErrIncompatible.
func readSnapshot(from io.Reader, version uint32) (*State, error) {
	r := bufio.NewReaderSize(from, 256<<10)
	opts := protodelim.UnmarshalOptions{MaxSize: 2 * MaxCommandLen}
	next := func() (*metav1.SnapshotRecord, error) {
		m := new(metav1.SnapshotRecord)
		if err := opts.UnmarshalFrom(r, m); err != nil {
			return nil, fmt.Errorf("%w: %w", errTruncated, err)
		}
		return m, nil
	}
	m, err := next()
	if err != nil {
		return nil, err
	}
	header := m.GetHeader()
	if v := header.GetVersion(); v == 0 || v > version {
		return nil, fmt.Errorf("%w: snapshot of version %d, this is version %d", ErrIncompatible, v, version)
	}
	t := newTxn(newState())
	t.version, t.clusterID = header.GetVersion(), header.GetClusterId()
	t.lastQueue, t.initialized = header.GetLastQueueId(), header.GetInitialized()
	for n := uint64(0); ; n++ {
		if m, err = next(); err != nil {
			return nil, err
		}
		if trailer := m.GetTrailer(); trailer != nil {
			if trailer.GetEntities() != n {
				return nil, fmt.Errorf("%w: %d entities, want %d", errTruncated, n, trailer.GetEntities())
			}
			return t.commit(header.GetIndex()), nil
		}
		if err := t.restore(m); err != nil {
			return nil, err
		}
		t.changes = t.changes[:0]
	}
}

// restore puts one entity of a snapshot in its place.
func (t *txn) restore(m *metav1.SnapshotRecord) error {
	switch k := m.GetKind().(type) {
	case *metav1.SnapshotRecord_Vhost:
		// Not putVHost: the pre-declared exchanges have records of their own.
		v := decodeVHost(k.Vhost)
		put(t, t.vhosts, key(v.Name), v)
	case *metav1.SnapshotRecord_User:
		u := decodeUser(k.User)
		put(t, t.users, key(u.Name), u)
	case *metav1.SnapshotRecord_Permission:
		p := decodePermission(k.Permission)
		put(t, t.permissions, key(p.VHost, p.User), p)
	case *metav1.SnapshotRecord_TopicPermission:
		p := decodeTopicPermission(k.TopicPermission)
		put(t, t.topicPermissions, key(p.VHost, p.User, p.Exchange), p)
	case *metav1.SnapshotRecord_Exchange:
		t.putExchange(decodeExchange(k.Exchange))
	case *metav1.SnapshotRecord_Queue:
		t.putQueue(decodeQueue(k.Queue))
	case *metav1.SnapshotRecord_Binding:
		t.putBinding(decodeBinding(k.Binding))
	case *metav1.SnapshotRecord_Policy:
		p := decodePolicy(k.Policy)
		put(t, t.policies, key(p.VHost, policyKind(p.Operator), p.Name), p)
	case *metav1.SnapshotRecord_Parameter:
		p := decodeParameter(k.Parameter)
		put(t, t.parameters, key(p.VHost, p.Component, p.Name), p)
	case *metav1.SnapshotRecord_Node:
		n := decodeNode(k.Node)
		put(t, t.nodes, key(n.Name), n)
	default:
		return fmt.Errorf("%w: unknown snapshot record", ErrIncompatible)
	}
	return nil
}
