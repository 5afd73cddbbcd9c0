//go:build h2o

package h2o

import (
	_ "embed"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// label is what a user adds.
const label = inject.LabelCluster + "=" + inject.LabelClusterValue

// documented is the example of H2O's documentation, with the label.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../config/samples/documented.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocumented takes the documented example as it stands, with its own
// Service, and the label. Its DNS name is of another namespace than this one.
func TestDocumented(t *testing.T) {
	t.Parallel()
	e := cluster.Test(t)
	warnings := e.Apply(documented(t))
	warnedOf(e, warnings, "H2O_KUBERNETES_SERVICE_DNS")
	service := &corev1.Service{}
	if err := e.Space.Get(t.Context(), service, "h2o-service"); err != nil {
		t.Fatal(err)
	}
	e.Formed("h2o-stateful-set", h2otest.FormLimit)
	isCluster(e, "h2o-stateful-set", 3, h2otest.PortProbe)
	hadRestarts(e, "h2o-stateful-set", 0)
	after := &corev1.Service{}
	if err := e.Space.Get(t.Context(), after, "h2o-service"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(service, after); diff != "" {
		t.Errorf("the user's own Service was changed:\n%s", diff)
	}
}

// TestUnlabelled takes the documented example without the label: it stays what
// it is, and forms as it always did. Then it is adopted by labelling it.
func TestUnlabelled(t *testing.T) {
	t.Parallel()
	e := cluster.Test(t)
	const set = "h2o-stateful-set"
	domain, err := cluster.ClusterDomain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plain := strings.Replace(documented(t), "  labels:\n    h2o.ai/cluster: \"true\"\n", "", 1)
	plain = strings.Replace(plain, "h2o-service.default.svc.cluster.local", "h2o-service."+e.Space.Namespace+".svc."+domain, 1)
	if warnings := e.Apply(plain); len(warnings) > 0 {
		t.Errorf("want no word about what is not ours, got %q", warnings)
	}
	isUntouched(e, set, plain)
	// Until H2O's nodes are one cloud, by the probes and by H2O itself.
	e.Eventually("it forms by itself", h2otest.FormLimit, formsAlone(e, set, 3))
	isUntouched(e, set, plain)
	cloud := alone(e, set)
	if cloud.Size != 3 || !cloud.Healthy || !cloud.Consensus {
		t.Errorf("want a healthy cloud of 3 in consensus, got %+v", cloud)
	}
	hasOwnMembers(e, set, cloud)
	refusesAtFollowers(e, cloud)

	before := e.Pods(set)
	_, problems, err := cluster.RunKubectl(t.Context(), "", "-n", e.Space.Namespace, "label", "statefulset", set, label)
	if err != nil {
		t.Fatal(err)
	}
	warnedOf(e, []string{problems}, "podManagementPolicy")
	e.Formed(set, h2otest.FormLimit)
	isCluster(e, set, 3, h2otest.PortProbe)
	// Its own Service cannot be fenced: should new nodes meet old ones, another
	// restart heals it.
	if restarts := status(e, set).Restarts; restarts < 1 {
		t.Errorf("want the whole cluster restarted, got %d restarts", restarts)
	}
	for _, pod := range e.Pods(set) {
		if slices.ContainsFunc(before, func(p corev1.Pod) bool { return p.UID == pod.UID }) {
			t.Errorf("%s is from before the adoption", pod.Name)
		}
	}
	adopted, err := e.Space.Set(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	if adopted.Spec.PodManagementPolicy != appsv1.OrderedReadyPodManagement {
		t.Errorf("want OrderedReady, which cannot be changed, got %s", adopted.Spec.PodManagementPolicy)
	}
}

// isUntouched proves that a set is stored as its manifest says and the server
// completes it, without a trace of the product.
func isUntouched(e *h2otest.Test, name, manifest string) {
	e.Helper()
	stored, err := e.Space.Set(e.Context(), name)
	if err != nil {
		e.Fatal(err)
	}
	written := &appsv1.StatefulSet{}
	first, _, _ := strings.Cut(manifest, "\n---")
	if err := yaml.Unmarshal([]byte(first), written); err != nil {
		e.Fatal(err)
	}
	for key := range stored.Annotations {
		if key != corev1.LastAppliedConfigAnnotation {
			e.Errorf("it has annotation %s", key)
		}
	}
	for _, entry := range stored.ManagedFields {
		if strings.Contains(entry.Manager, "h2o-webhook") {
			e.Errorf("%s owns fields of it", entry.Manager)
		}
	}
	is, want := stored.Spec.Template.Spec.Containers[0], written.Spec.Template.Spec.Containers[0]
	if diff := cmp.Diff(map[string]any{
		"labels": written.Labels, "template's labels": written.Spec.Template.Labels, "service": written.Spec.ServiceName, "replicas": written.Spec.Replicas,
		"containers": 1, "env": want.Env, "ports": want.Ports, "probe": want.ReadinessProbe.HTTPGet.Port, "image": cluster.H2OImage(), "resources": want.Resources,
		"policy": appsv1.OrderedReadyPodManagement, "strategy": appsv1.RollingUpdateStatefulSetStrategyType,
	}, map[string]any{
		"labels": stored.Labels, "template's labels": stored.Spec.Template.Labels, "service": stored.Spec.ServiceName, "replicas": stored.Spec.Replicas,
		"containers": len(stored.Spec.Template.Spec.Containers), "env": is.Env, "ports": is.Ports, "probe": is.ReadinessProbe.HTTPGet.Port, "image": is.Image, "resources": is.Resources,
		"policy": stored.Spec.PodManagementPolicy, "strategy": stored.Spec.UpdateStrategy.Type,
	}); diff != "" {
		e.Errorf("it is not what its user wrote:\n%s", diff)
	}
	for _, annotation := range policy.WrittenAnnotations() {
		if _, has := stored.Spec.Template.Annotations[annotation]; has {
			e.Errorf("its template has annotation %s", annotation)
		}
	}
}

//go:embed testdata/chart.yaml
var chart string

// TestChart takes what the official Helm chart renders, labelled. Its probe
// server has another port, and its Service is kept as the discovery Service.
func TestChart(t *testing.T) {
	t.Parallel()
	e := cluster.Test(t)
	e.Apply(strings.ReplaceAll(chart, "NAMESPACE", e.Space.Namespace))
	e.Formed("h2o-3", h2otest.FormLimit)
	isCluster(e, "h2o-3", 3, 8080)
	hadRestarts(e, "h2o-3", 0)
}
