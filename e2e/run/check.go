package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// limit is how long the controllers may take.
const limit = time.Minute

// withoutUs is what the cluster would hold of an unlabelled set: the server
// fills in its defaults, and nothing is stored.
func (d demo) withoutUs(manifest string) (string, error) {
	unlabelled := strings.Replace(manifest, inject.LabelCluster, "example.org/unlabelled", 1)
	out, _, err := d.cluster.RunKubectl(d.ctx, unlabelled, "create", "--dry-run=server", "-o", "json", "-f", "-")
	if err != nil {
		return "", err
	}
	set := &appsv1.StatefulSet{}
	if err := json.Unmarshal([]byte(out), set); err != nil {
		return "", fmt.Errorf("cannot read what the server would hold: %w", err)
	}
	set.Labels = map[string]string{inject.LabelCluster: inject.LabelClusterValue}
	return plainYAML(set)
}

// plainYAML renders what a user cares for.
func plainYAML(set *appsv1.StatefulSet) (string, error) {
	shown := set.DeepCopy()
	shown.SetGroupVersionKind(appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	meta := &shown.ObjectMeta
	meta.UID, meta.ResourceVersion, meta.ManagedFields, meta.Generation = "", "", nil, 0
	meta.CreationTimestamp.Reset()
	delete(meta.Annotations, corev1.LastAppliedConfigAnnotation)
	if record, ok := meta.Annotations[policy.AnnotationInjected]; ok {
		meta.Annotations[policy.AnnotationInjected] = fmt.Sprintf("%.40s… (%d bytes)", record, len(record))
	}
	document, err := runtime.DefaultUnstructuredConverter.ToUnstructured(shown)
	if err != nil {
		return "", fmt.Errorf("cannot render the StatefulSet: %w", err)
	}
	delete(document, "status")
	text, err := yaml.Marshal(document)
	return string(text), err
}

// check proves that the cluster holds what it must, and gives the set.
func (d demo) check() (*appsv1.StatefulSet, error) {
	set := &appsv1.StatefulSet{}
	key := client.ObjectKey{Namespace: "default", Name: "h2o"}
	if err := d.cluster.Client.Get(d.ctx, key, set); err != nil {
		return nil, fmt.Errorf("cannot read the StatefulSet: %w", err)
	}
	if !inject.Injected(set) {
		return nil, errors.New("the StatefulSet is not injected")
	}
	for _, want := range []func(*appsv1.StatefulSet) *corev1.Service{inject.DiscoveryService, inject.LeaderService} {
		err := harness.Poll(d.ctx, limit, func(ctx context.Context) error {
			// Whom a Service selects follows from the set's status.
			if err := d.cluster.Client.Get(ctx, key, set); err != nil {
				return fmt.Errorf("cannot read the StatefulSet: %w", err)
			}
			return d.checkService(ctx, set, want(set))
		})
		if err != nil {
			return nil, err
		}
	}
	return set, harness.Poll(d.ctx, limit, func(ctx context.Context) error { return d.checkPods(ctx, set) })
}

func (d demo) checkService(ctx context.Context, set *appsv1.StatefulSet, wanted *corev1.Service) error {
	service := &corev1.Service{}
	if err := d.cluster.Client.Get(ctx, client.ObjectKeyFromObject(wanted), service); err != nil {
		return fmt.Errorf("cannot read service %s: %w", wanted.Name, err)
	}
	if inject.Drifted(service, wanted) {
		return fmt.Errorf("service %s is not as it must be", wanted.Name)
	}
	if len(service.OwnerReferences) != 1 || service.OwnerReferences[0].UID != set.UID {
		return fmt.Errorf("service %s is not owned by the StatefulSet", wanted.Name)
	}
	return nil
}

func (d demo) checkPods(ctx context.Context, set *appsv1.StatefulSet) error {
	var pods corev1.PodList
	if err := d.cluster.Client.List(ctx, &pods, client.InNamespace(set.Namespace), client.MatchingLabels(inject.DiscoveryService(set).Spec.Selector)); err != nil {
		return fmt.Errorf("cannot list pods: %w", err)
	}
	if len(pods.Items) != int(*set.Spec.Replicas) {
		return fmt.Errorf("%d of %d pods are there", len(pods.Items), *set.Spec.Replicas)
	}
	for i := range pods.Items {
		container := pods.Items[i].Spec.Containers[0]
		for _, v := range []corev1.EnvVar{
			{Name: inject.EnvServiceDNS, Value: "h2o.default.svc.cluster.local"},
			{Name: inject.EnvExpectedCount, Value: "3"},
		} {
			if !slices.Contains(container.Env, v) {
				return fmt.Errorf("pod %s lacks %s=%s", pods.Items[i].Name, v.Name, v.Value)
			}
		}
	}
	return nil
}
