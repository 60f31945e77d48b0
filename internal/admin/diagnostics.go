package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// maxFindings bounds the findings of an answer.
const maxFindings = 1000

// Thresholds of the checks.
const (
	manyReady     = 10_000 // messages that nobody consumes
	manyUnacked   = 10_000 // deliveries of one queue without an acknowledgement
	unboundedOver = 1_000  // ready messages from which on a queue without limits is worth a word
	churnPerHour  = 3_600  // connections
	fdShare       = 0.8    // of the limit
	diskFactor    = 2      // times the alarm's limit
	memoryShare   = 0.85   // of the limit
	skewLimit     = 2 * time.Second
	certNear      = 30 * 24 * time.Hour
)

// diagnosis collects findings of one node.
type diagnosis struct {
	api    *api
	node   string
	wanted map[string]bool // empty: all
	list   []*adminv1.Finding
}

// found adds a finding of a check.
func (d *diagnosis) found(check string, severity adminv1.Severity, f *adminv1.Finding) {
	f.Check, f.Severity, f.Node = check, severity, d.node
	d.list = append(d.list, f)
}

// checks are what Diagnose does, by name. Those that are global look at the whole cluster and are made by the node that is asked.
var checks = []struct {
	name   string
	global bool
	run    func(*diagnosis)
}{
	{"unbounded_queues", false, (*diagnosis).queueLimits},
	{"queues_without_consumers", false, (*diagnosis).idleQueues},
	{"unacknowledged_growth", false, (*diagnosis).unacknowledged},
	{"unlimited_prefetch", false, (*diagnosis).prefetch},
	{"missing_dead_letter_exchange", true, (*diagnosis).deadLetters},
	{"connection_churn", false, (*diagnosis).churn},
	{"alarms", false, (*diagnosis).alarms},
	{"memory", false, (*diagnosis).memory},
	{"disk", false, (*diagnosis).disk},
	{"file_descriptors", false, (*diagnosis).descriptors},
	{"certificates", false, (*diagnosis).certificates},
	{"nodes", true, (*diagnosis).reachable},
	{"default_user", true, (*diagnosis).defaultUser},
}

// skewCheck is made while the other nodes are asked.
const skewCheck = "clock_skew"

const (
	info     = adminv1.Severity_SEVERITY_INFO
	warning  = adminv1.Severity_SEVERITY_WARNING
	critical = adminv1.Severity_SEVERITY_CRITICAL
)

// Diagnose implements adminv1.DiagnosticServiceServer.
func (a *api) Diagnose(ctx context.Context, r *adminv1.DiagnoseRequest) (*adminv1.DiagnoseResponse, error) {
	d := &diagnosis{api: a, node: a.nodeName(a.Broker.NodeID()), wanted: make(map[string]bool)}
	names := []string{skewCheck}
	for _, c := range checks {
		names = append(names, c.name)
	}
	slices.Sort(names)
	for _, name := range r.GetChecks() {
		if !slices.Contains(names, name) {
			return nil, violation("checks", "got %q, want some of %s", name, strings.Join(names, ", "))
		}
		d.wanted[name] = true
	}
	want := func(name string) bool { return len(d.wanted) == 0 || d.wanted[name] }
	out := &adminv1.DiagnoseResponse{}
	for _, c := range checks {
		if want(c.name) && (!c.global || !r.GetLocalOnly()) {
			c.run(d)
		}
	}
	if !r.GetLocalOnly() {
		out.Checks = slices.DeleteFunc(names, func(name string) bool { return !want(name) })
		var answers []*adminv1.DiagnoseResponse
		answers, out.UnreachableNodes = gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.DiagnoseResponse, error) {
			return adminv1.NewDiagnosticServiceClient(conn).Diagnose(ctx, &adminv1.DiagnoseRequest{Checks: r.GetChecks(), LocalOnly: true})
		})
		for _, one := range answers {
			d.list = append(d.list, one.GetFindings()...)
		}
		if want(skewCheck) {
			d.clocks(ctx)
		}
	}
	d.list = slices.DeleteFunc(d.list, func(f *adminv1.Finding) bool { return f.GetSeverity() < r.GetMinSeverity() })
	slices.SortStableFunc(d.list, func(x, y *adminv1.Finding) int {
		return cmp.Or(cmp.Compare(y.Severity, x.Severity), strings.Compare(x.Check, y.Check), strings.Compare(x.Vhost, y.Vhost),
			strings.Compare(x.Object, y.Object), strings.Compare(x.Node, y.Node))
	})
	out.TotalSize = uint64(len(d.list))
	out.Findings = d.list[:min(len(d.list), maxFindings)]
	return out, nil
}

// limits says whether a queue has some bound, by its own arguments or by policies.
func limits(set *policy.Settings) bool {
	return set.MaxLength >= 0 || set.MaxLengthBytes >= 0 || set.MessageTTL >= 0 || set.Expires >= 0
}

// queueLimits finds queues that can grow for ever, and have begun to.
func (d *diagnosis) queueLimits() {
	sets := policySets{state: d.api.Broker.State()}
	for q, st := range d.api.Broker.LedQueues() {
		if st.Ready < unboundedOver {
			continue
		}
		set, _ := policy.QueueSettings(tableIn(q.Arguments), sets.of(q.VHost).ForQueue(q.Name, q.Type))
		if limits(&set) {
			continue
		}
		d.found("unbounded_queues", warning, &adminv1.Finding{
			Vhost: text(q.VHost), Object: text(q.Name),
			Finding:  fmt.Sprintf("queue '%s' has a backlog and no limit", text(q.Name)),
			Evidence: fmt.Sprintf("%d ready messages, no max-length, max-length-bytes, message-ttl or expires", st.Ready),
			Remedy:   "set a limit by a policy (brokerctl policies set), with a dead-letter exchange if nothing may be lost",
		})
	}
}

// idleQueues finds queues with messages that nobody takes.
func (d *diagnosis) idleQueues() {
	for q, st := range d.api.Broker.LedQueues() {
		if st.Ready == 0 || st.Consumers > 0 {
			continue
		}
		severity := info
		if st.Ready >= manyReady {
			severity = warning
		}
		d.found("queues_without_consumers", severity, &adminv1.Finding{
			Vhost: text(q.VHost), Object: text(q.Name), Finding: fmt.Sprintf("queue '%s' has messages and no consumer", text(q.Name)),
			Evidence: fmt.Sprintf("%d ready messages, 0 consumers", st.Ready),
			Remedy:   "start a consumer, or delete the queue and its bindings if nobody needs it",
		})
	}
}

// unacknowledged finds queues whose consumers do not acknowledge.
func (d *diagnosis) unacknowledged() {
	for q, st := range d.api.Broker.LedQueues() {
		if st.Unacked < manyUnacked {
			continue
		}
		d.found("unacknowledged_growth", warning, &adminv1.Finding{
			Vhost: text(q.VHost), Object: text(q.Name), Finding: fmt.Sprintf("consumers of queue '%s' hold many deliveries", text(q.Name)),
			Evidence: fmt.Sprintf("%d unacknowledged deliveries with %d consumers", st.Unacked, st.Consumers),
			Remedy:   "acknowledge messages when they are handled, and set a prefetch (basic.qos)",
		})
	}
}

// prefetch finds consumers that take whatever there is.
func (d *diagnosis) prefetch() {
	global := make(map[string]bool)
	for _, c := range d.api.AMQP.ChannelStatuses(allConnections) {
		if c.Global > 0 {
			global[keyOf(c.Title, number(uint32(c.Number)))] = true
		}
	}
	for _, c := range d.api.AMQP.ConsumerStatuses(allConnections) {
		if c.NoAck || c.Prefetch > 0 || global[keyOf(c.Title, number(uint32(c.Channel)))] {
			continue
		}
		d.found("unlimited_prefetch", info, &adminv1.Finding{
			Vhost: text(c.VHost), Object: text(c.Title),
			Finding:  fmt.Sprintf("a consumer of queue '%s' has no prefetch limit and acknowledges by hand", text(c.Queue)),
			Evidence: fmt.Sprintf("consumer %s on channel %d of user %s, %d unacknowledged", text(c.Tag), c.Channel, text(c.User), c.Unacked),
			Remedy:   "set a prefetch (basic.qos) of some hundred messages, so that a slow consumer leaves messages to others",
		})
	}
}

// deadLetters finds queues whose dead letters go nowhere.
func (d *diagnosis) deadLetters() {
	s := d.api.Broker.State()
	sets := policySets{state: s}
	for q := range s.Queues() {
		if len(q.Arguments) == 0 && sets.of(q.VHost) == nil {
			continue
		}
		set, _ := policy.QueueSettings(tableIn(q.Arguments), sets.of(q.VHost).ForQueue(q.Name, q.Type))
		x := set.DeadLetterExchange
		if x == nil || *x == "" || s.Exchange(q.VHost, *x) != nil {
			continue
		}
		d.found("missing_dead_letter_exchange", critical, &adminv1.Finding{
			Vhost: text(q.VHost), Object: text(q.Name),
			Finding:  fmt.Sprintf("the dead-letter exchange of queue '%s' does not exist, so its dead letters are lost", text(q.Name)),
			Evidence: fmt.Sprintf("dead-letter-exchange is '%s'", text(*x)),
			Remedy:   "declare the exchange and bind a queue to it, or correct the argument or policy",
		})
	}
}

// churn finds clients that connect again and again.
func (d *diagnosis) churn() {
	st := d.api.AMQP.Stats()
	hours := time.Since(d.api.started).Hours()
	if hours < 1.0/60 {
		return
	}
	if rate := float64(st.ConnectionsClosed) / hours; rate > churnPerHour {
		d.found("connection_churn", warning, &adminv1.Finding{
			Finding:  "clients open and close connections all the time",
			Evidence: fmt.Sprintf("%.0f connections closed per hour, %d in all", rate, st.ConnectionsClosed),
			Remedy:   "keep connections and channels open and share them; one connection per process is the rule",
		})
	}
}

func (d *diagnosis) alarms() {
	for _, alarm := range d.api.alarms() {
		if alarm.GetNode() == d.node {
			d.found("alarms", critical, &adminv1.Finding{Finding: "the node is short of " + alarm.GetResource(),
				Evidence: "an alarm is in force", Remedy: alarm.GetText()})
		}
	}
}

func (d *diagnosis) memory() {
	u := d.api.Host.Usage()
	if u.MemoryLimit > 0 && float64(u.Memory) > memoryShare*float64(u.MemoryLimit) {
		d.found("memory", warning, &adminv1.Finding{Finding: "memory is nearly used up",
			Evidence: fmt.Sprintf("%d of %d bytes", u.Memory, u.MemoryLimit), Remedy: "consume messages, or raise memory.limit"})
	}
}

func (d *diagnosis) disk() {
	u := d.api.Host.Usage()
	if u.DiskMin > 0 && u.DiskFree < diskFactor*u.DiskMin {
		d.found("disk", warning, &adminv1.Finding{Finding: "the disk is nearly full",
			Evidence: fmt.Sprintf("%d bytes free, publishers are blocked below %d", u.DiskFree, u.DiskMin), Remedy: "free disk space in the data directory's file system"})
	}
}

func (d *diagnosis) descriptors() {
	u := d.api.Host.Usage()
	if u.MaxFDs <= 0 {
		return
	}
	if float64(u.FDs) > fdShare*float64(u.MaxFDs) {
		d.found("file_descriptors", critical, &adminv1.Finding{Finding: "file descriptors are nearly used up",
			Evidence: fmt.Sprintf("%d of %d", u.FDs, u.MaxFDs), Remedy: "raise the limit (LimitNOFILE of the service, ulimit -n)"})
	} else if int64(u.MaxClientConnections) > u.MaxFDs {
		d.found("file_descriptors", info, &adminv1.Finding{Finding: "the limit of file descriptors allows fewer connections than amqp.max_connections",
			Evidence: fmt.Sprintf("%d file descriptors, amqp.max_connections is %d", u.MaxFDs, u.MaxClientConnections),
			Remedy:   "raise the limit (LimitNOFILE of the service, ulimit -n), or lower amqp.max_connections"})
	}
}

func (d *diagnosis) certificates() {
	for _, c := range d.api.Host.Certificates() {
		left := time.Until(c.Expires)
		if left > certNear {
			continue
		}
		severity, what := warning, "expires soon"
		if left <= 0 {
			severity, what = critical, "has expired"
		}
		d.found("certificates", severity, &adminv1.Finding{Object: c.Listener,
			Finding:  fmt.Sprintf("the certificate of %s %s", c.Listener, what),
			Evidence: fmt.Sprintf("'%s' is good until %s", text(c.Subject), c.Expires.UTC().Format(time.RFC3339)),
			Remedy:   "replace the files; they are read again without a restart"})
	}
}

func (d *diagnosis) reachable() {
	if d.api.Broker.Meta().Leader() == "" {
		d.found("nodes", critical, &adminv1.Finding{Finding: "the metadata group has no leader, so nothing can be declared",
			Evidence: "no leader is known", Remedy: "start the nodes that are down, or restore their network"})
	}
	for _, n := range d.api.nodes() {
		if n.GetState() == adminv1.NodeState_NODE_STATE_UNREACHABLE || n.GetState() == adminv1.NodeState_NODE_STATE_STOPPED {
			d.found("nodes", critical, &adminv1.Finding{Object: n.GetName(), Finding: fmt.Sprintf("node '%s' cannot be reached", n.GetName()),
				Evidence: fmt.Sprintf("it leads %d queues, which are not available", n.GetQueues()),
				Remedy:   "start it, or remove it if it is lost for good (brokerctl cluster remove)"})
		}
	}
}

// defaultUser finds the password that everybody knows, where it can be used from elsewhere.
func (d *diagnosis) defaultUser() {
	u := d.api.Broker.State().User("guest")
	if u == nil || !meta.VerifyPassword(u, "guest") {
		return
	}
	if _, err := d.api.Broker.Authenticate("guest", "guest", false); err == nil {
		d.found("default_user", critical, &adminv1.Finding{Object: "guest", Finding: "user 'guest' has its default password and may log in from everywhere",
			Evidence: "guest is not among loopback_users", Remedy: "change the password, delete the user, or put it back into loopback_users"})
	}
}

// clocks compares the clocks of the nodes with this one, by half of the time that the question took.
func (d *diagnosis) clocks(ctx context.Context) {
	type reading struct {
		node string
		skew time.Duration
		took time.Duration
	}
	readings, _ := gather(ctx, d.api, func(ctx context.Context, conn grpc.ClientConnInterface) (reading, error) {
		sent := time.Now()
		st, err := adminv1.NewNodeServiceClient(conn).GetNodeStatus(ctx, &adminv1.GetNodeStatusRequest{})
		took := time.Since(sent)
		return reading{st.GetNode().GetName(), st.GetTime().AsTime().Sub(sent.Add(took / 2)), took}, err
	})
	for _, r := range readings {
		if r.skew.Abs() > skewLimit+r.took/2 {
			d.found(skewCheck, warning, &adminv1.Finding{Object: r.node, Finding: fmt.Sprintf("the clock of node '%s' is not that of node '%s'", r.node, d.node),
				Evidence: fmt.Sprintf("%v apart", r.skew.Round(time.Millisecond)), Remedy: "keep the clocks of all nodes in time (NTP): expiry and times in logs depend on them"})
		}
	}
}

// CheckHealth implements adminv1.DiagnosticServiceServer.
func (a *api) CheckHealth(ctx context.Context, r *adminv1.CheckHealthRequest) (*adminv1.CheckHealthResponse, error) {
	node := a.nodeName(a.Broker.NodeID())
	out := &adminv1.CheckHealthResponse{}
	add := func(name, reason string) {
		out.Checks = append(out.Checks, &adminv1.HealthCheck{Name: name, Ok: reason == "", Reason: reason, Node: node})
	}
	reason := ""
	if a.Broker.Meta().Leader() == "" {
		reason = "the metadata group has no leader"
	}
	add("metadata_leader", reason)
	reason = ""
	for _, alarm := range a.alarms() {
		if alarm.GetNode() == node {
			reason = strings.TrimSpace(reason + " low on " + alarm.GetResource())
		}
	}
	add("alarms", reason)
	reason = ""
	if !slices.ContainsFunc(a.Host.Listeners(), func(l Listener) bool { return strings.HasPrefix(l.Protocol, "amqp") }) {
		reason = "no listener for AMQP"
	}
	add("listeners", reason)
	if !r.GetLocalOnly() {
		var answers []*adminv1.CheckHealthResponse
		answers, out.UnreachableNodes = gather(ctx, a, func(ctx context.Context, conn grpc.ClientConnInterface) (*adminv1.CheckHealthResponse, error) {
			return adminv1.NewDiagnosticServiceClient(conn).CheckHealth(ctx, &adminv1.CheckHealthRequest{LocalOnly: true})
		})
		for _, one := range answers {
			out.Checks = append(out.Checks, one.GetChecks()...)
		}
	}
	out.Ok = len(out.UnreachableNodes) == 0 && !slices.ContainsFunc(out.Checks, func(c *adminv1.HealthCheck) bool { return !c.GetOk() })
	return out, nil
}
