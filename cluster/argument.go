package cluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/brokerd/brokerd/cluster/meta"
)

// ArgumentError refuses an argument of an administrative operation. Nothing was changed.
type ArgumentError struct {
	Entity string // what the operation is about: vhost, user, permission, topic permission, policy, parameter, vhost-limits, ...
	Field  string // as RabbitMQ's definitions call it, or of the policy's definition
	Value  string // what was given, shortened; empty for secrets
	Want   string // what is allowed, in words
}

// Error returns one line for the operator.
func (e *ArgumentError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %s: want %s", e.Entity, e.Field, e.Want)
	}
	return fmt.Sprintf("%s: %s: got %s, want %s", e.Entity, e.Field, e.Value, e.Want)
}

// argumentError makes an *ArgumentError for a value that may be shown.
func argumentError(entity, field, value, want string) error {
	const most = 80
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "..."
	}
	return &ArgumentError{Entity: entity, Field: field, Value: fmt.Sprintf("%q", value), Want: want}
}

// Bounds of what operators name and describe.
const (
	maxName        = 255 // bytes; a user's name must fit into the property user-id
	maxDescription = 4096
	maxTags        = 64
	maxPattern     = 4096
)

// printable says whether s is UTF-8 without control characters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

func checkName(entity, field, name string) error {
	if name == "" || len(name) > maxName || !printable(name) {
		return argumentError(entity, field, name, fmt.Sprintf("1 to %d bytes of UTF-8 without control characters", maxName))
	}
	return nil
}

// checkTags checks the tags of a vhost or user. RabbitMQ's older definitions have them as one string with commas, so a comma in
// a tag would not survive.
func checkTags(entity string, tags []string) error {
	if len(tags) > maxTags {
		return argumentError(entity, "tags", fmt.Sprintf("%d tags", len(tags)), fmt.Sprintf("at most %d", maxTags))
	}
	for i, t := range tags {
		if t == "" || len(t) > maxName || !printable(t) || strings.ContainsAny(t, ", ") {
			return argumentError(entity, "tags", t, fmt.Sprintf("1 to %d bytes of UTF-8 without spaces, commas and control characters", maxName))
		}
		if slices.Contains(tags[:i], t) {
			return argumentError(entity, "tags", t, "each tag once")
		}
	}
	return nil
}

// checkPattern checks a regular expression of a permission. What does not compile would deny everything.
func checkPattern(entity, field, expr string) error {
	want := fmt.Sprintf("a regular expression (RE2: no look-around and no back-references) of at most %d bytes", maxPattern)
	if len(expr) > maxPattern {
		return argumentError(entity, field, expr, want)
	}
	if _, err := regexp.Compile(expr); err != nil {
		return argumentError(entity, field, expr, want+"; "+err.Error())
	}
	return nil
}

// checkQueueTypeName checks the default queue type of a vhost; empty stands for none.
func checkQueueTypeName(entity, field, name string) error {
	if name != "" && name != typeClassic {
		return argumentError(entity, field, name, "classic, the type that this version has")
	}
	return nil
}

// checkParameter checks a runtime parameter that is stored as it comes.
func checkParameter(p *meta.Parameter) error {
	if err := checkName("parameter", "name", p.Name); err != nil {
		return err
	}
	// Global parameters have no component.
	if p.VHost != "" {
		if err := checkName("parameter", "component", p.Component); err != nil {
			return err
		}
	}
	switch p.Component {
	case "policy", "operator_policy":
		return argumentError("parameter", "component", p.Component, "a policy to be set as a policy")
	case userLimitsComponent:
		return argumentError("parameter", "component", p.Component, "the limits of a user to be set as such")
	case vhostLimitsComponent:
		if p.Name != vhostLimitsName {
			return argumentError("parameter", "name", p.Name, vhostLimitsName)
		}
	}
	return nil
}

// errAlternatives refuses a password beside a hash.
var errAlternatives = &ArgumentError{Entity: "user", Field: "password", Want: "a password or a password_hash, not both"}
