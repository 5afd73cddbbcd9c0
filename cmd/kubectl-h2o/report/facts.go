package report

import (
	"cmp"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Facts are the objects that a report is made from.
type Facts struct {
	Now time.Time
	Set *appsv1.StatefulSet
	// Pods are those that the set controls; PodsKnown is false where they could
	// not be listed.
	Pods      []corev1.Pod
	PodsKnown bool
	// More is what is looked up for one cluster only, nil in a list.
	More *More
}

// More are the facts for a report in full.
type More struct {
	Namespace *corev1.Namespace
	// Services and Slices are those in the set's namespace by name of the
	// Service; one that is not there has no entry.
	Services map[string]*corev1.Service
	Slices   map[string][]discoveryv1.EndpointSlice
	// Probes are what the pods' probe servers answered, by name of the pod.
	Probes map[string]string
	Events []eventsv1.Event
	// Webhook is the product's registration, nil where there is none; Secret
	// holds its certificate.
	Webhook *admissionregistrationv1.MutatingWebhookConfiguration
	Secret  *corev1.Secret
	// Unknown says why something could not be looked up, by what.
	Unknown map[string]string
}

// What could not be looked up, in More.Unknown.
const (
	UnknownNamespace = "namespace"
	UnknownPods      = "pods"
	UnknownServices  = "services"
	UnknownSlices    = "endpointslices"
	UnknownEvents    = "events"
	UnknownWebhook   = "mutatingwebhookconfigurations"
	UnknownSecret    = "secret" // of the certificate
)

// Answers of probe servers, see Pod.Probe. NotAllowed is also said of anything
// else that the API server refuses.
const (
	ProbeLeads   = "leads"
	ProbeFollows = "follows"
	ProbeNone    = "-"
	NotAllowed   = "not allowed"
)

// settings are those of the webhook that injected a set, as far as they can be
// told from it: a workstation does not know the cluster's DNS suffix.
func settings(set *appsv1.StatefulSet) policy.Settings {
	s := policy.Defaults()
	if _, domain := inject.ServiceDNS(set); domain != "" {
		s.ClusterDomain = domain
	}
	return s
}

// Controlled gives those pods of a list that a set controls, by their ordinals.
func Controlled(pods []corev1.Pod, set *appsv1.StatefulSet) []corev1.Pod {
	var own []corev1.Pod
	for i := range pods {
		if metav1.IsControlledBy(&pods[i], set) {
			own = append(own, pods[i])
		}
	}
	slices.SortFunc(own, func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return own
}

// lifePods reads what package life knows of pods.
func lifePods(f Facts) []life.Pod {
	container, _ := inject.Node(f.Set)
	pods := make([]life.Pod, 0, len(f.Pods))
	for i := range f.Pods {
		pods = append(pods, life.PodFrom(&f.Pods[i], container, inject.LabelClusterName))
	}
	return pods
}
