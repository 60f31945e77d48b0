package meta

import (
	"fmt"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// Command is a change to the state: one of the structs in this package that Propose accepts. A command succeeds as a whole or
// is refused without a trace.
type Command interface {
	// apply makes the change. It depends on nothing but the command and t.
	apply(t *txn) (Result, error)
	encode() *metav1.Command
}

// Result is what a command reports. Which fields are set depends on the command.
type Result struct {
	// Index is the Raft index at which the command was applied; State().Index() is at least that on this node.
	Index uint64
	// Created says that a Put, Set, Declare, Bind, Initialize or EnsureClusterID made something that was not there.
	Created bool
	// Exchange is the exchange of DeclareExchange: the new one, or the existing one whatever its properties.
	Exchange *Exchange
	// Queue is the queue of DeclareQueue: the new one with its ID, or the existing one whatever its properties. For MoveQueue it
	// is the queue as it is now.
	Queue *Queue
	// Incarnation is the number of the run that StartNode began, from 1.
	Incarnation uint64
}

// Initialize fills a state that was never initialized: a vhost, a user and its permission, and the id of the cluster. Later
// ones do nothing.
type Initialize struct {
	ClusterID  string // optional, see EnsureClusterID
	VHost      VHost
	User       User
	Permission Permission
}

// PutVHost creates a vhost with its pre-declared exchanges, or replaces the properties of an existing one.
type PutVHost struct{ VHost VHost }

// DeleteVHost deletes a vhost and everything in it. Errors: ErrNoVHost, ErrVHostProtected.
type DeleteVHost struct{ Name string }

// PutUser creates or replaces a user.
type PutUser struct{ User User }

// DeleteUser deletes a user and its permissions. Errors: ErrNoUser.
type DeleteUser struct{ Name string }

// SetPermission sets the permission of a user in a vhost. Errors: ErrNoUser, ErrNoVHost.
type SetPermission struct{ Permission Permission }

// ClearPermission removes the permission of a user in a vhost, if there is one.
type ClearPermission struct{ User, VHost string }

// SetTopicPermission sets the topic permission of a user on an exchange, which need not exist. Errors: ErrNoUser, ErrNoVHost.
type SetTopicPermission struct{ TopicPermission TopicPermission }

// ClearTopicPermission removes the topic permission of a user on one exchange, or on all if All is set.
type ClearTopicPermission struct {
	User, VHost, Exchange string
	All                   bool
}

// PutPolicy creates or replaces a policy. Errors: ErrNoVHost.
type PutPolicy struct{ Policy Policy }

// DeletePolicy deletes a policy. Errors: ErrNoPolicy.
type DeletePolicy struct {
	VHost, Name string
	Operator    bool
}

// PutParameter creates or replaces a runtime parameter. Errors: ErrNoVHost.
type PutParameter struct{ Parameter Parameter }

// DeleteParameter deletes a runtime parameter. Errors: ErrNoParameter.
type DeleteParameter struct{ VHost, Component, Name string }

func needName(what, name string) error {
	if name == "" {
		return fmt.Errorf("%w: %s without a name", ErrInvalidArgument, what)
	}
	return nil
}

func needVHost(t *txn, name string) error {
	if _, ok := find(t.vhosts, name); !ok {
		return &NameError{Err: ErrNoVHost, Name: name}
	}
	return nil
}

func needUser(t *txn, name string) error {
	if _, ok := find(t.users, name); !ok {
		return &NameError{Err: ErrNoUser, Name: name}
	}
	return nil
}

func (c Initialize) apply(t *txn) (Result, error) {
	if t.initialized {
		return Result{}, nil
	}
	t.initialized = true
	if t.clusterID == "" {
		t.clusterID = c.ClusterID
	}
	t.putVHost(&c.VHost)
	put(t, t.users, key(c.User.Name), &c.User)
	put(t, t.permissions, key(c.Permission.VHost, c.Permission.User), &c.Permission)
	return Result{Created: true}, nil
}

func (c PutVHost) apply(t *txn) (Result, error) {
	if err := needName("vhost", c.VHost.Name); err != nil {
		return Result{}, err
	}
	return Result{Created: t.putVHost(&c.VHost)}, nil
}

func (c DeleteVHost) apply(t *txn) (Result, error) {
	v, ok := find(t.vhosts, c.Name)
	if !ok {
		return Result{}, &NameError{Err: ErrNoVHost, Name: c.Name}
	}
	if v.Protected {
		return Result{}, &NameError{Err: ErrVHostProtected, Name: c.Name}
	}
	t.dropVHost(c.Name)
	return Result{}, nil
}

func (c PutUser) apply(t *txn) (Result, error) {
	if err := needName("user", c.User.Name); err != nil {
		return Result{}, err
	}
	return Result{Created: put(t, t.users, key(c.User.Name), &c.User)}, nil
}

func (c DeleteUser) apply(t *txn) (Result, error) {
	if err := needUser(t, c.Name); err != nil {
		return Result{}, err
	}
	t.dropUser(c.Name)
	return Result{}, nil
}

func (c SetPermission) apply(t *txn) (Result, error) {
	p := &c.Permission
	if err := needUser(t, p.User); err != nil {
		return Result{}, err
	}
	if err := needVHost(t, p.VHost); err != nil {
		return Result{}, err
	}
	return Result{Created: put(t, t.permissions, key(p.VHost, p.User), p)}, nil
}

func (c ClearPermission) apply(t *txn) (Result, error) {
	remove(t, t.permissions, key(c.VHost, c.User))
	return Result{}, nil
}

func (c SetTopicPermission) apply(t *txn) (Result, error) {
	p := &c.TopicPermission
	if err := needUser(t, p.User); err != nil {
		return Result{}, err
	}
	if err := needVHost(t, p.VHost); err != nil {
		return Result{}, err
	}
	return Result{Created: put(t, t.topicPermissions, key(p.VHost, p.User, p.Exchange), p)}, nil
}

func (c ClearTopicPermission) apply(t *txn) (Result, error) {
	if c.All {
		t.clearTopicPermissions(c.User, c.VHost)
	} else {
		remove(t, t.topicPermissions, key(c.VHost, c.User, c.Exchange))
	}
	return Result{}, nil
}

func (c PutPolicy) apply(t *txn) (Result, error) {
	p := &c.Policy
	if err := needName("policy", p.Name); err != nil {
		return Result{}, err
	}
	if err := needVHost(t, p.VHost); err != nil {
		return Result{}, err
	}
	return Result{Created: put(t, t.policies, key(p.VHost, policyKind(p.Operator), p.Name), p)}, nil
}

func (c DeletePolicy) apply(t *txn) (Result, error) {
	if !remove(t, t.policies, key(c.VHost, policyKind(c.Operator), c.Name)) {
		return Result{}, &NameError{Err: ErrNoPolicy, VHost: c.VHost, Name: c.Name}
	}
	return Result{}, nil
}

func (c PutParameter) apply(t *txn) (Result, error) {
	p := &c.Parameter
	if err := needName("parameter", p.Name); err != nil {
		return Result{}, err
	}
	if p.VHost != "" {
		if err := needVHost(t, p.VHost); err != nil {
			return Result{}, err
		}
	}
	return Result{Created: put(t, t.parameters, key(p.VHost, p.Component, p.Name), p)}, nil
}

func (c DeleteParameter) apply(t *txn) (Result, error) {
	if !remove(t, t.parameters, key(c.VHost, c.Component, c.Name)) {
		return Result{}, &NameError{Err: ErrNoParameter, VHost: c.VHost, Name: c.Name}
	}
	return Result{}, nil
}
