package main

import (
	"encoding/json"

	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"

	"github.com/brokerd/brokerd/internal/ctl/output"
)

// settingObjects shows what is in force on a queue or exchange and where it comes from.
func settingObjects(settings []*adminv1.EffectiveSetting) []output.Object {
	var list []output.Object
	for _, s := range settings {
		list = append(list, output.Object{
			{Name: "key", Value: s.GetKey()},
			{Name: "value", Value: json.RawMessage(s.GetValue())},
			{Name: "origin", Value: enum(s.GetOrigin().String(), "SETTING_ORIGIN_")},
			{Name: "policy", Value: s.GetPolicy()},
			{Name: "ignored", Value: s.GetIgnored()},
		})
	}
	return list
}
