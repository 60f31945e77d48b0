package cluster

import (
	"bytes"
	"maps"
	"slices"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster/meta"
)

// event is what is published about a change: a routing key, and the headers without those that all events have.
type event struct {
	key     string
	headers wire.Table
}

func field(name string, v wire.Value) wire.Field { return wire.Field{Name: name, Value: v} }

func textField(name, text string) wire.Field { return field(name, wire.String(text)) }

func flagField(name string, set bool) wire.Field { return field(name, wire.Bool(set)) }

func listField(name string, texts []string) wire.Field {
	values := make([]wire.Value, len(texts))
	for i, t := range texts {
		values[i] = wire.String(t)
	}
	return field(name, wire.ArrayValue(values...))
}

// argumentsField shows stored arguments; damaged ones count as none.
func argumentsField(arguments []byte) wire.Field {
	t, err := wire.ParseTable(arguments)
	if err != nil || t == nil {
		t = wire.Table{}
	}
	return field("arguments", wire.TableValue(t))
}

// describe returns the events of a change, with RabbitMQ's names for keys and headers.
func describe(c meta.Change) []event {
	switch e := c.Entity().(type) {
	case *meta.Queue:
		if e.Type == meta.TypeStore {
			return nil
		}
		return lifeEvent("queue", c, queueHeaders(e))
	case *meta.Exchange:
		return lifeEvent("exchange", c, exchangeHeaders(e))
	case *meta.Binding:
		return lifeEvent("binding", c, bindingHeaders(e))
	case *meta.VHost:
		return lifeEvent("vhost", c, wire.Table{
			textField("name", e.Name), textField("description", e.Description), listField("tags", e.Tags),
		})
	case *meta.User:
		return userEvents(c, e)
	case *meta.Permission:
		return setEvent("permission.created", "permission.deleted", c, wire.Table{textField("user", e.User), textField("vhost", e.VHost)},
			textField("configure", e.Configure), textField("write", e.Write), textField("read", e.Read))
	case *meta.TopicPermission:
		return setEvent("topic.permission.created", "topic.permission.deleted", c,
			wire.Table{textField("user", e.User), textField("vhost", e.VHost), textField("exchange", e.Exchange)},
			textField("write", e.Write), textField("read", e.Read))
	case *meta.Policy:
		return setEvent("policy.set", "policy.cleared", c,
			wire.Table{textField("name", e.Name), textField("vhost", e.VHost), flagField("operator", e.Operator)},
			textField("pattern", e.Pattern), textField("apply-to", e.ApplyTo), field("priority", wire.Int32(e.Priority)),
			textField("definition", string(e.Definition)))
	case *meta.Parameter:
		return parameterEvents(c, e)
	}
	return nil
}

// lifeEvent is what.created or what.deleted. There is no event for a replaced entity.
func lifeEvent(what string, c meta.Change, headers wire.Table) []event {
	switch {
	case c.Created():
		return []event{{what + ".created", headers}}
	case c.Deleted():
		return []event{{what + ".deleted", headers}}
	}
	return nil
}

// setEvent is the event of something that is set and cleared; values are shown only when it is set.
func setEvent(set, cleared string, c meta.Change, headers wire.Table, values ...wire.Field) []event {
	if c.Deleted() {
		return []event{{cleared, headers}}
	}
	return []event{{set, append(headers, values...)}}
}

func queueHeaders(q *meta.Queue) wire.Table {
	return wire.Table{
		textField("name", q.Name), textField("vhost", q.VHost), textField("type", typeNames[q.Type].text),
		flagField("durable", q.Durable), flagField("auto_delete", q.AutoDelete), flagField("exclusive", q.Exclusive),
		argumentsField(q.Arguments), textField("node", q.Leader),
	}
}

func exchangeHeaders(x *meta.Exchange) wire.Table {
	return wire.Table{
		textField("name", x.Name), textField("vhost", x.VHost), textField("type", x.Type), flagField("durable", x.Durable),
		flagField("auto_delete", x.AutoDelete), flagField("internal", x.Internal), argumentsField(x.Arguments),
	}
}

func bindingHeaders(b *meta.Binding) wire.Table {
	return wire.Table{
		textField("source_name", b.Source), textField("source_kind", kindExchange),
		textField("destination_name", b.Destination), textField("destination_kind", destination(b).kind),
		textField("routing_key", b.RoutingKey), argumentsField(b.Arguments), textField("vhost", b.VHost),
	}
}

func userEvents(c meta.Change, u *meta.User) (all []event) {
	name := wire.Table{textField("name", u.Name)}
	if c.Created() || c.Deleted() {
		return lifeEvent("user", c, name)
	}
	old := c.Before.(*meta.User)
	switch {
	case len(u.PasswordHash) == 0 && len(old.PasswordHash) != 0:
		all = append(all, event{"user.password.cleared", name})
	case !bytes.Equal(u.PasswordHash, old.PasswordHash):
		all = append(all, event{"user.password.changed", name})
	}
	if !slices.Equal(u.Tags, old.Tags) {
		all = append(all, event{"user.tags.set", wire.Table{name[0], listField("tags", u.Tags)}})
	}
	return all
}

func parameterEvents(c meta.Change, p *meta.Parameter) []event {
	if of, ok := limited(p); ok {
		what := "vhost"
		if p.Component == userLimitsComponent {
			what = "user"
		}
		limits := storedLimits(p)
		var values []wire.Field
		for _, k := range slices.Sorted(maps.Keys(limits)) {
			values = append(values, field(string(k), wire.Int64(limits[k])))
		}
		return setEvent(what+".limits.set", what+".limits.cleared", c, wire.Table{textField("name", of)}, values...)
	}
	return setEvent("parameter.set", "parameter.cleared", c,
		wire.Table{textField("component", p.Component), textField("name", p.Name), textField("vhost", p.VHost)},
		textField("value", string(p.Value)))
}
