package h2otest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Space is a namespace of its own.
type Space struct {
	*Cluster
	Namespace string
}

// NewSpace makes a namespace whose name begins so, if that ends in a dash, or is so.
func (c *Cluster) NewSpace(ctx context.Context, name string) (*Space, error) {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if strings.HasSuffix(name, "-") {
		object.ObjectMeta = metav1.ObjectMeta{GenerateName: "e2e-" + name}
	}
	if err := c.Client.Create(ctx, object); err != nil {
		return nil, fmt.Errorf("cannot make a namespace: %w", err)
	}
	return &Space{Cluster: c, Namespace: object.Name}, nil
}

// Delete has the namespace deleted, and its pods at once so that they free what
// they hold.
func (s *Space) Delete(ctx context.Context) error {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}
	if err := ignoreGone(s.Client.Delete(ctx, object)); err != nil {
		return fmt.Errorf("cannot delete namespace %s: %w", s.Namespace, err)
	}
	_, err := s.Kubectl(ctx, "delete", "pods", "--all", "--grace-period=1", "--wait=false", "--ignore-not-found")
	return err
}

// Kubectl runs kubectl in the namespace and returns what it printed.
func (s *Space) Kubectl(ctx context.Context, args ...string) (string, error) {
	out, _, err := s.RunKubectl(ctx, "", append([]string{"-n", s.Namespace}, args...)...)
	return out, err
}

// Apply applies manifests, in which the plain names of the images stand for the
// ones to be used, and returns the warnings that the user would see.
func (s *Space) Apply(ctx context.Context, manifest string) (warnings []string, err error) {
	manifest = strings.NewReplacer(imageH2O, s.options.H2O, imageClient, s.options.Client).Replace(manifest)
	_, problems, err := s.RunKubectl(ctx, manifest, "-n", s.Namespace, "apply", "-f", "-")
	for line := range strings.Lines(problems) {
		if text, found := strings.CutPrefix(strings.TrimSpace(line), "Warning: "); found {
			warnings = append(warnings, text)
		}
	}
	return warnings, err
}

// Get reads an object of the namespace.
func (s *Space) Get(ctx context.Context, object client.Object, name string) error {
	return s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: name}, object)
}

// Set reads a StatefulSet.
func (s *Space) Set(ctx context.Context, name string) (*appsv1.StatefulSet, error) {
	set := &appsv1.StatefulSet{}
	return set, s.Get(ctx, set, name)
}

// WaitPhase waits, by watching, until a set's cluster is in a phase.
func (s *Space) WaitPhase(ctx context.Context, name, phase string, limit time.Duration) error {
	_, err := s.Kubectl(ctx, "wait", `--for=jsonpath={.metadata.annotations.h2o\.ai/phase}=`+phase, "statefulset/"+name, "--timeout="+limit.String())
	return err
}

// Pods lists the pods of a set in the order of their ordinals.
func (s *Space) Pods(ctx context.Context, name string) ([]corev1.Pod, error) {
	var list corev1.PodList
	if err := s.Client.List(ctx, &list, client.InNamespace(s.Namespace)); err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	pods := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		owner := metav1.GetControllerOf(&p)
		return owner == nil || owner.Kind != "StatefulSet" || owner.Name != name
	})
	slices.SortFunc(pods, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), strings.Compare(a.Name, b.Name))
	})
	return pods, nil
}

// Ready says whether the kubelet calls a pod ready.
func Ready(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// H2OImage is the name of H2O's image.
func (c *Cluster) H2OImage() string { return c.options.H2O }

// Plain is a labelled StatefulSet as its users write it, on a small machine. What
// it says of an image is replaced when it is applied.
func (c *Cluster) Plain(name string, replicas int) string {
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: %[1]s
  labels: {h2o.ai/cluster: "true"}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: h2o
        image: %[3]s
        resources:
          requests: {cpu: 50m, memory: 1Gi}
          limits: {memory: 1Gi}
`, name, replicas, imageH2O)
}
