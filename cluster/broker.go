package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/amqp/block"
	"github.com/brokerd/brokerd/amqp/queue"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/network"
	"github.com/brokerd/brokerd/cluster/peer"
	"github.com/brokerd/brokerd/cluster/routing"
	peerv1 "github.com/brokerd/brokerd/proto/peer/v1"
)

// Log is the durable side of this node's queues, with what it knew when it was opened; *store.Store is one.
type Log interface {
	block.Log
	// Recovered returns what was known of each queue when the log was opened, by queue id.
	Recovered() map[uint64]*block.Recovered
	// DropUnknown deletes in the background everything of those recovered queues of which known says false. It is called once,
	// before the queues are used.
	DropUnknown(known func(queue uint64) bool)
}

// Options make a Broker.
type Options struct {
	// NodeID names this node for ever; Meta.NodeID is set to it.
	NodeID string
	// ClusterName is announced to clients; "brokerd@" and the node id if empty.
	ClusterName string
	// Meta configures the metadata group. OnApply belongs to the Broker.
	Meta meta.Options
	// Store keeps the messages of the queues that this node leads. The Broker does not close it. It must not be nil.
	Store Log
	// Memory is the node's budget for messages in memory; a default one if nil.
	Memory *queue.Memory
	// LoopbackUsers may only log in from this machine.
	LoopbackUsers []string
	// CommitTimeout bounds how long a client waits for a change of the metadata; 10 s if 0.
	CommitTimeout time.Duration
	// CloseConnections closes the client connections of this node that match, with 320 and the given explanation, because their
	// vhost or user was deleted, or the cluster took the node for dead and has deleted their exclusive queues. id is what the
	// connection was opened with. It is called while that takes effect: it must not wait, nor call the Broker. Connections that are
	// still being opened are seen by Access.Revoked. May be nil.
	CloseConnections func(match func(id uint64, vhost, user string) bool, reason string)
	// Refuse has the server refuse new connections of clients while the node is being drained, or take them again. It must not wait. May
	// be nil.
	Refuse func(refuse bool)
	// Network connects this node with others; nil for a node that stays alone. The Broker registers its services, serves it and
	// closes it.
	Network *network.Network
	// Formation says how a node without metadata finds its cluster.
	Formation Formation
	// Node is what the other nodes are told of this one: DisplayName, AMQP, Admin, HTTP, Release. See Broker.Describe.
	Node meta.Node
	// NodeTimeout is after how long a node that cannot be reached counts as down; 5 s if 0.
	NodeTimeout time.Duration
	// Balanced spreads the leaders of new queues over the nodes, unless they say otherwise.
	Balanced bool
	// Opened is called with the Broker before it is open, for those who need ClusterID meanwhile. May be nil.
	Opened func(*Broker)
	// Alarmed is told what the nodes of the cluster are short of whenever that may have changed: sorted, empty for nothing. It must
	// not wait. May be nil.
	Alarmed func(names []string)
	// DeliverReply hands a message from another node to the consumer of direct replies with that name here. record is as
	// block.Parse reads it. It must not wait. May be nil.
	DeliverReply func(vhost string, name, record, tail []byte)
	// Logger is slog.Default() if nil.
	Logger *slog.Logger
}

// Broker is this node's part of the cluster. All methods are safe for concurrent use.
type Broker struct {
	opts        Options
	log         *slog.Logger
	meta        *meta.Group
	owner       atomic.Pointer[meta.Owner] // this run of this node
	network     *network.Network           // nil: there are no other nodes
	links       *peer.Links                // nil without network
	service     *peer.Service              // nil without network
	clusterID   atomic.Pointer[string]
	membership  *membership
	arrivals    arrivals
	moves       *moves
	drains      drains
	nodes       *nodes
	credentials *credentials
	usage       usage
	events      events
	// topicPermissions is the number of topic permissions in the state. It is changed before the state is current, so that a
	// permission that was set is not overlooked.
	topicPermissions atomic.Int64
	admin            nameLocks
	figures          figures
	// followers are told of dead letters; nil: nobody. The list does not change.
	followers atomic.Pointer[[]*func(*DeadLetter)]

	// mu is held while a new state takes effect, and read-locked by whoever needs the state and the engines to fit.
	mu      sync.RWMutex
	running bool // states take effect on engines and routes
	engines engines
	// policies changes with the state, under mu.
	policies policies
	routes   routes
	guards   guards

	current atomic.Pointer[meta.State] // the state that engines and routing show
	routing routing.Table
	// routed is closed once routing shows the state that the node started with.
	routed chan struct{}
	// stopping is set before the first engine stops.
	stopping atomic.Bool

	// ctx ends when the Broker closes; it bounds everything that runs in the background.
	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	// leaving is closed when the Broker begins to close, for tasks that Close need not wait for.
	leaving chan struct{}
	// staying ends with it.
	staying context.Context
	leave   context.CancelFunc
	// taskMu guards closing, so that no task starts once Close waits for them.
	taskMu  sync.Mutex
	closing bool
}

// Open starts this node: the metadata, a new run of the node (what its earlier runs owned is dropped), and an engine for
// each queue that it leads, with the messages that the log has. ctx bounds the start only.
func Open(ctx context.Context, o Options) (*Broker, error) {
	if o.NodeID == "" || o.Store == nil {
		return nil, errors.New("cluster: a broker needs a node id and a store")
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.ClusterName == "" {
		o.ClusterName = "brokerd@" + o.NodeID
	}
	if o.CommitTimeout == 0 {
		o.CommitTimeout = 10 * time.Second
	}
	if o.NodeTimeout == 0 {
		o.NodeTimeout = 5 * time.Second
	}
	if o.Memory == nil {
		o.Memory = queue.NewMemory(0, 0)
	}
	b := &Broker{opts: o, log: o.Logger, credentials: newCredentials(), usage: newUsage(), routed: make(chan struct{})}
	b.events.broker = b
	b.engines = engines{broker: b, byID: make(map[uint64]*engine), former: make(map[uint64]*engine),
		gates: make(map[uint64]*gate)}
	b.arrivals = arrivals{broker: b, byQueue: make(map[uint64]*arrival)}
	b.moves = &moves{broker: b}
	b.routes.broker = b
	b.nodes = newNodes(b)
	b.membership = &membership{broker: b, opened: make(chan struct{})}
	b.guards = guards{broker: b, byName: make(map[exchangeName]*guard)}
	b.leaving = make(chan struct{})
	b.staying, b.leave = context.WithCancel(context.Background())
	b.ctx, b.cancel = context.WithCancel(context.Background())

	o.Meta.NodeID = o.NodeID
	o.Meta.OnApply = b.apply
	if o.Meta.Logger == nil {
		o.Meta.Logger = o.Logger
	}
	o.Meta.OnApplied = b.nodes.announce
	b.opts.Meta = o.Meta
	if o.Opened != nil {
		o.Opened(b)
	}
	if b.network = o.Network; b.network != nil {
		b.openLinks()
	}
	if err := b.open(ctx); err != nil {
		b.cancel()
		b.leave()
		ctx := context.WithoutCancel(ctx)
		if b.meta != nil {
			err = errors.Join(err, b.meta.Shutdown(ctx))
		}
		return nil, errors.Join(err, b.closeNetwork(ctx))
	}
	return b, nil
}

// openLinks registers what this node serves to the others.
func (b *Broker) openLinks() {
	b.links = peer.NewLinks(peer.Options{
		Node:     b.opts.NodeID,
		Conn:     func(node string) (grpc.ClientConnInterface, error) { return b.network.Conn(node) },
		OnLink:   b.nodes.linked,
		OnNotice: b.nodes.noticed,
		Logger:   b.log,
	})
	b.service = peer.NewService(peer.ServiceOptions{
		Queue:    b.led,
		Await:    b.awaitLed,
		OnNotice: b.nodes.noticed,
		Caller: func(ctx context.Context) (string, bool) {
			id, ok := network.Caller(ctx)
			return id.Node, ok
		},
		Logger: b.log,
	})
	peerv1.RegisterQueuesServer(b.network.Server(), b.service)
	peerv1.RegisterMembershipServiceServer(b.network.Server(), b.membership)
	peerv1.RegisterMoveServiceServer(b.network.Server(), b.moves)
}

// open brings up the metadata, and then everything that the metadata says this node has.
func (b *Broker) open(ctx context.Context) error {
	if err := b.openMeta(ctx); err != nil {
		return err
	}
	if err := b.register(ctx); err != nil {
		return err
	}
	run, err := b.meta.Propose(ctx, meta.StartNode{Node: b.opts.NodeID})
	if err != nil {
		return fmt.Errorf("cluster: starting node %s: %w", b.opts.NodeID, err)
	}
	b.owner.Store(&meta.Owner{Node: b.opts.NodeID, Incarnation: run.Incarnation})
	if err := b.endDraining(ctx); err != nil {
		return fmt.Errorf("cluster: taking node %s back into service: %w", b.opts.NodeID, err)
	}
	b.start()
	if b.network != nil {
		b.nodes.follow(b.State())
		b.tasks.Go(b.nodes.watch)
		b.tasks.Go(b.reportUsage)
	}
	b.ensureEventExchange(ctx)
	return nil
}

// run returns the current run of this node, which what it makes belongs to.
func (b *Broker) run() meta.Owner { return *b.owner.Load() }

// start brings up everything that the metadata says this node has.
func (b *Broker) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.current.Load()
	// The metadata is the authority: what the log holds of other queues was deleted while this node was down, or its deletion
	// was cut off.
	guarded := guardIDs(s)
	recovered := b.opts.Store.Recovered()
	logs := b.arrivals.identify(recovered)
	b.opts.Store.DropUnknown(func(id uint64) bool {
		if guarded[id] {
			return true
		}
		q := s.QueueByID(logs.queueOf(id))
		return q != nil && q.Leader == b.opts.NodeID && logs.of(q.ID) == id
	})
	b.guards.recovered = recovered
	b.compileAllPolicies(s)
	led := 0
	for q := range s.AllQueues() {
		if q.Leader == b.opts.NodeID {
			log := logs.of(q.ID)
			b.engines.start(q, source{log: log, recovered: recovered[log]})
			led++
		}
	}
	b.rebuild(s)
	close(b.routed)
	b.guards.recovered = nil
	b.running = true
	b.log.Info("node started", "node", b.opts.NodeID, "run", b.run().Incarnation, "queues", led,
		"exchanges", s.NumExchanges(), "bindings", s.NumBindings())
}

// Close ends this node's part: no change is proposed any more, what this run owns is given up, and the engines hand what is
// left to do to the log, which the caller closes afterwards. The server must have closed its connections before. ctx bounds how
// long the metadata may take.
func (b *Broker) Close(ctx context.Context) error {
	b.taskMu.Lock()
	again := b.closing
	b.closing = true
	b.taskMu.Unlock()
	if again {
		return nil
	}
	close(b.leaving)
	b.leave()
	b.finishTasks(ctx)
	// Other nodes need not wait for the next start of this one to see its queues go. If it fails, that start does it.
	// That must not use up the time for what follows: nodes that are stopped together end up without a majority.
	ending, cancel := context.WithTimeout(ctx, endTimeout)
	_, err := b.meta.Propose(ending, meta.EndOwner{Owner: b.run()})
	cancel()
	if err != nil {
		b.log.Warn("what this node owned stays until its next start", "node", b.opts.NodeID, "error", err)
	}
	b.mu.Lock()
	b.running = false
	b.mu.Unlock()
	b.stopping.Store(true)
	if b.service != nil {
		b.service.Close() // what other nodes have and did not settle goes back to the engines
	}
	b.engines.stop()
	return errors.Join(b.meta.Shutdown(ctx), b.closeNetwork(ctx))
}

// endTimeout bounds the last change of a node that stops.
const endTimeout = 2 * time.Second

// closeNetwork ends the links to other nodes and the listener for them.
func (b *Broker) closeNetwork(ctx context.Context) error {
	if b.network == nil {
		return nil
	}
	b.links.Close()
	b.service.Close()
	return b.network.Close(ctx)
}

// finishTasks waits for the tasks under way, such as the deletion of queues that lost their consumers when the server closed
// its connections. Those that cannot get it done in time are cut off.
func (b *Broker) finishTasks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.CommitTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, b.cancel)
	b.tasks.Wait()
	stop()
	b.cancel()
}

// ClusterName is announced in the server properties.
func (b *Broker) ClusterName() string { return b.opts.ClusterName }

// Meta returns the metadata group, for the admin API and for tests.
func (b *Broker) Meta() *meta.Group { return b.meta }

// State returns the latest state that took effect on this node, for the lists of the admin API. It never waits.
func (b *Broker) State() *meta.State { return b.current.Load() }

// ClusterID returns the id of the cluster that this node belongs to, "" while it is in none. It never waits.
func (b *Broker) ClusterID() string {
	if id := b.clusterID.Load(); id != nil {
		return *id
	}
	return ""
}

// propose commits a change that nobody asked for.
func (b *Broker) propose(c meta.Command) (meta.Result, error) { return b.proposeAs(b.ctx, "", c) }

// proposeAs commits a change for the user actor, whose name goes into the events; empty stands for the broker itself.
func (b *Broker) proposeAs(ctx context.Context, actor string, c meta.Command) (meta.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, b.opts.CommitTimeout)
	defer cancel()
	if !b.events.listening.Load() {
		actor = "" // nobody asks
	}
	r, err := b.meta.ProposeAs(ctx, actor, c)
	if err == nil {
		// Whoever is told that it is done may use it on another node at once.
		b.nodes.agree(ctx, r.Index)
	}
	return r, err
}

// spawn runs task in a goroutine that Close waits for. It returns false when the Broker is closing.
func (b *Broker) spawn(task func()) bool {
	b.taskMu.Lock()
	defer b.taskMu.Unlock()
	if b.closing {
		return false
	}
	b.tasks.Go(task)
	return true
}

// Pauses between attempts to commit what must be committed.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// pause waits before the next attempt and returns the pause after that; ok is false when the Broker is closing.
func (b *Broker) pause(d time.Duration) (next time.Duration, ok bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return min(2*d, lastPause), true
	case <-b.ctx.Done():
		return 0, false
	}
}

// proposeUntilDone commits c. If the first attempt fails, the others go on in the background until one succeeds or the Broker
// closes; c must be harmless when repeated. what is for the log.
func (b *Broker) proposeUntilDone(what string, c meta.Command) {
	_, err := b.propose(c)
	if err == nil || b.ctx.Err() != nil {
		return
	}
	b.log.Warn("change of metadata failed, trying on", "change", what, "error", err)
	b.spawn(func() {
		for wait, ok := b.pause(firstPause); ok; wait, ok = b.pause(wait) {
			if _, err := b.propose(c); err == nil {
				return
			}
		}
	})
}

// unused deletes an auto-delete queue that lost its last consumer. It is called by the queue's runner and does not wait.
func (b *Broker) unused(e *engine) {
	if e.leave() && !b.spawn(func() { b.deleteUnused(e) }) {
		e.gone() // closing: the node's next start drops the queue, or its next consumer does
	}
}

// deleteUnused deletes the queue of e unless a consumer comes in between.
func (b *Broker) deleteUnused(e *engine) {
	for wait := firstPause; ; {
		_, err := b.deleteQueue("", e.def, e.queue, true, false)
		switch {
		case err == nil:
			e.gone()
			return
		case errors.Is(err, queue.ErrInUse):
			if e.stay() {
				return
			}
			continue
		}
		var ok bool
		if wait, ok = b.pause(wait); !ok {
			e.gone()
			return
		}
		b.log.Warn("auto-delete queue could not be deleted, trying on", "vhost", e.def.VHost, "queue", e.def.Name, "error", err)
	}
}

// find returns the queue r and what stands for it on this node; nil if there is none. A queue that is being deleted because
// its last consumer left is gone already for whoever asks afterwards, so find waits until that is settled.
func (b *Broker) find(r resource) (*meta.Queue, queue.Handle) {
	q, h, departure := b.look(r)
	if departure == nil {
		return q, h
	}
	deadline := time.NewTimer(b.opts.CommitTimeout)
	defer deadline.Stop()
	for departure != nil {
		select {
		case <-departure:
			q, h, departure = b.look(r)
		case <-deadline.C:
			return q, h
		}
	}
	return q, h
}

// look is find without waiting; departure ends when it is settled whether the queue stays, nil if it does.
func (b *Broker) look(r resource) (q *meta.Queue, h queue.Handle, departure <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	q = b.current.Load().Queue(r.vhost, r.name)
	if q == nil {
		return nil, nil, nil
	}
	if e := b.engines.get(q.ID); e != nil {
		return q, b.engines.handle(q), e.goodbye()
	}
	return q, b.engines.handle(q), nil
}
