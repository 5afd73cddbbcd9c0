package lifecycle

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// standing is what a Service under a name that we want is to us.
type standing string

const (
	// absent: nobody has the name.
	absent standing = "absent"
	// going: it is being deleted, and something holds it still.
	going standing = "going"
	// ours: we made it for this set.
	ours standing = "ours"
	// orphan: made by this product, controlled by nobody: rendered by the
	// command line, or left over by a deletion that orphaned it.
	orphan standing = "orphan"
	// former: made for an earlier set of the same name, about to be collected.
	former standing = "former"
	// foreign: somebody else's, never to be changed.
	foreign standing = "foreign"
)

// stand says what a Service is to a set; nil means that there is none.
func stand(service *corev1.Service, set *appsv1.StatefulSet) standing {
	if service == nil {
		return absent
	}
	owner := metav1.GetControllerOf(service)
	marked := inject.MadeByUs(service)
	switch {
	case service.DeletionTimestamp != nil:
		return going
	case owner != nil && owner.UID == set.UID && (marked || service.Labels[inject.LabelService] != ""):
		return ours // also when somebody took one label of ours off it
	case !marked:
		return foreign
	case owner == nil:
		return orphan
	case owner.Kind == statefulSetKind.Kind && owner.Name == set.Name:
		return former
	default:
		return foreign
	}
}
