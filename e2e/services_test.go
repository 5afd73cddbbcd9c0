package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestDelete(t *testing.T) {
	for _, how := range []string{"background", "foreground"} {
		t.Run(how, func(t *testing.T) {
			e := newTest(t)
			e.kubectl(managed, "apply", "-f", "-")
			e.hasServices(e.set("demo"))
			e.kubectl("", "delete", "statefulset", "demo", "--cascade="+how)
			e.hasNoService("demo")
			e.hasNoService("demo-leader")
			e.gone("demo")
		})
	}
}

func (e *test) gone(name string) {
	e.Helper()
	e.eventually("the set is gone", func(ctx context.Context) error {
		err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, &appsv1.StatefulSet{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}

func TestOrphansAreAdopted(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	e.kubectl("", "delete", "statefulset", "demo", "--cascade=orphan")
	e.gone("demo")
	service := &corev1.Service{}
	e.get(service, "demo")
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	adopted := &corev1.Service{}
	e.get(adopted, "demo")
	if adopted.UID != service.UID {
		t.Error("the orphaned service was made anew instead of adopted")
	}
}

func TestForeignService(t *testing.T) {
	const foreign = `{apiVersion: v1, kind: Service, metadata: {name: demo}, spec: {SPEC}}`
	for name, test := range map[string]struct{ spec, problem string }{
		"one that cannot discover is left and said":            {"selector: {app: other}, ports: [{port: 80}]", "is not headless"},
		"one without ports is left and said":                   {"clusterIP: None, selector: {app: h2o}", "has no port"},
		"one that fits, as in the documented example, is used": {"clusterIP: None, selector: {app: h2o}, ports: [{port: 54321}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTest(t)
			e.kubectl(strings.Replace(foreign, "SPEC", test.spec, 1), "apply", "-f", "-")
			before := &corev1.Service{}
			e.get(before, "demo")
			e.kubectl(managed, "apply", "-f", "-")
			e.eventually("the leader service", func(ctx context.Context) error {
				return cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: "demo-leader"}, &corev1.Service{})
			})
			if test.problem != "" {
				e.hasEvent("demo", "ForeignService", test.problem)
			}
			e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
			e.hasNoService("demo-leader")
			after := &corev1.Service{}
			e.get(after, "demo")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the service of somebody else was touched:\n%s", diff)
			}
		})
	}
}

func TestDrift(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	set := e.set("demo")
	for name, edit := range map[string]struct {
		service string
		change  func(*corev1.Service)
	}{
		"a selector":          {"demo", func(s *corev1.Service) { s.Spec.Selector = map[string]string{"a": "b"} }},
		"not ready addresses": {"demo", func(s *corev1.Service) { s.Spec.PublishNotReadyAddresses = false }},
		"another port":        {"demo-leader", func(s *corev1.Service) { s.Spec.Ports[0].Port = 80 }},
		"another target":      {"demo-leader", func(s *corev1.Service) { s.Spec.Ports[0].TargetPort.IntVal = 80 }},
		"one port more":       {"demo-leader", func(s *corev1.Service) { s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: "x", Port: 9}) }},
		"another type":        {"demo-leader", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeLoadBalancer }},
		"a node port":         {"demo-leader", func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeNodePort }},
		"an outside name": {"demo-leader", func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
		}},
		"an outside name, headless": {"demo", func(s *corev1.Service) {
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
		}},
		"a label of ours":      {"demo", func(s *corev1.Service) { delete(s.Labels, "h2o.ai/service") }},
		"the label that marks": {"demo", func(s *corev1.Service) { delete(s.Labels, "app.kubernetes.io/managed-by") }},
	} {
		t.Run(name, func(*testing.T) {
			e.hasServices(set)
			e.edit(edit.service, edit.change)
			e.hasServices(set)
		})
	}
	t.Run("a deleted service", func(*testing.T) {
		e.kubectl("", "delete", "service", "demo", "demo-leader")
		e.hasServices(set)
	})
	t.Run("what others add stays", func(t *testing.T) {
		e.edit("demo", func(s *corev1.Service) {
			metav1.SetMetaDataLabel(&s.ObjectMeta, "example.org/team", "a")
			s.Spec.Selector["x"] = "y"
		})
		e.hasServices(set)
		service := &corev1.Service{}
		e.get(service, "demo")
		if service.Labels["example.org/team"] != "a" {
			t.Error("a label of somebody else was removed")
		}
	})
}

func (e *test) edit(name string, change func(*corev1.Service)) {
	e.Helper()
	e.eventually("an edit", func(ctx context.Context) error {
		service := &corev1.Service{}
		if err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, service); err != nil {
			return err
		}
		change(service)
		return cluster.Client.Update(ctx, service)
	})
}

func TestSteadyStateWritesNothing(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	versions := func() string {
		out, _ := e.kubectl("", "get", "services", "-o", "jsonpath={.items[*].metadata.resourceVersion}")
		return out
	}
	before := versions()
	// Another set's whole life passes through the same reconciler meanwhile.
	e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: other"), "apply", "-f", "-")
	e.hasServices(e.set("other"))
	e.kubectl("", "annotate", "statefulset", "demo", "example.org/touched=true")
	e.kubectl("", "delete", "statefulset", "other")
	e.hasNoService("other")
	if after := versions(); after != before {
		t.Errorf("services were written in steady state: %s, then %s", before, after)
	}
}
