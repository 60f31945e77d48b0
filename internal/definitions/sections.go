package definitions

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
)

// sections are the parsers of the items of each section (SEMANTICS 19.2).
var sections = map[Kind]func(*parser, *fields){
	VHosts:           (*parser).vhost,
	Users:            (*parser).user,
	Permissions:      (*parser).permission,
	TopicPermissions: (*parser).topicPermission,
	Parameters:       (*parser).parameter,
	GlobalParameters: (*parser).globalParameter,
	Policies:         (*parser).policy,
	Exchanges:        (*parser).exchange,
	Queues:           (*parser).queue,
	Bindings:         (*parser).binding,
}

// vhost reads a vhost. RabbitMQ 4 has its properties twice, in metadata and beside it; those in metadata count.
func (p *parser) vhost(f *fields) {
	v := &vhost{origin: f.origin(), given: make(map[string]bool)}
	v.Name = f.text("name")
	outer := *f
	f.known = append(f.known, "description", "tags", "default_queue_type", "tracing", "protected_from_deletion")
	vhostProperties(v, &outer)
	if m := f.take("metadata"); m != nil && m.kind == object {
		inner := &fields{p: p, v: m, section: f.section, index: f.index, prefix: ".metadata"}
		vhostProperties(v, inner)
		f.bad = f.bad || inner.bad
		for i := range m.members {
			switch name := m.members[i].name; name {
			case "description", "tags", "default_queue_type", "tracing", "protected_from_deletion":
			default:
				p.warn(m.members[i].at, f.path()+".metadata."+name, "metadata that has no meaning here, ignored")
			}
		}
	} else if m != nil && m.kind != null {
		f.reject(m, "metadata", "want an object")
	}
	limits, given := p.limits(f)
	if f.bad || outer.bad {
		return
	}
	p.checked(f, v, cluster.CheckVHost(&v.VHost))
	if !given || len(limits) == 0 {
		return
	}
	l := &parameter{origin: v.origin, section: VHosts, Parameter: meta.Parameter{VHost: v.Name, Component: cluster.VHostLimitsComponent,
		Name: cluster.VHostLimitsName, Value: appendLimits(nil, limits)}}
	p.checked(f, l, cluster.CheckParameter(&l.Parameter))
}

// vhostProperties takes the properties that stand in f.
func vhostProperties(v *vhost, f *fields) {
	given := func(name string) *value {
		m := f.v.get(name)
		if m == nil || m.kind == null {
			return nil
		}
		v.given[name] = true
		return m
	}
	if m := given("description"); m != nil {
		v.Description = f.string(m, "description")
	}
	if m := given("tags"); m != nil {
		v.Tags = f.tags(m, "tags")
	}
	if m := given("default_queue_type"); m != nil {
		// RabbitMQ writes this for a vhost without one.
		if v.DefaultQueueType = f.string(m, "default_queue_type"); v.DefaultQueueType == "undefined" {
			v.DefaultQueueType = ""
		}
	}
	if m := given("tracing"); m != nil {
		v.Tracing = f.bool(m, "tracing")
	}
	if m := given("protected_from_deletion"); m != nil {
		v.Protected = f.bool(m, "protected_from_deletion")
	}
}

// limits reads the field limits: an object, or [] for none.
func (p *parser) limits(f *fields) (l cluster.Limits, given bool) {
	v := f.take("limits")
	switch {
	case v == nil || v.kind == null:
		return nil, false
	case v.kind == array && len(v.items) == 0:
		return nil, true
	case v.kind != object:
		f.reject(v, "limits", "want an object of integers")
		return nil, false
	}
	l = make(cluster.Limits, len(v.members))
	for i := range v.members {
		m := &v.members[i]
		n, err := strconv.ParseInt(m.value.text, 10, 64)
		if m.value.kind != number || err != nil {
			f.reject(&m.value, "limits."+m.name, "want an integer")
			continue
		}
		l[cluster.Limit(m.name)] = n
	}
	return l, true
}

func (p *parser) user(f *fields) {
	u := &user{origin: f.origin()}
	u.Name = f.text("name")
	u.Tags = f.tags(f.take("tags"), "tags")
	u.limits, u.limitsGiven = p.limits(f)
	password, plain := f.optional("password")
	hash, hashed := f.optional("password_hash")
	algorithm, _ := f.optional("hashing_algorithm")
	switch {
	case plain && hashed:
		f.refuse(f.v, "password", "want a password or a password_hash, not both")
	case !plain && !hashed:
		f.missing("password_hash", "the base64 of a hash, an empty string for a user who cannot log in with a password, or a field password")
	case plain && password == "":
		f.refuse(f.v.get("password"), "password", "is empty; for a user who cannot log in with a password write an empty password_hash instead")
	case hashed && algorithm == md5Algorithm && hash != "":
		f.refuse(f.v.get("hashing_algorithm"), "hashing_algorithm", md5Refused)
	}
	content, err := base64.StdEncoding.DecodeString(hash)
	if err != nil {
		// The hash is a secret, if a weak one: it is not shown.
		f.bad = true
		p.wrong.add(&Problem{Position: place{p.src, f.v.get("password_hash").at}.position(), Field: f.path() + ".password_hash", Text: "is not base64: " + err.Error()})
	}
	if f.bad {
		return
	}
	if u.password = password; hashed {
		u.PasswordHash = content
		if u.HashAlgorithm = algorithm; algorithm == "" || algorithm == md5Algorithm {
			u.HashAlgorithm = meta.HashSHA256
		}
	}
	err = cluster.CheckUser(u.Name, u.secret(), u.Tags)
	p.checked(f, u, errors.Join(err, cluster.CheckUserLimits(u.limits)))
}

func (p *parser) permission(f *fields) {
	r := &permission{origin: f.origin(), Permission: meta.Permission{User: f.text("user"), VHost: f.text("vhost"),
		Configure: f.text("configure"), Write: f.text("write"), Read: f.text("read")}}
	if !f.bad {
		p.checked(f, r, cluster.CheckPermission(&r.Permission))
	}
}

func (p *parser) topicPermission(f *fields) {
	r := &topicPermission{origin: f.origin(), TopicPermission: meta.TopicPermission{User: f.text("user"), VHost: f.text("vhost"),
		Exchange: f.text("exchange"), Write: f.text("write"), Read: f.text("read")}}
	if !f.bad {
		p.checked(f, r, cluster.CheckTopicPermission(&r.TopicPermission))
	}
}

// parameter reads a runtime parameter, or an operator policy, which RabbitMQ keeps as one.
func (p *parser) parameter(f *fields) {
	component, name := f.text("component"), f.text("name")
	vhost, given := f.vhost()
	v := f.take("value")
	if component == operatorPolicy {
		p.operatorPolicy(f, v, vhost, name, given)
		return
	}
	r := &parameter{origin: f.origin(), section: Parameters,
		Parameter: meta.Parameter{VHost: vhost, Component: component, Name: name, Value: f.raw(v, "value")}}
	if f.bad {
		return
	}
	// RabbitMQ 3 writes the vhost of parameters and policies into the definitions of one vhost as well, so it tells nothing.
	if !given {
		p.without = append(p.without, r)
	}
	checked := r.Parameter
	if checked.VHost == "" {
		checked.VHost = "/" // global ones have no component
	}
	if err := cluster.CheckParameter(&checked); err != nil {
		p.checked(f, r, err)
		return
	}
	p.d.items[Parameters] = append(p.d.items[Parameters], r)
}

func (p *parser) operatorPolicy(f *fields, v *value, vhost, name string, given bool) {
	if v == nil || v.kind != object {
		if v == nil {
			f.missing("value", "an object with pattern, definition, priority and apply-to")
		} else {
			f.reject(v, "value", "want an object with pattern, definition, priority and apply-to")
		}
		return
	}
	inner := &fields{p: p, v: v, section: f.section, index: f.index, prefix: ".value"}
	r := policyOf(inner)
	r.origin, r.VHost, r.Name, r.Operator = f.origin(), vhost, name, true
	if f.bad || inner.bad {
		return
	}
	inner.unknown()
	if !given {
		p.without = append(p.without, r)
	}
	p.checked(f, r, cluster.CheckPolicy(&r.Policy))
}

func (p *parser) globalParameter(f *fields) {
	r := &parameter{origin: f.origin(), section: GlobalParameters, Parameter: meta.Parameter{Name: f.text("name"), Value: f.raw(f.take("value"), "value")}}
	f.known = append(f.known, "component", "vhost")
	if f.bad || strings.HasPrefix(r.Name, internalPrefix) { // the other cluster's own, such as its id
		return
	}
	p.checked(f, r, cluster.CheckParameter(&r.Parameter))
}

func (p *parser) policy(f *fields) {
	vhost, given := f.vhost()
	name := f.text("name")
	r := policyOf(f)
	r.origin, r.VHost, r.Name = f.origin(), vhost, name
	if f.bad {
		return
	}
	if !given { // as for parameters
		p.without = append(p.without, r)
	}
	p.checked(f, r, cluster.CheckPolicy(&r.Policy))
}

// policyOf reads what policies and operator policies have in common.
func policyOf(f *fields) *policy {
	r := &policy{}
	r.Pattern = f.text("pattern")
	r.ApplyTo, _ = f.optional("apply-to")
	r.ApplyTo = r.applyTo()
	d := f.take("definition")
	if d != nil && d.kind != object {
		f.reject(d, "definition", "want an object")
	} else {
		r.Definition = f.raw(d, "definition")
	}
	if v := f.take("priority"); v != nil && v.kind != null {
		n, err := strconv.ParseInt(v.text, 10, 32)
		if v.kind != number || err != nil {
			f.refuse(v, "priority", fmt.Sprintf("want an integer from %d to %d", math.MinInt32, math.MaxInt32))
		}
		r.Priority = int32(n)
	}
	return r
}

func (p *parser) exchange(f *fields) {
	x := &exchange{origin: f.origin()}
	var given bool
	x.VHost, given = f.vhost()
	x.Name, x.Type = f.text("name"), f.text("type")
	x.Durable, x.AutoDelete, x.Internal = f.flag("durable"), f.flag("auto_delete"), f.optionalFlag("internal")
	x.Arguments = f.arguments()
	f.known = append(f.known, "policy", "user_who_performed_action")
	if f.bad {
		return
	}
	if x.Name == "" || reserved(x.Name) {
		p.warn(x.at, x.path()+".name", "the exchange "+quote(x.Name)+" is for the broker to declare, skipped")
		return
	}
	p.homeless(x, given)
	p.checked(f, x, cluster.CheckExchange(x.VHost, x.spec()))
}

func (p *parser) queue(f *fields) {
	q := &queue{origin: f.origin()}
	var given bool
	q.VHost, given = f.vhost()
	q.Name = f.text("name")
	q.Durable, q.AutoDelete = f.flag("durable"), f.flag("auto_delete")
	q.Arguments = f.arguments()
	typ, typed := f.optional("type")
	f.known = append(f.known, "policy", "user_who_performed_action")
	if f.bad {
		return
	}
	if reserved(q.Name) {
		p.warn(q.at, q.path()+".name", "the queue "+quote(q.Name)+" has a name that only the broker gives, skipped with its bindings")
		return
	}
	if !p.typeQueue(f, q, typ, typed) {
		return
	}
	p.homeless(q, given)
	p.checked(f, q, cluster.CheckQueue(q.VHost, q.spec()))
}

// typeQueue gives a queue the type that its file says, in the field of RabbitMQ 4 or in its arguments. classic needs no argument.
func (p *parser) typeQueue(f *fields, q *queue, typ string, typed bool) bool {
	t := table(q.Arguments)
	argument, has := t.Get(queueType)
	q.Type = classic
	if has && argument.Kind == wire.KindString {
		q.Type = argument.Str
	}
	if !typed || typ == "" || typ == "undefined" {
		return true
	}
	if has && q.Type != typ {
		f.refuse(f.v.get("type"), "type", "differs from the argument "+queueType+", which is "+quote(q.Type)+"; remove one of them")
		return false
	}
	if q.Type = typ; !has && typ != classic {
		q.Arguments = t.Set(queueType, wire.String(typ)).Encode()
	}
	return true
}

func (p *parser) binding(f *fields) {
	b := &binding{origin: f.origin()}
	var given bool
	b.VHost, given = f.vhost()
	b.Source, b.Destination = f.text("source"), f.text("destination")
	kind := f.text("destination_type")
	b.RoutingKey = f.text("routing_key")
	b.Arguments = f.arguments()
	f.known = append(f.known, "properties_key")
	switch {
	case f.bad:
		return
	case kind == "exchange":
		b.DestinationKind = meta.ToExchange
	case kind != "queue":
		f.refuse(f.v.get("destination_type"), "destination_type", `want "queue" or "exchange"`)
		return
	}
	switch {
	case b.Source == "":
		p.warn(b.at, b.path()+".source", "bindings of the default exchange exist by themselves, skipped")
		return
	case kind == "queue" && reserved(b.Destination):
		p.warn(b.at, b.path()+".destination", "the queue "+quote(b.Destination)+" has a name that only the broker gives, skipped")
		return
	case len(b.RoutingKey) > maxFieldName:
		f.refuse(f.v.get("routing_key"), "routing_key", fmt.Sprintf("%d bytes, want at most %d", len(b.RoutingKey), maxFieldName))
		return
	}
	p.homeless(b, given)
	p.checked(f, b, nil)
}
