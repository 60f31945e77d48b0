package meta

import (
	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

// Entities to protobuf and back. Byte slices are shared with the message: neither side writes to them.

func (v *VHost) encode() *metav1.VHost {
	return &metav1.VHost{
		Name: []byte(v.Name), Description: v.Description, Tags: v.Tags, DefaultQueueType: v.DefaultQueueType,
		Tracing: v.Tracing, Protected: v.Protected,
	}
}

func decodeVHost(m *metav1.VHost) *VHost {
	return &VHost{
		Name: string(m.GetName()), Description: m.GetDescription(), Tags: m.GetTags(), DefaultQueueType: m.GetDefaultQueueType(),
		Tracing: m.GetTracing(), Protected: m.GetProtected(),
	}
}

func (u *User) encode() *metav1.User {
	return &metav1.User{Name: []byte(u.Name), PasswordHash: u.PasswordHash, HashAlgorithm: u.HashAlgorithm, Tags: u.Tags}
}

func decodeUser(m *metav1.User) *User {
	return &User{Name: string(m.GetName()), PasswordHash: m.GetPasswordHash(), HashAlgorithm: m.GetHashAlgorithm(), Tags: m.GetTags()}
}

func (p *Permission) encode() *metav1.Permission {
	return &metav1.Permission{
		User: []byte(p.User), Vhost: []byte(p.VHost),
		Configure: []byte(p.Configure), Write: []byte(p.Write), Read: []byte(p.Read),
	}
}

func decodePermission(m *metav1.Permission) *Permission {
	return &Permission{
		User: string(m.GetUser()), VHost: string(m.GetVhost()),
		Configure: string(m.GetConfigure()), Write: string(m.GetWrite()), Read: string(m.GetRead()),
	}
}

func (p *TopicPermission) encode() *metav1.TopicPermission {
	return &metav1.TopicPermission{
		User: []byte(p.User), Vhost: []byte(p.VHost), Exchange: []byte(p.Exchange), Write: []byte(p.Write), Read: []byte(p.Read),
	}
}

func decodeTopicPermission(m *metav1.TopicPermission) *TopicPermission {
	return &TopicPermission{
		User: string(m.GetUser()), VHost: string(m.GetVhost()), Exchange: string(m.GetExchange()),
		Write: string(m.GetWrite()), Read: string(m.GetRead()),
	}
}

func (o Owner) encode() *metav1.Owner {
	if o == (Owner{}) {
		return nil
	}
	return &metav1.Owner{Node: o.Node, Incarnation: o.Incarnation}
}

func decodeOwner(m *metav1.Owner) Owner {
	return Owner{Node: m.GetNode(), Incarnation: m.GetIncarnation()}
}

func (x *Exchange) encode() *metav1.Exchange {
	return &metav1.Exchange{
		Vhost: []byte(x.VHost), Name: []byte(x.Name), Type: []byte(x.Type), Durable: x.Durable, AutoDelete: x.AutoDelete,
		Internal: x.Internal, Arguments: x.Arguments, Owner: x.Owner.encode(), Leader: x.Leader,
	}
}

func decodeExchange(m *metav1.Exchange) *Exchange {
	return &Exchange{
		VHost: string(m.GetVhost()), Name: string(m.GetName()), Type: string(m.GetType()), Durable: m.GetDurable(),
		AutoDelete: m.GetAutoDelete(), Internal: m.GetInternal(), Arguments: m.GetArguments(), Owner: decodeOwner(m.GetOwner()),
		Leader: m.GetLeader(),
	}
}

func (q *Queue) encode() *metav1.Queue {
	return &metav1.Queue{
		Id: q.ID, Vhost: []byte(q.VHost), Name: []byte(q.Name), Type: q.Type, Durable: q.Durable, AutoDelete: q.AutoDelete,
		Exclusive: q.Exclusive, Arguments: q.Arguments, Leader: q.Leader, Owner: q.Owner.encode(), Connection: q.Connection,
	}
}

func decodeQueue(m *metav1.Queue) *Queue {
	return &Queue{
		ID: m.GetId(), VHost: string(m.GetVhost()), Name: string(m.GetName()), Type: m.GetType(), Durable: m.GetDurable(),
		AutoDelete: m.GetAutoDelete(), Exclusive: m.GetExclusive(), Arguments: m.GetArguments(), Leader: m.GetLeader(),
		Owner: decodeOwner(m.GetOwner()), Connection: m.GetConnection(),
	}
}

func (b *Binding) encode() *metav1.Binding {
	return &metav1.Binding{
		Vhost: []byte(b.VHost), Source: []byte(b.Source), Destination: []byte(b.Destination),
		DestinationKind: metav1.DestinationKind(b.DestinationKind), RoutingKey: []byte(b.RoutingKey), Arguments: b.Arguments,
	}
}

func decodeBinding(m *metav1.Binding) *Binding {
	return &Binding{
		VHost: string(m.GetVhost()), Source: string(m.GetSource()), Destination: string(m.GetDestination()),
		DestinationKind: DestinationKind(m.GetDestinationKind()), RoutingKey: string(m.GetRoutingKey()), Arguments: m.GetArguments(),
	}
}

func (p *Policy) encode() *metav1.Policy {
	return &metav1.Policy{
		Vhost: []byte(p.VHost), Name: []byte(p.Name), Operator: p.Operator, Pattern: []byte(p.Pattern), ApplyTo: p.ApplyTo,
		Priority: p.Priority, Definition: p.Definition,
	}
}

func decodePolicy(m *metav1.Policy) *Policy {
	return &Policy{
		VHost: string(m.GetVhost()), Name: string(m.GetName()), Operator: m.GetOperator(), Pattern: string(m.GetPattern()),
		ApplyTo: m.GetApplyTo(), Priority: m.GetPriority(), Definition: m.GetDefinition(),
	}
}

func (p *Parameter) encode() *metav1.Parameter {
	return &metav1.Parameter{Vhost: []byte(p.VHost), Component: []byte(p.Component), Name: []byte(p.Name), Value: p.Value}
}

func decodeParameter(m *metav1.Parameter) *Parameter {
	return &Parameter{
		VHost: string(m.GetVhost()), Component: string(m.GetComponent()), Name: string(m.GetName()), Value: m.GetValue(),
	}
}

func (n *Node) encode() *metav1.Node {
	return &metav1.Node{
		Name: n.Name, Incarnation: n.Incarnation, Ended: n.Ended, DisplayName: n.DisplayName, Address: n.Address, Amqp: n.AMQP,
		Admin: n.Admin, Http: n.HTTP, Release: n.Release, Protocol: n.Protocol, CommandVersion: n.CommandVersion, Draining: n.Draining,
	}
}

func decodeNode(m *metav1.Node) *Node {
	return &Node{
		Name: m.GetName(), Incarnation: m.GetIncarnation(), Ended: m.GetEnded(), DisplayName: m.GetDisplayName(),
		Address: m.GetAddress(), AMQP: m.GetAmqp(), Admin: m.GetAdmin(), HTTP: m.GetHttp(), Release: m.GetRelease(),
		Protocol: m.GetProtocol(), CommandVersion: m.GetCommandVersion(), Draining: m.GetDraining(),
	}
}
