package definitions

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// Kind is a kind of definition, by the name that its section has in a file.
type Kind string

// The kinds in the order in which they depend on each other.
const (
	VHosts           Kind = "vhosts"
	Users            Kind = "users"
	Permissions      Kind = "permissions"
	TopicPermissions Kind = "topic_permissions"
	Parameters       Kind = "parameters"
	GlobalParameters Kind = "global_parameters"
	Policies         Kind = "policies"
	Exchanges        Kind = "exchanges"
	Queues           Kind = "queues"
	Bindings         Kind = "bindings"
)

// item is one definition: *vhost, *user and so on. Items do not change once their Definitions are made.
type item interface {
	kind() Kind
	where() place
	// path is the item's field in its file, such as queues[3].
	path() string
	// in is the vhost, empty for what is in none.
	in() string
	// id identifies the item among those of its kind.
	id() string
	// label names the item to people, without the vhost.
	label() string
	// fields are what may differ between two items with the same id.
	fields() []Field
	appendJSON(b []byte, withVHost bool) []byte
}

// Field is the name of a property and its value in JSON; secrets are not shown.
type Field struct {
	Name, Value string
}

// origin is where an item comes from; the zero origin is the state.
type origin struct {
	place
	index int
}

func (o origin) where() place { return o.place }

func pathOf(section Kind, index int) string { return string(section) + "[" + strconv.Itoa(index) + "]" }

// join makes one key of several names, which may hold any character.
func join(parts ...string) string {
	for i, p := range parts {
		if strings.Contains(p, "\x00") {
			parts[i] = strings.ReplaceAll(p, "\x00", "\x00\xff")
		}
	}
	return strings.Join(parts, "\x00")
}

func quoted(s string) string { return string(appendString(nil, s)) }

type vhost struct {
	origin
	meta.VHost
	// given says which of the properties stand in the file: what does not is left as it is.
	given map[string]bool
}

func (v *vhost) kind() Kind    { return VHosts }
func (v *vhost) path() string  { return pathOf(VHosts, v.index) }
func (v *vhost) in() string    { return "" }
func (v *vhost) id() string    { return v.Name }
func (v *vhost) label() string { return v.Name }
func (v *vhost) fields() []Field {
	return []Field{
		{"description", quoted(v.Description)},
		{"tags", string(appendStrings(nil, v.Tags))},
		{"default_queue_type", quoted(v.DefaultQueueType)},
		{"tracing", strconv.FormatBool(v.Tracing)},
		{"protected_from_deletion", strconv.FormatBool(v.Protected)},
	}
}

// appendJSON has the properties where RabbitMQ 4 has them; without any the vhost is just its name, as in RabbitMQ 3.10.
func (v *vhost) appendJSON(b []byte, _ bool) []byte {
	w := startObject(b)
	w.text("name", v.Name)
	if v.Description == "" && len(v.Tags) == 0 && v.DefaultQueueType == "" && !v.Tracing && !v.Protected {
		return w.end()
	}
	m := startObject(nil)
	for _, to := range []*objectWriter{w, m} {
		to.text("description", v.Description)
		to.strings("tags", v.Tags)
		if v.DefaultQueueType != "" {
			to.text("default_queue_type", v.DefaultQueueType)
		}
	}
	if v.Tracing {
		m.flag("tracing", true)
	}
	if v.Protected {
		m.flag("protected_from_deletion", true)
	}
	w.raw("metadata", m.end())
	return w.end()
}

type user struct {
	origin
	meta.User
	password    string         // in plain text, as hand-written files have it; empty for none
	limits      cluster.Limits // nil: not in the file, so they are left as they are
	limitsGiven bool
}

func (u *user) kind() Kind    { return Users }
func (u *user) path() string  { return pathOf(Users, u.index) }
func (u *user) in() string    { return "" }
func (u *user) id() string    { return u.Name }
func (u *user) label() string { return u.Name }

// fields have the hash in full, for it is compared; Diff hides it.
func (u *user) fields() []Field {
	tags := slices.Clone(u.Tags)
	slices.Sort(tags)
	return []Field{
		{secretField, u.HashAlgorithm + " " + base64.StdEncoding.EncodeToString(u.PasswordHash)},
		{"tags", string(appendStrings(nil, tags))},
		{limitsField, string(appendLimits(nil, u.limits))},
	}
}

// Fields that Diff treats in its own way.
const (
	secretField = "password_hash"
	limitsField = "limits"
)

func (u *user) appendJSON(b []byte, _ bool) []byte {
	w := startObject(b)
	w.text("name", u.Name)
	w.text("password_hash", base64.StdEncoding.EncodeToString(u.PasswordHash))
	algorithm := u.HashAlgorithm
	if algorithm == "" {
		algorithm = meta.HashSHA256
	}
	w.text("hashing_algorithm", algorithm)
	w.strings("tags", u.Tags)
	w.raw("limits", appendLimits(nil, u.limits))
	return w.end()
}

func (u *user) secret() cluster.Secret {
	return cluster.Secret{Password: u.password, Hash: u.PasswordHash, Algorithm: u.HashAlgorithm}
}

// appendLimits appends limits as a JSON object, sorted by name; negative ones are none.
func appendLimits(b []byte, l cluster.Limits) []byte {
	set := make(map[cluster.Limit]int64, len(l))
	for k, n := range l {
		if n >= 0 {
			set[k] = n
		}
	}
	raw, err := json.Marshal(set)
	if err != nil {
		panic(err) // a map of strings to integers always has a JSON form
	}
	return append(b, raw...)
}

type permission struct {
	origin
	meta.Permission
}

func (p *permission) kind() Kind    { return Permissions }
func (p *permission) path() string  { return pathOf(Permissions, p.index) }
func (p *permission) in() string    { return p.VHost }
func (p *permission) id() string    { return join(p.VHost, p.User) }
func (p *permission) label() string { return p.User }
func (p *permission) fields() []Field {
	return []Field{{"configure", quoted(p.Configure)}, {"write", quoted(p.Write)}, {"read", quoted(p.Read)}}
}

func (p *permission) appendJSON(b []byte, _ bool) []byte {
	w := startObject(b)
	w.text("user", p.User)
	w.text("vhost", p.VHost)
	w.text("configure", p.Configure)
	w.text("write", p.Write)
	w.text("read", p.Read)
	return w.end()
}

type topicPermission struct {
	origin
	meta.TopicPermission
}

func (p *topicPermission) kind() Kind    { return TopicPermissions }
func (p *topicPermission) path() string  { return pathOf(TopicPermissions, p.index) }
func (p *topicPermission) in() string    { return p.VHost }
func (p *topicPermission) id() string    { return join(p.VHost, p.User, p.Exchange) }
func (p *topicPermission) label() string { return p.User + " on " + p.Exchange }
func (p *topicPermission) fields() []Field {
	return []Field{{"write", quoted(p.Write)}, {"read", quoted(p.Read)}}
}

func (p *topicPermission) appendJSON(b []byte, _ bool) []byte {
	w := startObject(b)
	w.text("user", p.User)
	w.text("vhost", p.VHost)
	w.text("exchange", p.Exchange)
	w.text("write", p.Write)
	w.text("read", p.Read)
	return w.end()
}

// parameter is a runtime parameter of a vhost, or a global one. Operator policies are policies here, although files have them
// among the parameters.
type parameter struct {
	origin
	meta.Parameter
	section Kind // where it stands in the file, if not among the parameters: the limits of RabbitMQ 4 stand in the vhost
}

func (p *parameter) kind() Kind {
	if p.global() {
		return GlobalParameters
	}
	return Parameters
}

// global says that p is in no vhost. One of a file of one vhost need not name that, and is in none until it is put In one.
func (p *parameter) global() bool { return p.VHost == "" && p.section != Parameters }

func (p *parameter) path() string {
	if p.section == VHosts {
		return pathOf(VHosts, p.index) + ".limits"
	}
	if p.section != "" {
		return pathOf(p.section, p.index)
	}
	return pathOf(p.kind(), p.index)
}

func (p *parameter) in() string { return p.VHost }
func (p *parameter) id() string { return join(p.VHost, p.Component, p.Name) }
func (p *parameter) label() string {
	if p.global() {
		return p.Name
	}
	return p.Component + " " + p.Name
}

func (p *parameter) fields() []Field {
	if p.isLimits() {
		if l, err := cluster.ParseLimits(p.Value); err == nil {
			return []Field{{"value", string(appendLimits(nil, l))}}
		}
	}
	return []Field{{"value", canonical(p.Value)}}
}

func (p *parameter) isLimits() bool { return p.Component == cluster.VHostLimitsComponent }

func (p *parameter) appendJSON(b []byte, _ bool) []byte {
	w := startObject(b)
	if p.global() {
		w.text("name", p.Name)
		w.raw("value", compact(p.Value))
		return w.end()
	}
	w.raw("value", compact(p.Value))
	appendVHost(w, p.VHost)
	w.text("component", p.Component)
	w.text("name", p.Name)
	return w.end()
}

// appendVHost writes the vhost of a parameter, which RabbitMQ 3 does even in the definitions of one vhost.
func appendVHost(w *objectWriter, vhost string) {
	if vhost != "" {
		w.text("vhost", vhost)
	}
}

// operatorPolicy is the component of the parameters that are operator policies.
const operatorPolicy = "operator_policy"

type policy struct {
	origin
	meta.Policy
}

func (p *policy) kind() Kind { return Policies }
func (p *policy) path() string {
	if p.Operator {
		return pathOf(Parameters, p.index)
	}
	return pathOf(Policies, p.index)
}
func (p *policy) in() string { return p.VHost }
func (p *policy) id() string { return join(p.VHost, strconv.FormatBool(p.Operator), p.Name) }
func (p *policy) label() string {
	if p.Operator {
		return p.Name + " (operator)"
	}
	return p.Name
}

func (p *policy) applyTo() string {
	if p.ApplyTo == "" {
		return "all"
	}
	return p.ApplyTo
}

func (p *policy) fields() []Field {
	return []Field{
		{"pattern", quoted(p.Pattern)},
		{"apply-to", quoted(p.applyTo())},
		{"definition", canonical(p.Definition)},
		{"priority", strconv.Itoa(int(p.Priority))},
	}
}

func (p *policy) appendJSON(b []byte, withVHost bool) []byte {
	w := startObject(b)
	if p.Operator {
		v := startObject(nil)
		v.text("pattern", p.Pattern)
		v.raw("definition", compact(p.Definition))
		v.integer("priority", int64(p.Priority))
		v.text("apply-to", p.applyTo())
		w.raw("value", v.end())
		appendVHost(w, p.VHost)
		w.text("component", operatorPolicy)
		w.text("name", p.Name)
		return w.end()
	}
	if withVHost {
		w.text("vhost", p.VHost)
	}
	w.text("name", p.Name)
	w.text("pattern", p.Pattern)
	w.text("apply-to", p.applyTo())
	w.raw("definition", compact(p.Definition))
	w.integer("priority", int64(p.Priority))
	return w.end()
}

// same says whether two items of the same id have the same fields.
func same(a, b item) bool {
	if x, ok := a.(*user); ok && x.password != b.(*user).password {
		return false
	}
	return slices.Equal(a.fields(), b.fields())
}

// reserved says whether a name of a queue or exchange is for the broker to give.
func reserved(name string) bool { return strings.HasPrefix(name, "amq.") }
