package report_test

import (
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// scene is one cluster with everything that can be looked up about it.
type scene struct {
	*testing.T
	report.Facts
}

// plain is a StatefulSet that nobody has injected.
func plain(t *testing.T, name string) *scene {
	t.Helper()
	three := int32(3)
	set := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "science", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-5 * time.Hour)),
			Labels: map[string]string{inject.LabelCluster: inject.LabelClusterValue},
		},
		Spec: appsv1.StatefulSetSpec{
			Replicas: &three, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "h2o"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "h2o"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "h2o", Image: "h2o:3.46.0.12"}}},
			},
		},
	}
	more := &report.More{
		Namespace: &corev1.Namespace{Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}},
		Services:  map[string]*corev1.Service{}, Slices: map[string][]discoveryv1.EndpointSlice{}, Probes: map[string]string{},
		Webhook: &admissionregistrationv1.MutatingWebhookConfiguration{}, Unknown: map[string]string{},
	}
	return &scene{t, report.Facts{Now: now, Set: set, PodsKnown: true, More: more}}
}

// injected is one that was injected and has three pods that run.
func injected(t *testing.T, name string) *scene {
	t.Helper()
	s := plain(t, name)
	s.inject()
	for i := range 3 {
		s.Pods = append(s.Pods, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, i), UID: types.UID(fmt.Sprintf("%s-%d", name, i)), Labels: s.Set.Spec.Template.Labels},
			Spec:       corev1.PodSpec{NodeName: "machine-1"},
			Status: corev1.PodStatus{
				Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.0.0.%d", i+1),
				ContainerStatuses: []corev1.ContainerStatus{{Name: "h2o", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
			},
		})
	}
	return s
}

func (s *scene) inject() {
	s.Helper()
	result, err := inject.Inject(inject.Object{Set: s.Set}, policy.Defaults())
	if err != nil {
		s.Fatal(err)
	}
	s.Set = result.Set.DeepCopy()
}

// formed is one that is a cluster, as the webhook keeps it.
func formed(t *testing.T, name string) *scene {
	t.Helper()
	s := injected(t, name)
	leader := name + "-1"
	status := life.Status{
		Phase: life.PhaseFormed, Since: now.Add(-time.Hour), Message: "a cluster of 3, led by " + leader + ", formed in 8.8 s", Leader: leader,
		Restarts: 2, LastCause: life.CauseMemberLost, LastRestart: now.Add(-time.Hour),
		Generation: &life.Generation{Formed: now.Add(-time.Hour), Leader: leader, Proof: life.ProofAnswers, Members: map[string]life.Member{}},
	}
	for i := range s.Pods {
		status.Generation.Members[s.Pods[i].Name] = life.Member{UID: s.Pods[i].UID}
		s.More.Probes[s.Pods[i].Name] = report.ProbeFollows
	}
	s.More.Probes[leader] = report.ProbeLeads
	s.Pods[1].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	s.keep(status)
	s.serve()
	return s
}

// keep writes a status where the webhook keeps it.
func (s *scene) keep(status life.Status) {
	s.Helper()
	annotations, err := status.Annotations()
	if err != nil {
		s.Fatal(err)
	}
	for name, value := range annotations {
		metav1.SetMetaDataAnnotation(&s.Set.ObjectMeta, name, value)
	}
}

// serve makes the Services as the webhook would, and their endpoints.
func (s *scene) serve() {
	s.Helper()
	controller := *metav1.NewControllerRef(s.Set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	for _, service := range []*corev1.Service{inject.DiscoveryService(s.Set), inject.LeaderService(s.Set)} {
		service.OwnerReferences = []metav1.OwnerReference{controller}
		s.More.Services[service.Name] = service
		slice := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{}}}
		for i := range s.Pods {
			if service.Spec.Selector["h2o.ai/selects"] != "" {
				continue
			}
			if leader := service.Spec.Selector[appsv1.StatefulSetPodNameLabel]; leader == "" || leader == s.Pods[i].Name {
				slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
					Addresses: []string{s.Pods[i].Status.PodIP}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: s.Pods[i].Name},
				})
			}
		}
		s.More.Slices[service.Name] = []discoveryv1.EndpointSlice{slice}
	}
}

// lose has H2O in the last pod crash, again and again.
func (s *scene) lose() {
	pod := &s.Pods[2]
	pod.Status.ContainerStatuses[0] = corev1.ContainerStatus{
		Name: "h2o", RestartCount: 4,
		State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off 40s"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 255, Reason: "Error"}},
	}
	delete(s.More.Probes, pod.Name)
	s.More.Events = []eventsv1.Event{
		{Type: "Warning", Reason: "BackOff", Note: "Back-off restarting failed container", EventTime: metav1.NewMicroTime(now.Add(-time.Minute)), Regarding: corev1.ObjectReference{Kind: "Pod", Name: pod.Name, UID: pod.UID}, Series: &eventsv1.EventSeries{Count: 7, LastObservedTime: metav1.NewMicroTime(now.Add(-10 * time.Second))}},
		{Type: "Warning", Reason: "Degraded", Note: "it lost a node", EventTime: metav1.NewMicroTime(now.Add(-2 * time.Minute)), Regarding: corev1.ObjectReference{Kind: "StatefulSet", Name: s.Set.Name, UID: s.Set.UID}},
		{Type: "Warning", Reason: "Unhealthy", Note: "Readiness probe failed: HTTP probe failed with statuscode: 404", Regarding: corev1.ObjectReference{Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		{Type: "Warning", Reason: "Other", Note: "of another", Regarding: corev1.ObjectReference{Kind: "Pod", Name: "other", UID: "other"}},
		{Type: "Normal", Reason: "Formed", Note: "no warning", Regarding: corev1.ObjectReference{Kind: "StatefulSet", Name: s.Set.Name, UID: s.Set.UID}},
	}
}
