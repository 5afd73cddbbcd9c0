package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

func env(set *appsv1.StatefulSet) map[string]string {
	vars := map[string]string{}
	for _, v := range set.Spec.Template.Spec.Containers[0].Env {
		vars[v.Name] = v.Value
	}
	return vars
}

func (e *test) wantEnv(set *appsv1.StatefulSet, want map[string]string) {
	e.Helper()
	if diff := cmp.Diff(want, env(set)); diff != "" {
		e.Errorf("variables, -want +got:\n%s", diff)
	}
}

func (e *test) injectedEnv(count string) map[string]string {
	return map[string]string{
		"H2O_KUBERNETES_SERVICE_DNS": "demo." + e.namespace + ".svc.cluster.local",
		"H2O_NODE_EXPECTED_COUNT":    count,
		"H2O_NODE_LOOKUP_TIMEOUT":    "180",
		"H2O_KUBERNETES_API_PORT":    "8081",
		"JAVA_TOOL_OPTIONS":          "-Dai.h2o.name=" + e.namespace + "-demo",
		"MINE":                       "1",
	}
}

// unmoved fails when a set's template or revision is another than before.
func (e *test) unmoved(before *appsv1.StatefulSet) {
	e.Helper()
	after := e.set(before.Name)
	if after.Generation != before.Generation || !apiequality.Semantic.DeepEqual(after.Spec, before.Spec) {
		e.Errorf("the set moved from generation %d to %d:\n%s", before.Generation, after.Generation, cmp.Diff(before.Spec, after.Spec))
	}
}

// settled gives a set when the controller has seen it.
func (e *test) settled(name string) *appsv1.StatefulSet {
	e.Helper()
	set := &appsv1.StatefulSet{}
	e.eventually("the controller sees the set", func(ctx context.Context) error {
		if err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, set); err != nil {
			return err
		}
		if set.Status.ObservedGeneration != set.Generation || set.Status.UpdateRevision == "" {
			return fmt.Errorf("it has seen generation %d of %d", set.Status.ObservedGeneration, set.Generation)
		}
		return nil
	})
	return set
}

func TestCreate(t *testing.T) {
	e := newTest(t)
	_, warnings := e.kubectl(managed, "apply", "-f", "-")
	if warnings != "" {
		t.Errorf("a plain set is warned of: %s", warnings)
	}
	set := e.set("demo")
	e.wantEnv(set, e.injectedEnv("3"))
	e.hasServices(set)
	e.eventually("three pods at once", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := cluster.Client.List(ctx, &pods, client.InNamespace(e.namespace), client.MatchingLabels{inject.LabelClusterName: "demo"}); err != nil {
			return err
		}
		if len(pods.Items) != 3 {
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		return nil
	})
}

func TestRejected(t *testing.T) {
	e := newTest(t)
	bad := strings.Replace(managed, "spec:\n  replicas", "  annotations: {h2o.ai/api-prot: \"1\"}\nspec:\n  replicas", 1)
	_, _, err := e.tryKubectl(bad, "apply", "-f", "-")
	if err == nil || !strings.Contains(err.Error(), "annotation h2o.ai/api-prot is unknown: allowed are h2o.ai/api-port") {
		t.Errorf("want a refusal that names the annotation and the allowed ones, got %v", err)
	}
}

func TestUpdate(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	before := e.settled("demo")
	t.Run("a label of the user's moves nothing", func(*testing.T) {
		e.kubectl("", "label", "statefulset", "demo", "team=a")
		e.unmoved(before)
	})
	t.Run("replicas move the count", func(*testing.T) {
		e.kubectl("", "patch", "statefulset", "demo", "--type=merge", "-p", `{"spec":{"replicas":5}}`)
		e.wantEnv(e.set("demo"), e.injectedEnv("5"))
	})
	t.Run("the scale subresource moves the count too", func(*testing.T) {
		e.kubectl("", "scale", "statefulset", "demo", "--replicas=2")
		e.eventually("the count follows", func(context.Context) error {
			if got := env(e.set("demo"))["H2O_NODE_EXPECTED_COUNT"]; got != "2" {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
	})
	t.Run("a variable that the user removed comes back", func(*testing.T) {
		e.kubectl("", "set", "env", "statefulset/demo", "H2O_NODE_LOOKUP_TIMEOUT-")
		e.wantEnv(e.set("demo"), e.injectedEnv("2"))
	})
	t.Run("rollout restart is the user's", func(*testing.T) {
		e.kubectl("", "rollout", "restart", "statefulset/demo")
		set := e.set("demo")
		e.wantEnv(set, e.injectedEnv("2"))
		if set.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] == "" {
			t.Error("the restart did not reach the template")
		}
	})
}

func TestAdoptAndRelease(t *testing.T) {
	e := newTest(t)
	e.kubectl(unmanaged, "apply", "-f", "-")
	before := e.set("demo")
	_, warnings := e.kubectl("", "label", "statefulset", "demo", managedLabelArgument)
	if !strings.Contains(warnings, "podManagementPolicy is OrderedReady and cannot be changed") {
		t.Errorf("want a warning of what cannot be changed, got %q", warnings)
	}
	set := e.set("demo")
	e.wantEnv(set, e.injectedEnv("3"))
	e.hasServices(set)
	e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
	after := e.set("demo")
	if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
		t.Errorf("taking the label off does not give back what was there, -before +after:\n%s", diff)
	}
	if _, has := after.Annotations["h2o.ai/injected"]; has {
		t.Error("the record is left behind")
	}
	e.hasNoService("demo")
	e.hasNoService("demo-leader")
}

const managedLabelArgument = "h2o.ai/cluster=true"

func TestReleaseSaysWhatStays(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	_, warnings := e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
	if !strings.Contains(warnings, "spec.serviceName: demo and spec.podManagementPolicy: Parallel cannot be changed back") {
		t.Errorf("want a warning of what stays, got %q", warnings)
	}
	e.wantEnv(e.set("demo"), map[string]string{"MINE": "1"})
}

func TestDryRun(t *testing.T) {
	e := newTest(t)
	out, _ := e.kubectl(managed, "apply", "--dry-run=server", "-o", "yaml", "-f", "-")
	if !strings.Contains(out, "H2O_KUBERNETES_SERVICE_DNS") {
		t.Errorf("a dry run does not show the injection:\n%s", out)
	}
	e.kubectl(unmanaged, "apply", "-f", "-")
	before := e.set("demo")
	e.kubectl("", "label", "--dry-run=server", "statefulset", "demo", managedLabelArgument)
	e.unmoved(before)
	// A real one after it shows that the reconcilers had their chance.
	e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: other"), "apply", "-f", "-")
	e.hasServices(e.set("other"))
	e.hasNoService("demo")
	e.hasNoService("demo-leader")
}

func TestDiff(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	if out, _, err := e.tryKubectl(managed, "diff", "-f", "-"); err != nil || out != "" {
		t.Errorf("want no difference to what is stored, got %v\n%s", err, out)
	}
	changed := strings.Replace(managed, "replicas: 3", "replicas: 4", 1)
	out, _, err := e.tryKubectl(changed, "diff", "-f", "-")
	if err == nil {
		t.Error("want exit code 1 for a difference")
	}
	for _, line := range []string{"-  replicas: 3", "+  replicas: 4", `+          value: "4"`} {
		if !strings.Contains(out, line) {
			t.Errorf("want %q in the difference:\n%s", line, out)
		}
	}
}

func TestApplyTwice(t *testing.T) {
	for name, flags := range map[string][]string{"client-side": {"apply"}, "server-side": {"apply", "--server-side"}} {
		t.Run(name, func(t *testing.T) {
			e := newTest(t)
			args := slices.Concat(flags, []string{"-f", "-"})
			e.kubectl(managed, args...)
			before := e.settled("demo")
			for range 2 {
				e.kubectl(managed, args...)
				e.unmoved(before)
			}
			if after := e.settled("demo"); after.Status.UpdateRevision != before.Status.UpdateRevision {
				t.Errorf("a new revision: %s after %s", after.Status.UpdateRevision, before.Status.UpdateRevision)
			}
			changed := strings.Replace(managed, `value: "1"`, `value: "2"`, 1)
			e.kubectl(changed, args...)
			want := e.injectedEnv("3")
			want["MINE"] = "2"
			e.wantEnv(e.set("demo"), want)
		})
	}
}

func TestReplaceWithOriginal(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "create", "-f", "-")
	before := e.settled("demo")
	// kubectl itself reads before it replaces, and the controller writes the
	// status meanwhile: a conflict is tried again, as a person would.
	e.eventually("replace", func(context.Context) error {
		_, _, err := e.tryKubectl(managed, "replace", "-f", "-")
		if err != nil && !strings.Contains(err.Error(), "the object has been modified") {
			t.Fatal(err)
		}
		return err
	})
	e.unmoved(before)
	if got := e.set("demo").Annotations["h2o.ai/injected"]; got != before.Annotations["h2o.ai/injected"] {
		t.Errorf("the record changed to %s", got)
	}
	e.hasServices(before)
}

func TestUnmanagedIsLeftAlone(t *testing.T) {
	e := newTest(t)
	e.kubectl(unmanaged, "apply", "-f", "-")
	set := e.set("demo")
	if inject.Injected(set) || len(env(set)) != 1 {
		t.Errorf("an unlabelled set was touched: %v", env(set))
	}
	document, err := json.Marshal(set.Spec)
	if err != nil || strings.Contains(string(document), "h2o.ai/") {
		t.Errorf("an unlabelled set carries something of ours: %s (%v)", document, err)
	}
}
