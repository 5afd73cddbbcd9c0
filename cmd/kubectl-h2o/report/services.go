package report

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// Owners of Services, see Service.Owner.
const (
	ownerUs      = "ours"
	ownerNoneYet = "not owned yet"
	ownerOther   = "somebody else's"
	ownerMissing = "missing"
	ownerUnknown = "unknown"
)

// services says what the two Services of an injected set do.
func services(f Facts) []Service {
	return []Service{
		serviceOf(f, inject.ServiceDiscovery, inject.DiscoveryService(f.Set)),
		serviceOf(f, inject.ServiceLeader, inject.LeaderService(f.Set)),
	}
}

func serviceOf(f Facts, role string, wanted *corev1.Service) Service {
	s := Service{Role: role, Name: wanted.Name, Owner: ownerUnknown}
	if f.More.Unknown[UnknownServices] != "" {
		return s
	}
	current := f.More.Services[wanted.Name]
	if current == nil {
		s.Owner, s.Problems = ownerMissing, []string{"is missing: the webhook makes it"}
		if problem := inject.ServiceProblem(f.Set); problem != "" && role == inject.ServiceDiscovery {
			s.Problems = []string{"cannot be made: " + problem}
		}
		return s
	}
	s.Owner = owner(current, f)
	s.Selects = labels.FormatLabels(current.Spec.Selector)
	s.Addresses = endpoints(f.More.Slices[wanted.Name])
	s.Problems = serviceProblems(f, s, current, wanted)
	return s
}

func owner(s *corev1.Service, f Facts) string {
	controller := metav1.GetControllerOf(s)
	marked := inject.MadeByUs(s) || s.Labels[inject.LabelService] != ""
	switch {
	case controller != nil && controller.UID == f.Set.UID && marked:
		return ownerUs
	case controller == nil && inject.MadeByUs(s):
		return ownerNoneYet
	default:
		return ownerOther
	}
}

func serviceProblems(f Facts, s Service, current, wanted *corev1.Service) []string {
	switch {
	case s.Owner == ownerOther && s.Role == inject.ServiceDiscovery:
		return inject.CanDiscover(current, f.Set)
	case s.Owner == ownerOther:
		return []string{"was made by somebody else, so clients have no address of the leader's: rename it"}
	case inject.Drifted(current, wanted):
		return []string{"is not what it must be: the webhook repairs it"}
	case f.More.Unknown[UnknownSlices] != "":
		return nil
	case s.Role == inject.ServiceLeader && life.Read(f.Set).Leader != "" && len(s.Addresses) == 0:
		return []string{"leads to nobody, although the cluster is formed: the leader's pod is not ready"}
	}
	return nil
}

// endpoints lists the addresses behind a Service.
func endpoints(from []discoveryv1.EndpointSlice) []Endpoint {
	var all []Endpoint
	for i := range from {
		for j := range from[i].Endpoints {
			e := &from[i].Endpoints[j]
			pod := ""
			if e.TargetRef != nil && e.TargetRef.Kind == "Pod" {
				pod = e.TargetRef.Name
			}
			for _, address := range e.Addresses {
				// Not said means ready.
				all = append(all, Endpoint{Address: address, Pod: pod, Ready: e.Conditions.Ready == nil || *e.Conditions.Ready})
			}
		}
	}
	slices.SortFunc(all, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Address, b.Address))
	})
	return all
}

// dnsOf says what DNS servers make of the discovery Service's endpoints: an SRV
// record for each port of each ready address.
func dnsOf(f Facts, all []Service) *DNS {
	name, _ := inject.ServiceDNS(f.Set)
	d := &DNS{Name: name, Answers: []string{}}
	discovery := all[0]
	if d.Unknown = f.More.Unknown[UnknownSlices]; d.Unknown != "" {
		return d
	}
	for _, e := range discovery.Addresses {
		if e.Ready && !slices.Contains(d.Answers, e.Address) {
			d.Answers = append(d.Answers, e.Address)
		}
	}
	wanted := inject.Replicas(f.Set)
	switch {
	case life.Read(f.Set).Restart != nil:
		d.Problem = "while the cluster restarts nobody is to be found: old and new nodes must not meet"
	case len(d.Answers) == 0:
		d.Problem = "nobody is to be found: no pod has an address yet, or the service selects none"
	case !hasPort(f.More.Slices[discovery.Name]):
		d.Problem = "the service has no port, so there are no SRV records, and H2O asks for those only"
	case len(d.Answers) < wanted:
		d.Problem = "fewer addresses than wanted nodes: they look for each other until all are there"
	case len(d.Answers) > wanted:
		d.Problem = "more addresses than wanted nodes: a node that looks now goes on with a wrong one"
	}
	return d
}

func hasPort(all []discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(all, func(s discoveryv1.EndpointSlice) bool { return len(s.Ports) > 0 })
}
