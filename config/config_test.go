// Package config holds no code: it checks the manifests beside it.
package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/webhook"
)

// documents gives every object of the folders, but for kustomize's own files.
func documents(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, pattern := range []string{"base/*.yaml", "default/*.yaml", "samples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(file) != "kustomization.yaml" {
				found[file] = strings.Split(string(text), "\n---\n")
			}
		}
	}
	return found
}

// TestStrict proves that every field is one that Kubernetes knows.
func TestStrict(t *testing.T) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for file, objects := range documents(t) {
		for i, text := range objects {
			if _, _, err := decoder.Decode([]byte(text), nil, nil); err != nil {
				t.Errorf("%s: document %d: %v", file, i+1, err)
			}
		}
	}
}

// TestRights proves that no rule is wider than it looks: no wildcards, and
// nothing about nodes or other people's secrets. Pods are read, to see whether a
// cluster is whole, and deleted, to restart it; nobody is put into one.
func TestRights(t *testing.T) {
	for _, text := range documents(t)["base/rbac.yaml"] {
		var role rbacv1.ClusterRole // a Role has the same fields
		if err := yaml.Unmarshal([]byte(text), &role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			all := slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs)
			if slices.Contains(all, "*") {
				t.Errorf("%s %s has a wildcard: %v", role.Kind, role.Name, rule)
			}
			if role.Kind == "ClusterRole" && slices.ContainsFunc(rule.Resources, func(r string) bool {
				return r == "secrets" || r == "configmaps" || r == "nodes" || strings.HasPrefix(r, "pods/")
			}) {
				t.Errorf("the cluster role reaches %v everywhere", rule.Resources)
			}
			if slices.Contains(rule.Resources, "pods") && (slices.Contains(rule.Verbs, "create") || slices.Contains(rule.Verbs, "update") || slices.Contains(rule.Verbs, "patch")) {
				t.Errorf("pods are written: %v", rule.Verbs)
			}
		}
	}
}

// TestGuardIsNeverInTheWay pins what keeps the scale guard from holding anybody up.
func TestGuardIsNeverInTheWay(t *testing.T) {
	var c admissionregistrationv1.ValidatingWebhookConfiguration
	if err := yaml.UnmarshalStrict([]byte(documents(t)["base/guard.yaml"][0]), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Webhooks) != 1 {
		t.Fatalf("want one webhook, got %d", len(c.Webhooks))
	}
	w := c.Webhooks[0]
	if w.FailurePolicy == nil || *w.FailurePolicy != admissionregistrationv1.Ignore {
		t.Error("nobody can scale while we are away")
	}
	if w.TimeoutSeconds == nil || *w.TimeoutSeconds > 2 {
		t.Error("everybody's scaling is held up for long")
	}
	if w.SideEffects == nil || *w.SideEffects != admissionregistrationv1.SideEffectClassNone {
		t.Error("dry runs do not work")
	}
	scope := admissionregistrationv1.NamespacedScope
	want := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"statefulsets/scale"}, Scope: &scope},
	}}
	if diff := cmp.Diff(want, w.Rules); diff != "" {
		t.Errorf("it is asked about more or less than the scale of StatefulSets, -want +got:\n%s", diff)
	}
	if w.ClientConfig.Service == nil || w.ClientConfig.Service.Path == nil || *w.ClientConfig.Service.Path != webhook.GuardPath {
		t.Errorf("want it called at %s", webhook.GuardPath)
	}
}

// TestWebhookSeesManagedOnly pins what keeps us out of everybody else's way.
func TestWebhookSeesManagedOnly(t *testing.T) {
	var c admissionregistrationv1.MutatingWebhookConfiguration
	if err := yaml.UnmarshalStrict([]byte(documents(t)["base/webhook.yaml"][0]), &c); err != nil {
		t.Fatal(err)
	}
	for _, w := range c.Webhooks {
		if w.ObjectSelector == nil || w.ObjectSelector.MatchLabels["h2o.ai/cluster"] != "true" {
			t.Errorf("webhook %s is asked about unmanaged objects", w.Name)
		}
		if w.SideEffects == nil || *w.SideEffects != admissionregistrationv1.SideEffectClassNone {
			t.Errorf("webhook %s keeps dry runs from working", w.Name)
		}
		if w.TimeoutSeconds == nil || *w.TimeoutSeconds > 5 {
			t.Errorf("webhook %s holds writers up for long", w.Name)
		}
		if len(w.MatchConditions) == 0 {
			t.Errorf("webhook %s is asked about objects that are being deleted", w.Name)
		}
	}
}
