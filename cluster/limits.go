package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/brokerd/brokerd/cluster/meta"
)

// Limit names a limit, as RabbitMQ does.
type Limit string

// The limits there are (SEMANTICS 15.8).
const (
	MaxConnections Limit = "max-connections" // of a vhost, or of a user in all vhosts
	MaxQueues      Limit = "max-queues"      // of a vhost
	MaxChannels    Limit = "max-channels"    // of a user in all vhosts
)

// Limits says how many there may be. A limit that is missing or negative is none; 0 allows nothing.
type Limits map[Limit]int64

// reached says whether limit k forbids one more beside n, and which number that limit is.
func (l Limits) reached(k Limit, n int) (limit int64, reached bool) {
	limit, ok := l[k]
	return limit, ok && limit >= 0 && int64(n) >= limit
}

// Limits are runtime parameters. Those of a vhost stand where RabbitMQ's definitions have them; those of a user have the user's
// name among the global ones.
const (
	vhostLimitsComponent = "vhost-limits"
	vhostLimitsName      = "limits"
	userLimitsComponent  = "user-limits"
)

// Components of the parameters that hold limits, for those who list the parameters of a State.
const (
	VHostLimitsComponent = vhostLimitsComponent // in the vhost, by the name VHostLimitsName
	VHostLimitsName      = vhostLimitsName
	UserLimitsComponent  = userLimitsComponent // global, by the name of the user
)

// limitsOf are the limits that a component may have.
var limitsOf = map[string][]Limit{
	vhostLimitsComponent: {MaxConnections, MaxQueues},
	userLimitsComponent:  {MaxConnections, MaxChannels},
}

// limitsParameter returns where the limits of a vhost or user are stored, without their value.
func limitsParameter(component, of string) meta.Parameter {
	if component == vhostLimitsComponent {
		return meta.Parameter{VHost: of, Component: component, Name: vhostLimitsName}
	}
	return meta.Parameter{Component: component, Name: of}
}

// limited returns what the limits in p are for, and true, if there are limits in p.
func limited(p *meta.Parameter) (of string, ok bool) {
	switch {
	case p.Component == vhostLimitsComponent && p.Name == vhostLimitsName && p.VHost != "":
		return p.VHost, true
	case p.Component == userLimitsComponent && p.VHost == "":
		return p.Name, true
	}
	return "", false
}

// ParseLimits decodes the value of a parameter with limits: a JSON object of integers.
func ParseLimits(value []byte) (Limits, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(value, &raw); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if raw == nil {
		return nil, errors.New("limits: not a JSON object")
	}
	limits := make(Limits, len(raw))
	for name, v := range raw {
		n, err := strconv.ParseInt(string(bytes.TrimSpace(v)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("limit %q: %q is no integer", name, v)
		}
		limits[Limit(name)] = n
	}
	return limits, nil
}

// storedLimits decodes limits from the state, which were checked before they got there.
func storedLimits(p *meta.Parameter) Limits {
	if p == nil {
		return nil
	}
	limits, err := ParseLimits(p.Value)
	if err != nil {
		return nil
	}
	return limits
}

// checkLimits returns an *ArgumentError unless the component has all of these limits.
func checkLimits(component string, l Limits) error {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if known := limitsOf[component]; !slices.Contains(known, name) {
			texts := make([]string, len(known))
			for i, k := range known {
				texts[i] = string(k)
			}
			return argumentError(component, "limit", string(name), "one of "+strings.Join(texts, ", "))
		}
	}
	return nil
}

// encode returns the value to store: without the limits that are none, nil if none is left.
func (l Limits) encode() []byte {
	set := make(map[Limit]int64, len(l))
	for k, n := range l {
		if n >= 0 {
			set[k] = n
		}
	}
	if len(set) == 0 {
		return nil
	}
	value, err := json.Marshal(set)
	if err != nil {
		panic(err) // a map of strings to integers always has a JSON form
	}
	return value
}

// VHostLimits returns the limits of a vhost.
func (b *Broker) VHostLimits(vhost string) Limits {
	return storedLimits(b.State().Parameter(vhost, vhostLimitsComponent, vhostLimitsName))
}

// UserLimits returns the limits of a user.
func (b *Broker) UserLimits(user string) Limits {
	return storedLimits(b.State().Parameter("", userLimitsComponent, user))
}
