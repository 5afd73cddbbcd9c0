package render

import (
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// putServices puts out the Services of an injected StatefulSet that the inputs
// lack. Two objects of one name would fight, so one of that name is never
// followed by another, fitting or not.
func (r *renderer) putServices(o *object, set *appsv1.StatefulSet) error {
	if problem := inject.ServiceProblem(set); problem != "" {
		r.warn(o, "no discovery Service is rendered: %s", problem)
	} else if err := r.putDiscovery(o, set); err != nil {
		return err
	}
	return r.putLeader(o, set)
}

func (r *renderer) putDiscovery(o *object, set *appsv1.StatefulSet) error {
	wanted := inject.DiscoveryService(set)
	had := r.services[wanted.Namespace+"/"+wanted.Name]
	if had == nil {
		return r.putService(o, wanted)
	}
	if problems := inject.CanDiscover(had, set); len(problems) > 0 {
		r.warn(o, "Service %s of the input cannot be its discovery Service: it %s", wanted.Name, strings.Join(problems, "; it "))
	} else if belongs(had, wanted) && inject.Drifted(had, wanted) {
		r.warnDrifted(o, had)
	}
	return nil
}

func (r *renderer) putLeader(o *object, set *appsv1.StatefulSet) error {
	wanted := inject.LeaderService(set)
	had := r.services[wanted.Namespace+"/"+wanted.Name]
	switch {
	case had == nil:
		return r.putService(o, wanted)
	case !belongs(had, wanted):
		r.warn(o, "Service %s of the input was not made for it: it stays as it is, and no leader Service is rendered", wanted.Name)
	case inject.Drifted(had, wanted):
		r.warnDrifted(o, had)
	}
	return nil
}

func (r *renderer) warnDrifted(o *object, had *corev1.Service) {
	r.warn(o, "Service %s of the input is not what would be rendered now: take it out of the input to have it rendered anew", had.Name)
}

// belongs says whether a Service is the one wanted in an earlier rendering: ours,
// for the same cluster, in the same role.
func belongs(had, wanted *corev1.Service) bool {
	return inject.MadeByUs(had) && had.Name == wanted.Name &&
		had.Labels[inject.LabelClusterName] == wanted.Labels[inject.LabelClusterName] &&
		had.Labels[inject.LabelService] == wanted.Labels[inject.LabelService]
}

// serviceDocument is a Service as a person writes it, without a status.
type serviceDocument struct {
	APIVersion string             `json:"apiVersion"`
	Kind       string             `json:"kind"`
	Metadata   serviceMetadata    `json:"metadata"`
	Spec       corev1.ServiceSpec `json:"spec"`
}

type serviceMetadata struct {
	Name      string            `json:"name"`
	Namespace string            `json:"namespace,omitempty"`
	Labels    map[string]string `json:"labels"`
}

// putService puts out a Service of ours. It names a namespace where its
// StatefulSet does.
func (r *renderer) putService(o *object, s *corev1.Service) error {
	r.services[s.Namespace+"/"+s.Name] = s
	document, err := json.Marshal(serviceDocument{
		s.APIVersion, s.Kind, serviceMetadata{s.Name, o.namespace, s.Labels}, s.Spec,
	})
	if err != nil {
		return o.at.fail(err)
	}
	made := &object{json: document, at: o.at, header: header{s.APIVersion, s.Kind, o.namespace, s.Name, s.Labels}}
	if made.node, err = jsonNode(document); err != nil {
		return o.at.fail(err)
	}
	r.out.Documents = append(r.out.Documents, r.document(nil, made, Added))
	return nil
}
