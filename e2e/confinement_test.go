package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// TestConfinement proves that our own account, with the rights that its role
// gives, cannot touch a pod or a Service that is not a cluster's.
func TestConfinement(t *testing.T) {
	e := newTest(t)
	const others = `
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: other, labels: {h2o.ai/cluster-name: demo}}, spec: {containers: [{name: c, image: i}]}}
`
	e.kubectl(others, "apply", "-f", "-")
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	as := "--as=system:serviceaccount:" + harness.Namespace + ":h2o-webhook"
	e.eventually("the pods of the set", func(context.Context) error {
		_, _, err := e.tryKubectl("", "get", "pod", "demo-0")
		return err
	})
	for what, test := range map[string]struct {
		args    []string
		refused string // a part of the refusal, empty for none
	}{
		"delete somebody's service":   {[]string{"delete", "service", "other"}, "Services that carry its labels only"},
		"delete somebody's pod":       {[]string{"delete", "pod", "other"}, "pods of StatefulSets only"},
		"make a service without mark": {[]string{"create", "service", "clusterip", "new", "--tcp=80"}, "Services that carry its labels only"},
		"delete a service of ours":    {[]string{"delete", "service", "demo-leader"}, ""},
		"delete a pod of a cluster":   {[]string{"delete", "pod", "demo-0"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			// The API server takes a moment to learn of a policy.
			err := harness.Poll(t.Context(), limit, func(context.Context) error {
				_, _, err := e.tryKubectl("", append(test.args, as, "--dry-run=server")...)
				if (err == nil) != (test.refused == "") || err != nil && !strings.Contains(err.Error(), test.refused) {
					return fmt.Errorf("want %q, got %w", test.refused, err)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
