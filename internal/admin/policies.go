package admin

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	"github.com/brokerd/brokerd/cluster/policy"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// tableIn reads stored arguments, which were checked before they got there.
func tableIn(stored []byte) wire.Table {
	t, err := wire.ParseTable(stored)
	if err != nil {
		return nil
	}
	return t
}

// ListPolicies implements adminv1.PolicyServiceServer.
func (a *api) ListPolicies(ctx context.Context, r *adminv1.ListPoliciesRequest) (*adminv1.ListPoliciesResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	s := a.Broker.State()
	sees := a.visible(a.callerOf(ctx), monitoring)
	list, next, total := take(p, func(yield func(string, *meta.Policy) bool) {
		for m := range inVHost(r.GetVhost(), s.PoliciesIn, s.Policies) {
			kind := "p"
			if m.Operator {
				kind = "o"
			}
			if f.match(m.Name) && (r.Operator == nil || *r.Operator == m.Operator) && sees(m.VHost) && !yield(keyOf(m.VHost, kind, m.Name), m) {
				return
			}
		}
	})
	out := &adminv1.ListPoliciesResponse{NextPageToken: next, TotalSize: total}
	for _, m := range list {
		out.Policies = append(out.Policies, policyOf(m))
	}
	return out, nil
}

func policyOf(p *meta.Policy) *adminv1.Policy {
	return &adminv1.Policy{Vhost: text(p.VHost), Name: text(p.Name), Operator: p.Operator, Pattern: text(p.Pattern), ApplyTo: p.ApplyTo,
		Priority: p.Priority, Definition: text(string(p.Definition))}
}

// GetPolicy implements adminv1.PolicyServiceServer.
func (a *api) GetPolicy(_ context.Context, r *adminv1.GetPolicyRequest) (*adminv1.GetPolicyResponse, error) {
	p := a.Broker.State().Policy(r.GetVhost(), r.GetName(), r.GetOperator())
	if p == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoPolicy, VHost: r.GetVhost(), Name: r.GetName()})
	}
	return &adminv1.GetPolicyResponse{Policy: policyOf(p)}, nil
}

// operatorPolicy refuses those who are no administrators.
func (a *api) operatorPolicy(ctx context.Context, operator bool) error {
	if c := a.callerOf(ctx); operator && !c.has(administrator) {
		return status.Errorf(codes.PermissionDenied, "user '%s' needs the tag %s for operator policies", c.name, administrator)
	}
	return nil
}

// PutPolicy implements adminv1.PolicyServiceServer.
func (a *api) PutPolicy(ctx context.Context, r *adminv1.PutPolicyRequest) (*adminv1.PutPolicyResponse, error) {
	p := r.GetPolicy()
	if p == nil {
		return nil, violation("policy", "want a policy")
	}
	if err := a.operatorPolicy(ctx, p.GetOperator()); err != nil {
		return nil, err
	}
	if err := putMode(r.GetMode(), a.Broker.State().Policy(p.GetVhost(), p.GetName(), p.GetOperator()) != nil, "policy", p.GetName()); err != nil {
		return nil, err
	}
	applyTo := p.GetApplyTo()
	if applyTo == "" {
		applyTo = "all"
		if p.GetOperator() {
			applyTo = "queues"
		}
	}
	created, err := a.Broker.PutPolicy(a.actor(ctx), meta.Policy{VHost: p.GetVhost(), Name: p.GetName(), Operator: p.GetOperator(),
		Pattern: p.GetPattern(), ApplyTo: applyTo, Priority: p.GetPriority(), Definition: []byte(p.GetDefinition())})
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.PutPolicyResponse{Created: created}, nil
}

// DeletePolicy implements adminv1.PolicyServiceServer.
func (a *api) DeletePolicy(ctx context.Context, r *adminv1.DeletePolicyRequest) (*adminv1.DeletePolicyResponse, error) {
	if err := a.operatorPolicy(ctx, r.GetOperator()); err != nil {
		return nil, err
	}
	return &adminv1.DeletePolicyResponse{}, toStatus(a.Broker.DeletePolicy(a.actor(ctx), r.GetVhost(), r.GetName(), r.GetOperator()))
}

// GetEffectiveSettings implements adminv1.PolicyServiceServer.
func (a *api) GetEffectiveSettings(_ context.Context, r *adminv1.GetEffectiveSettingsRequest) (*adminv1.GetEffectiveSettingsResponse, error) {
	s := a.Broker.State()
	var q *meta.Queue
	var x *meta.Exchange
	switch k := r.GetTarget().(type) {
	case *adminv1.GetEffectiveSettingsRequest_Queue:
		if q = s.Queue(r.GetVhost(), k.Queue); q == nil {
			return nil, toStatus(&meta.NameError{Err: meta.ErrNoQueue, VHost: r.GetVhost(), Name: k.Queue})
		}
	case *adminv1.GetEffectiveSettingsRequest_Exchange:
		if x = s.Exchange(r.GetVhost(), k.Exchange); x == nil {
			return nil, toStatus(&meta.NameError{Err: meta.ErrNoExchange, VHost: r.GetVhost(), Name: k.Exchange})
		}
	default:
		return nil, violation("target", "want the name of a queue or an exchange")
	}
	settings, effective := a.Broker.EffectiveSettings(q, x)
	return &adminv1.GetEffectiveSettingsResponse{Settings: settingsOf(settings), Policy: text(effective.Policy),
		OperatorPolicy: text(effective.OperatorPolicy)}, nil
}

var origins = map[policy.Source]adminv1.SettingOrigin{
	policy.Argument:       adminv1.SettingOrigin_SETTING_ORIGIN_ARGUMENT,
	policy.Policy:         adminv1.SettingOrigin_SETTING_ORIGIN_POLICY,
	policy.OperatorPolicy: adminv1.SettingOrigin_SETTING_ORIGIN_OPERATOR_POLICY,
}

// settingsOf shows effective settings.
func settingsOf(list []cluster.Setting) (out []*adminv1.EffectiveSetting) {
	for _, s := range list {
		e := &adminv1.EffectiveSetting{Key: text(s.Key), Origin: origins[s.Origin.Source], Policy: text(s.Origin.Policy), Ignored: text(s.Ignored)}
		if s.Value != nil {
			value, err := json.Marshal(s.Value)
			if err != nil {
				value = fmt.Appendf(nil, "%q", fmt.Sprint(s.Value)) // a number that JSON does not have
			}
			e.Value = text(string(value))
		}
		out = append(out, e)
	}
	return out
}
