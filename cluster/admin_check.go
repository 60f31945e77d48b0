package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
)

// What an administrative operation checks before it changes anything, for those who want to know of every mistake before the first
// change. The functions look at nothing but their arguments: what exists and what does not is not their part. Errors are
// *ArgumentError, for exchanges, queues and bindings *wire.Error with the texts that clients get.

// CheckVHost checks a vhost as PutVHost does.
func CheckVHost(v *meta.VHost) error {
	if err := checkName("vhost", "name", v.Name); err != nil {
		return err
	}
	if len(v.Description) > maxDescription || !utf8.ValidString(v.Description) {
		return argumentError("vhost", "description", v.Description, fmt.Sprintf("at most %d bytes of UTF-8", maxDescription))
	}
	if err := checkTags("vhost", v.Tags); err != nil {
		return err
	}
	return checkQueueTypeName("vhost", "default_queue_type", v.DefaultQueueType)
}

// CheckUser checks a user as PutUser does, without the cost of hashing.
func CheckUser(name string, s Secret, tags []string) error {
	if err := checkName("user", "name", name); err != nil {
		return err
	}
	if err := checkTags("user", tags); err != nil {
		return err
	}
	return s.check()
}

// CheckPermission checks the expressions of a permission.
func CheckPermission(p *meta.Permission) error {
	for _, f := range []struct{ name, expr string }{{"configure", p.Configure}, {"write", p.Write}, {"read", p.Read}} {
		if err := checkPattern("permission", f.name, f.expr); err != nil {
			return err
		}
	}
	return nil
}

// CheckTopicPermission checks the exchange's name and the expressions of a topic permission.
func CheckTopicPermission(p *meta.TopicPermission) error {
	if err := checkName("topic permission", "exchange", p.Exchange); err != nil {
		return err
	}
	for _, f := range []struct{ name, expr string }{{"write", p.Write}, {"read", p.Read}} {
		// With the names in place, because {username} alone is no expression.
		if err := checkPattern("topic permission", f.name, expandTopic(f.expr, p.User, p.VHost)); err != nil {
			return err
		}
	}
	return nil
}

// CheckPolicy checks a policy or operator policy. The error of a definition names its key as the Field.
func CheckPolicy(p *meta.Policy) error {
	if err := checkName("policy", "name", p.Name); err != nil {
		return err
	}
	err := policy.Validate(p)
	var wrong *policy.Error
	if !errors.As(err, &wrong) {
		return err
	}
	entity := "policy"
	if p.Operator {
		entity = "operator policy"
	}
	return &ArgumentError{Entity: entity, Field: wrong.Field, Value: wrong.Got, Want: wrong.Want}
}

// CheckParameter checks a runtime parameter as PutParameter does.
func CheckParameter(p *meta.Parameter) error {
	if err := checkParameter(p); err != nil {
		return err
	}
	if !json.Valid(p.Value) {
		return argumentError("parameter", "value", string(p.Value), "JSON")
	}
	if p.Component != vhostLimitsComponent {
		return nil
	}
	l, err := ParseLimits(p.Value)
	if err != nil {
		return errLimits(p)
	}
	return CheckVHostLimits(l)
}

func errLimits(p *meta.Parameter) error {
	return argumentError("parameter", "value", string(p.Value), "a JSON object of integers")
}

// CheckVHostLimits refuses limits that vhosts do not have.
func CheckVHostLimits(l Limits) error { return checkLimits(vhostLimitsComponent, l) }

// CheckUserLimits refuses limits that users do not have.
func CheckUserLimits(l Limits) error { return checkLimits(userLimitsComponent, l) }

// checkResourceName refuses names that the broker would change or could not hold.
func checkResourceName(r resource) error {
	if r.name == "" || len(r.name) > maxName || strings.ContainsAny(r.name, "\r\n") {
		return argumentError(r.kind, "name", r.name, fmt.Sprintf("1 to %d bytes without line breaks", maxName))
	}
	return nil
}

// CheckExchange checks an exchange that is to be made.
func CheckExchange(vhost string, s *ExchangeSpec) error {
	r := resource{kindExchange, s.Name, vhost}
	if err := checkResourceName(r); err != nil {
		return err
	}
	if err := checkExchangeType(s.Type); err != nil {
		return err
	}
	return (&Access{vhost: vhost, administrator: true}).checkNewExchange(r, s)
}

// CheckQueue checks a queue that is to be made.
func CheckQueue(vhost string, s *QueueSpec) error {
	r := resource{kindQueue, s.Name, vhost}
	if err := checkResourceName(r); err != nil {
		return err
	}
	if reserved(s.Name) {
		return errReserved(r)
	}
	return (&Access{vhost: vhost, administrator: true}).checkNewQueue(r, s)
}

// CheckBinding checks a binding from x to a queue of the given type, or to an exchange if that is empty.
func CheckBinding(x *meta.Exchange, s *BindingSpec, queueType string) error {
	if s.Source == "" {
		return errDefaultExchange
	}
	if len(s.RoutingKey) > maxName {
		return argumentError("binding", "routing_key", s.RoutingKey, fmt.Sprintf("at most %d bytes", maxName))
	}
	return checkBindingTo(x, s.RoutingKey, s.Arguments, queueType)
}
