package meta

import (
	"fmt"

	metav1 "github.com/brokerd/brokerd/proto/meta/v1"
)

func (c Initialize) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_Initialize{Initialize: &metav1.Initialize{
		Vhost: c.VHost.encode(), User: c.User.encode(), Permission: c.Permission.encode(), ClusterId: c.ClusterID,
	}}}
}

func (c PutVHost) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_PutVhost{PutVhost: c.VHost.encode()}}
}

func (c DeleteVHost) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeleteVhost{DeleteVhost: &metav1.DeleteVHost{Name: []byte(c.Name)}}}
}

func (c PutUser) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_PutUser{PutUser: c.User.encode()}}
}

func (c DeleteUser) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeleteUser{DeleteUser: &metav1.DeleteUser{Name: []byte(c.Name)}}}
}

func (c SetPermission) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_SetPermission{SetPermission: c.Permission.encode()}}
}

func (c ClearPermission) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_ClearPermission{ClearPermission: &metav1.ClearPermission{
		User: []byte(c.User), Vhost: []byte(c.VHost),
	}}}
}

func (c SetTopicPermission) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_SetTopicPermission{SetTopicPermission: c.TopicPermission.encode()}}
}

func (c ClearTopicPermission) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_ClearTopicPermission{ClearTopicPermission: &metav1.ClearTopicPermission{
		User: []byte(c.User), Vhost: []byte(c.VHost), Exchange: []byte(c.Exchange), All: c.All,
	}}}
}

func (c DeclareExchange) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeclareExchange{DeclareExchange: c.Exchange.encode()}}
}

func (c DeleteExchange) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeleteExchange{DeleteExchange: &metav1.DeleteExchange{
		Vhost: []byte(c.VHost), Name: []byte(c.Name), IfUnused: c.IfUnused,
	}}}
}

func (c DeclareQueue) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeclareQueue{DeclareQueue: c.Queue.encode()}}
}

func (c DeleteQueue) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeleteQueue{DeleteQueue: &metav1.DeleteQueue{
		Vhost: []byte(c.VHost), Name: []byte(c.Name), Id: c.ID,
	}}}
}

func (c Bind) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_Bind{Bind: c.Binding.encode()}}
}

func (c Unbind) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_Unbind{Unbind: c.Binding.encode()}}
}

func (c PutPolicy) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_PutPolicy{PutPolicy: c.Policy.encode()}}
}

func (c DeletePolicy) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeletePolicy{DeletePolicy: &metav1.DeletePolicy{
		Vhost: []byte(c.VHost), Name: []byte(c.Name), Operator: c.Operator,
	}}}
}

func (c PutParameter) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_PutParameter{PutParameter: c.Parameter.encode()}}
}

func (c DeleteParameter) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_DeleteParameter{DeleteParameter: &metav1.DeleteParameter{
		Vhost: []byte(c.VHost), Component: []byte(c.Component), Name: []byte(c.Name),
	}}}
}

func (c StartNode) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_StartNode{StartNode: &metav1.StartNode{Name: c.Node}}}
}

func (c EndOwner) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_EndOwner{EndOwner: &metav1.EndOwner{
		Owner: c.Owner.encode(), Connection: c.Connection,
	}}}
}

func (c PutNode) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_PutNode{PutNode: c.Node.encode()}}
}

func (c SetDraining) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_SetDraining{SetDraining: &metav1.SetDraining{
		Node: c.Node, Draining: c.Draining,
	}}}
}

func (c RemoveNode) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_RemoveNode{RemoveNode: &metav1.RemoveNode{Node: c.Node, Force: c.Force}}}
}

func (c MoveQueue) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_MoveQueue{MoveQueue: &metav1.MoveQueue{Id: c.ID, From: c.From, To: c.To,
		FromRun: c.FromRun, ToRun: c.ToRun}}}
}

func (c EnsureClusterID) encode() *metav1.Command {
	return &metav1.Command{Kind: &metav1.Command_EnsureClusterId{EnsureClusterId: &metav1.EnsureClusterID{Id: c.ID}}}
}

// decodeCommand returns the command that m holds, ErrIncompatible if it is of a kind that this version does not know.
func decodeCommand(m *metav1.Command) (Command, error) {
	switch k := m.GetKind().(type) {
	case *metav1.Command_Initialize:
		return Initialize{
			VHost: *decodeVHost(k.Initialize.GetVhost()), User: *decodeUser(k.Initialize.GetUser()),
			Permission: *decodePermission(k.Initialize.GetPermission()), ClusterID: k.Initialize.GetClusterId(),
		}, nil
	case *metav1.Command_PutVhost:
		return PutVHost{*decodeVHost(k.PutVhost)}, nil
	case *metav1.Command_DeleteVhost:
		return DeleteVHost{string(k.DeleteVhost.GetName())}, nil
	case *metav1.Command_PutUser:
		return PutUser{*decodeUser(k.PutUser)}, nil
	case *metav1.Command_DeleteUser:
		return DeleteUser{string(k.DeleteUser.GetName())}, nil
	case *metav1.Command_SetPermission:
		return SetPermission{*decodePermission(k.SetPermission)}, nil
	case *metav1.Command_ClearPermission:
		return ClearPermission{User: string(k.ClearPermission.GetUser()), VHost: string(k.ClearPermission.GetVhost())}, nil
	case *metav1.Command_SetTopicPermission:
		return SetTopicPermission{*decodeTopicPermission(k.SetTopicPermission)}, nil
	case *metav1.Command_ClearTopicPermission:
		c := k.ClearTopicPermission
		return ClearTopicPermission{
			User: string(c.GetUser()), VHost: string(c.GetVhost()), Exchange: string(c.GetExchange()), All: c.GetAll(),
		}, nil
	case *metav1.Command_DeclareExchange:
		return DeclareExchange{*decodeExchange(k.DeclareExchange)}, nil
	case *metav1.Command_DeleteExchange:
		c := k.DeleteExchange
		return DeleteExchange{VHost: string(c.GetVhost()), Name: string(c.GetName()), IfUnused: c.GetIfUnused()}, nil
	case *metav1.Command_DeclareQueue:
		return DeclareQueue{*decodeQueue(k.DeclareQueue)}, nil
	case *metav1.Command_DeleteQueue:
		c := k.DeleteQueue
		return DeleteQueue{VHost: string(c.GetVhost()), Name: string(c.GetName()), ID: c.GetId()}, nil
	case *metav1.Command_Bind:
		return Bind{*decodeBinding(k.Bind)}, nil
	case *metav1.Command_Unbind:
		return Unbind{*decodeBinding(k.Unbind)}, nil
	case *metav1.Command_PutPolicy:
		return PutPolicy{*decodePolicy(k.PutPolicy)}, nil
	case *metav1.Command_DeletePolicy:
		c := k.DeletePolicy
		return DeletePolicy{VHost: string(c.GetVhost()), Name: string(c.GetName()), Operator: c.GetOperator()}, nil
	case *metav1.Command_PutParameter:
		return PutParameter{*decodeParameter(k.PutParameter)}, nil
	case *metav1.Command_DeleteParameter:
		c := k.DeleteParameter
		return DeleteParameter{VHost: string(c.GetVhost()), Component: string(c.GetComponent()), Name: string(c.GetName())}, nil
	case *metav1.Command_StartNode:
		return StartNode{k.StartNode.GetName()}, nil
	case *metav1.Command_EndOwner:
		return EndOwner{Owner: decodeOwner(k.EndOwner.GetOwner()), Connection: k.EndOwner.GetConnection()}, nil
	case *metav1.Command_PutNode:
		return PutNode{*decodeNode(k.PutNode)}, nil
	case *metav1.Command_SetDraining:
		return SetDraining{Node: k.SetDraining.GetNode(), Draining: k.SetDraining.GetDraining()}, nil
	case *metav1.Command_RemoveNode:
		return RemoveNode{Node: k.RemoveNode.GetNode(), Force: k.RemoveNode.GetForce()}, nil
	case *metav1.Command_MoveQueue:
		return MoveQueue{ID: k.MoveQueue.GetId(), From: k.MoveQueue.GetFrom(), To: k.MoveQueue.GetTo(),
			FromRun: k.MoveQueue.GetFromRun(), ToRun: k.MoveQueue.GetToRun()}, nil
	case *metav1.Command_EnsureClusterId:
		return EnsureClusterID{k.EnsureClusterId.GetId()}, nil
	default:
		return nil, fmt.Errorf("%w: unknown command", ErrIncompatible)
	}
}
