package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/internal/randomset"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// TestStripPod proves that a pod in the cache says to package life all that the
// whole pod says.
func TestStripPod(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	ended := &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: at}
	for name, status := range map[string]corev1.PodStatus{
		"no status yet": {},
		"it runs and is ready": {
			Phase: corev1.PodRunning, PodIP: "10.0.0.1",
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{
				{Name: "sidecar", RestartCount: 7},
				{Name: "h2o", RestartCount: 2, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}, LastTerminationState: corev1.ContainerState{Terminated: ended}},
			},
		},
		"it is not ready":   {Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse, Message: "not", LastTransitionTime: at}}},
		"it has no node":    {Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/3 nodes are available"}}},
		"its image is none": {ContainerStatuses: []corev1.ContainerStatus{{Name: "h2o", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}}}}},
		"it ended":          {Phase: corev1.PodFailed, Reason: "Evicted", Message: "the node was low on memory", ContainerStatuses: []corev1.ContainerStatus{{Name: "h2o", State: corev1.ContainerState{Terminated: ended}}}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{
					Name: "h2o-0", Namespace: "a", UID: "u", CreationTimestamp: at, DeletionTimestamp: &at,
					Labels: map[string]string{inject.LabelClusterName: "h2o", appsv1.ControllerRevisionHashLabelKey: "h2o-1", "app": "h2o"},
				},
				Spec:   corev1.PodSpec{NodeName: "node-1"},
				Status: status,
			}
			whole := life.PodFrom(pod, "h2o", inject.LabelClusterName)
			stripped, err := stripPod(pod)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(whole, life.PodFrom(stripped.(*corev1.Pod), "h2o", inject.LabelClusterName)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestStripSetChangesNoDecision proves that a set in the cache is judged like the
// whole one.
func TestStripSetChangesNoDecision(t *testing.T) {
	for seed := range uint64(500) {
		whole := randomset.New(rand.NewPCG(seed, 0))
		for i := range whole.Spec.Template.Spec.Containers {
			memory := corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
			whole.Spec.Template.Spec.Containers[i].Resources = corev1.ResourceRequirements{Requests: memory, Limits: memory}
		}
		stripped := whole.DeepCopy()
		if _, err := stripSet(stripped); err != nil {
			t.Fatal(err)
		}
		judge := func(set *appsv1.StatefulSet) string {
			object := inject.Object{Set: set}
			result, err := inject.Review(object, object, policy.Defaults())
			return fmt.Sprint(result.Changes, result.Warnings, err)
		}
		if diff := cmp.Diff(judge(whole), judge(stripped)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// TestStripSet proves that an annotation that is emptied in the cache is still
// there: a patch that took the set for one without would remove it.
func TestStripSet(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}}}
	if _, err := stripSet(set); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{corev1.LastAppliedConfigAnnotation: ""}, set.Annotations); diff != "" {
		t.Error(diff)
	}
}
