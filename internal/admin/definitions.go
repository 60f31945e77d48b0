package admin

import (
	"context"

	"github.com/brokerd/brokerd/internal/definitions"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// maxSteps bounds the steps of a plan that are shown.
const maxSteps = 100_000

// ExportDefinitions implements adminv1.DefinitionServiceServer.
func (a *api) ExportDefinitions(_ context.Context, r *adminv1.ExportDefinitionsRequest) (*adminv1.ExportDefinitionsResponse, error) {
	s := a.Broker.State()
	if v := r.GetVhost(); v != "" && s.VHost(v) == nil {
		return nil, toStatus(noVHost(v))
	}
	d := definitions.Export(s, definitions.ExportOptions{VHost: r.GetVhost()})
	return &adminv1.ExportDefinitionsResponse{Definitions: d.AppendJSON(nil)}, nil
}

// plan reads a file and compares it with the cluster.
func (a *api) plan(data []byte, file, vhost string) (definitions.Plan, *definitions.Definitions, error) {
	if file == "" {
		file = "definitions"
	}
	d, err := definitions.Parse(data, file)
	if err != nil {
		return nil, nil, err
	}
	s := a.Broker.State()
	if vhost != "" {
		if s.VHost(vhost) == nil {
			return nil, nil, noVHost(vhost)
		}
		if d, err = d.In(vhost); err != nil {
			return nil, nil, violation("vhost", "%v", err)
		}
	}
	if d.Detached() {
		return nil, nil, violation("vhost", "want a virtual host: the file has the definitions of one and does not say which")
	}
	p, err := definitions.Diff(s, d)
	return p, d, err
}

var definitionActions = map[definitions.Action]adminv1.DefinitionAction{
	definitions.Create:   adminv1.DefinitionAction_DEFINITION_ACTION_CREATE,
	definitions.Update:   adminv1.DefinitionAction_DEFINITION_ACTION_UPDATE,
	definitions.Delete:   adminv1.DefinitionAction_DEFINITION_ACTION_DELETE,
	definitions.Conflict: adminv1.DefinitionAction_DEFINITION_ACTION_CONFLICT,
}

// definitionKinds name the kinds of objects.
var definitionKinds = map[definitions.Kind]string{
	definitions.VHosts: "vhost", definitions.Users: "user", definitions.Permissions: "permission",
	definitions.TopicPermissions: "topic_permission", definitions.Parameters: "parameter", definitions.GlobalParameters: "global_parameter",
	definitions.Policies: "policy", definitions.Exchanges: "exchange", definitions.Queues: "queue", definitions.Bindings: "binding",
}

// planOf shows a plan; without prune deletions are left out.
func planOf(p definitions.Plan, d *definitions.Definitions, prune bool) *adminv1.DefinitionPlan {
	out := &adminv1.DefinitionPlan{}
	for i := range p {
		step := &p[i]
		switch step.Action {
		case definitions.Create:
			out.Creates++
		case definitions.Update:
			out.Updates++
		case definitions.Delete:
			if !prune {
				continue
			}
			out.Deletes++
		case definitions.Conflict:
			out.Conflicts++
		default:
			out.Unchanged++
			continue
		}
		if len(out.Steps) < maxSteps {
			out.Steps = append(out.Steps, &adminv1.DefinitionStep{Action: definitionActions[step.Action], Kind: definitionKinds[step.Kind],
				Vhost: text(step.VHost), Name: text(step.Name), Text: text(step.String())})
		}
	}
	for _, w := range d.Warnings {
		out.Warnings = append(out.Warnings, text(w.Error()))
	}
	return out
}

// DiffDefinitions implements adminv1.DefinitionServiceServer.
func (a *api) DiffDefinitions(_ context.Context, r *adminv1.DiffDefinitionsRequest) (*adminv1.DiffDefinitionsResponse, error) {
	p, d, err := a.plan(r.GetDefinitions(), r.GetFile(), r.GetVhost())
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.DiffDefinitionsResponse{Plan: planOf(p, d, r.GetPrune())}, nil
}

// apply compares a file and carries the differences out.
func (a *api) apply(ctx context.Context, data []byte, file, vhost string, prune, dryRun bool) (*adminv1.DefinitionPlan, error) {
	p, d, err := a.plan(data, file, vhost)
	if err != nil {
		return nil, toStatus(err)
	}
	_, err = definitions.Apply(ctx, a.Broker, p, definitions.ApplyOptions{Prune: prune, DryRun: dryRun, Actor: a.callerOf(ctx).name})
	if err != nil {
		return nil, toStatus(err)
	}
	return planOf(p, d, prune), nil
}

// ImportDefinitions implements adminv1.DefinitionServiceServer.
func (a *api) ImportDefinitions(ctx context.Context, r *adminv1.ImportDefinitionsRequest) (*adminv1.ImportDefinitionsResponse, error) {
	p, err := a.apply(ctx, r.GetDefinitions(), r.GetFile(), r.GetVhost(), false, false)
	if err != nil {
		return nil, err
	}
	return &adminv1.ImportDefinitionsResponse{Plan: p}, nil
}

// ApplyDefinitions implements adminv1.DefinitionServiceServer.
func (a *api) ApplyDefinitions(ctx context.Context, r *adminv1.ApplyDefinitionsRequest) (*adminv1.ApplyDefinitionsResponse, error) {
	p, err := a.apply(ctx, r.GetDefinitions(), r.GetFile(), r.GetVhost(), r.GetPrune(), r.GetDryRun())
	if err != nil {
		return nil, err
	}
	return &adminv1.ApplyDefinitionsResponse{Plan: p}, nil
}
