package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// stripPod keeps of a pod in the cache what package life looks at, so that
// memory follows the number of pods and not what is in them.
func stripPod(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	stripped := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: pod.Name, Namespace: pod.Namespace, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
			OwnerReferences: pod.OwnerReferences, Labels: map[string]string{},
		},
		Spec:   corev1.PodSpec{NodeName: pod.Spec.NodeName},
		Status: corev1.PodStatus{Phase: pod.Status.Phase, Message: pod.Status.Message, Reason: pod.Status.Reason, PodIP: pod.Status.PodIP},
	}
	for _, name := range []string{inject.LabelClusterName, appsv1.ControllerRevisionHashLabelKey} {
		if value, has := pod.Labels[name]; has {
			stripped.Labels[name] = value
		}
	}
	stripped.Status.Conditions = stripConditions(pod.Status.Conditions)
	stripped.Status.ContainerStatuses = make([]corev1.ContainerStatus, 0, len(pod.Status.ContainerStatuses))
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		stripped.Status.ContainerStatuses = append(stripped.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, RestartCount: c.RestartCount, State: c.State, LastTerminationState: c.LastTerminationState,
		})
	}
	return stripped, nil
}

// stripConditions keeps what says that a pod is ready or since when it is not, and
// why it has no node.
func stripConditions(all []corev1.PodCondition) []corev1.PodCondition {
	var kept []corev1.PodCondition
	for i := range all {
		c := &all[i]
		if c.Type == corev1.PodReady {
			kept = append(kept, corev1.PodCondition{Type: corev1.PodReady, Status: c.Status, LastTransitionTime: c.LastTransitionTime})
		}
		if waits := c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse; waits {
			kept = append(kept, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: c.Message})
		}
	}
	return kept
}

// pods gives all pods that a set controls. The cache holds labelled ones; those
// from before the set was managed have no label, and are asked for while the
// set's status counts more pods than the cache holds.
func (r *reconciler) pods(ctx context.Context, set *appsv1.StatefulSet) ([]life.Pod, error) {
	container, _ := inject.Node(set)
	var list corev1.PodList
	// They are only read, so they need not be copied.
	if err := r.client.List(ctx, &list, client.InNamespace(set.Namespace), controlledByName(set.Name), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	pods := controlled(list.Items, set, container)
	if len(pods) >= int(set.Status.Replicas) {
		return pods, nil
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("cannot read selector: %w", err)
	}
	list = corev1.PodList{}
	if err := r.live.List(ctx, &list, client.InNamespace(set.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("cannot list pods: %w", err)
	}
	return controlled(list.Items, set, container), nil
}

func controlled(pods []corev1.Pod, set *appsv1.StatefulSet, container string) []life.Pod {
	var own []life.Pod
	for i := range pods {
		if metav1.IsControlledBy(&pods[i], set) {
			own = append(own, life.PodFrom(&pods[i], container, inject.LabelClusterName))
		}
	}
	return own
}

// deletePods deletes pods all at once, in a hurry with a second for each to end.
// Each is meant by its UID, so that a new one of the same name is never hit.
func (r *reconciler) deletePods(ctx context.Context, set *appsv1.StatefulSet, pods []life.Pod, hurry bool) error {
	problems := make([]error, len(pods))
	var done sync.WaitGroup
	for i := range pods {
		done.Go(func() {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: pods[i].Name}}
			options := []client.DeleteOption{client.Preconditions{UID: &pods[i].UID}}
			if hurry {
				options = append(options, client.GracePeriodSeconds(1))
			}
			err := r.client.Delete(ctx, pod, options...)
			if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				problems[i] = fmt.Errorf("cannot delete pod %s: %w", pods[i].Name, err)
			}
		})
	}
	done.Wait()
	log.FromContext(ctx).Info("old pods deleted", "uid", set.UID, "pods", len(pods))
	return errors.Join(problems...)
}

// fenceIsUp says whether nobody can find an old pod any more: the discovery
// Service selects nobody, or is not there, and its slices are empty, which is what
// DNS is made from.
func (r *reconciler) fenceIsUp(ctx context.Context, set *appsv1.StatefulSet, discovery *corev1.Service) (bool, error) {
	if wanted := inject.DiscoveryService(set); discovery != nil && !maps.Equal(discovery.Spec.Selector, wanted.Spec.Selector) {
		return false, nil
	}
	var slices discoveryv1.EndpointSliceList
	name := client.MatchingLabels{discoveryv1.LabelServiceName: inject.DiscoveryServiceName(set)}
	if err := r.live.List(ctx, &slices, client.InNamespace(set.Namespace), name); err != nil {
		return false, fmt.Errorf("cannot list the endpoints of service %s: %w", inject.DiscoveryServiceName(set), err)
	}
	for i := range slices.Items {
		if len(slices.Items[i].Endpoints) > 0 {
			return false, nil
		}
	}
	return true, nil
}
