package inject

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Labels on the Services that the product makes.
const (
	// LabelManagedBy with value ManagedBy marks what this product made.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "h2o-webhook"
	// LabelService says which of a cluster's Services one is.
	LabelService     = "h2o.ai/service"
	ServiceDiscovery = "discovery"
	ServiceLeader    = "leader"
)

// labelSelects is in a selector that must match nobody; no pod has it.
const (
	labelSelects  = "h2o.ai/selects"
	selectsNobody = "nobody"
)

// DiscoveryService is the headless Service through which the nodes of an
// injected StatefulSet find each other. It publishes nodes that are not ready,
// since H2O's followers are never ready, and it has a port, since H2O asks for
// SRV records and a Service without ports has none.
//
// While the cluster restarts it selects nobody: this fence keeps the new nodes
// from the old ones, whose addresses would become part of their cloud.
func DiscoveryService(set *appsv1.StatefulSet) *corev1.Service {
	s := service(set, DiscoveryServiceName(set), ServiceDiscovery)
	s.Spec.ClusterIP = corev1.ClusterIPNone
	s.Spec.PublishNotReadyAddresses = true
	if life.Read(set).Restart != nil {
		s.Spec.Selector[labelSelects] = selectsNobody
	}
	return s
}

// LeaderService is the address for clients of an injected StatefulSet. It leads
// to the pod of the proved leader, and to nobody while no cluster is formed:
// a node that is still alone is ready as well.
//
// Where nothing is known of the cluster, as in a manifest, or its pods cannot be
// asked, it leads to whichever pod is ready: of a formed cluster only the leader is.
func LeaderService(set *appsv1.StatefulSet) *corev1.Service {
	s := service(set, LeaderServiceName(set), ServiceLeader)
	status := life.Read(set)
	switch {
	case !life.Known(set) || status.ByReadiness:
	case status.Leader != "":
		s.Spec.Selector[appsv1.StatefulSetPodNameLabel] = status.Leader
	default:
		s.Spec.Selector[labelSelects] = selectsNobody
	}
	return s
}

func service(set *appsv1.StatefulSet, name, role string) *corev1.Service {
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: set.Namespace,
			Labels: map[string]string{
				LabelManagedBy:   ManagedBy,
				LabelClusterName: ClusterName(set),
				LabelService:     role,
			},
		},
		Spec: corev1.ServiceSpec{
			Type:     corev1.ServiceTypeClusterIP,
			Selector: podSelector(set),
			Ports: []corev1.ServicePort{{
				Name: "h2o", Protocol: corev1.ProtocolTCP,
				Port: policy.PortREST, TargetPort: intstr.FromInt32(policy.PortREST),
			}},
		},
	}
}

// podSelector selects the pods of an injected set: by the label put there for
// it, or by the template's own labels where the set's selector forbids that one.
func podSelector(set *appsv1.StatefulSet) map[string]string {
	own := set.Spec.Template.Labels
	if own[LabelClusterName] == ClusterName(set) {
		return map[string]string{LabelClusterName: own[LabelClusterName]}
	}
	return maps.Clone(own)
}

// MadeByUs says whether a Service carries the label of this product.
func MadeByUs(s *corev1.Service) bool { return s.Labels[LabelManagedBy] == ManagedBy }

// CanDiscover says what keeps a Service that somebody else made from serving as
// the discovery Service of an injected set; empty when it fits.
func CanDiscover(s *corev1.Service, set *appsv1.StatefulSet) []string {
	var problems []string
	if !Headless(s) {
		problems = append(problems, "is not headless: H2O needs clusterIP: None to find every node")
	}
	if len(s.Spec.Ports) == 0 {
		problems = append(problems, fmt.Sprintf("has no port: without one it has no SRV records, and H2O finds nothing; give it port %d", policy.PortREST))
	}
	switch {
	case len(s.Spec.Selector) == 0:
		problems = append(problems, "has no selector: it finds no pods by itself")
	case !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(set.Spec.Template.Labels)):
		problems = append(problems, fmt.Sprintf("selects %s, which the pod template's labels do not match", labels.FormatLabels(s.Spec.Selector)))
	}
	return problems
}

// ServiceProblem says why no Service of a set can be made under its name; empty
// when one can. It can only happen with a spec.serviceName of the user's own.
func ServiceProblem(set *appsv1.StatefulSet) string {
	name := DiscoveryServiceName(set)
	if len(validation.IsDNS1035Label(name)) == 0 {
		return ""
	}
	return fmt.Sprintf("spec.serviceName %q is no valid name of a Service: want at most 63 lower-case letters, digits and dashes, a letter first", name)
}

// Headless says whether a Service has no address of its own, but its pods' only.
func Headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

// Drifted says whether a Service of ours differs from the one wanted in
// anything that the product decides. What the server fills in, such as
// addresses, and the labels and annotations of others are not looked at.
func Drifted(current, wanted *corev1.Service) bool {
	for name, value := range wanted.Labels {
		if current.Labels[name] != value {
			return true
		}
	}
	is, want := current.Spec, wanted.Spec
	return is.Type != want.Type || is.PublishNotReadyAddresses != want.PublishNotReadyAddresses ||
		Headless(current) != Headless(wanted) ||
		!maps.Equal(is.Selector, want.Selector) ||
		!slices.EqualFunc(is.Ports, want.Ports, samePort)
}

// Outdated says whether a Service of ours differs from the one wanted only in
// what follows from its cluster's life: it is as we made it, but for an earlier
// phase.
func Outdated(current, wanted *corev1.Service) bool {
	if maps.Equal(current.Spec.Selector, wanted.Spec.Selector) {
		return false
	}
	lead := func(s *corev1.Service) *corev1.Service {
		c := s.DeepCopy()
		delete(c.Spec.Selector, labelSelects)
		delete(c.Spec.Selector, appsv1.StatefulSetPodNameLabel)
		return c
	}
	return !Drifted(lead(current), lead(wanted))
}

// samePort compares two ports of a Service but for a node port, which the
// server gives.
func samePort(a, b corev1.ServicePort) bool {
	return a.Name == b.Name && a.Protocol == b.Protocol && a.Port == b.Port && a.TargetPort == b.TargetPort
}

// Repair writes everything that the product decides about a Service into one of
// ours that drifted. What the server filled in, and labels and annotations of
// others, stays. Whether a Service is headless cannot be repaired.
func Repair(current, wanted *corev1.Service) {
	if current.Labels == nil {
		current.Labels = map[string]string{}
	}
	maps.Copy(current.Labels, wanted.Labels)
	if current.Spec.Type != wanted.Spec.Type { // what belonged to the other type must go with it
		current.Spec.LoadBalancerClass, current.Spec.HealthCheckNodePort, current.Spec.AllocateLoadBalancerNodePorts = nil, 0, nil
		current.Spec.ExternalTrafficPolicy, current.Spec.ExternalName = "", ""
		current.Spec.LoadBalancerSourceRanges = nil
		current.Spec.LoadBalancerIP = ""
	}
	current.Spec.Type = wanted.Spec.Type
	current.Spec.Selector = maps.Clone(wanted.Spec.Selector)
	current.Spec.PublishNotReadyAddresses = wanted.Spec.PublishNotReadyAddresses
	current.Spec.Ports = slices.Clone(wanted.Spec.Ports)
}
