package inject

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// autoscalers are the names under which a HorizontalPodAutoscaler writes: its
// own service account, or the controller manager's user where its controllers
// share that (--use-service-account-credentials=false, the default). No other
// controller in there changes a StatefulSet's replicas.
// Source: k8s.io/kubernetes cmd/kube-controller-manager/app, createClientBuilders;
// of pkg/controller only podautoscaler writes scales.
var autoscalers = []string{
	"system:serviceaccount:kube-system:horizontal-pod-autoscaler",
	"system:kube-controller-manager",
}

// Resize is a change of how many nodes a managed set has.
type Resize struct {
	// From and To are numbers of nodes.
	From, To int32
	// User is the name of who asks for it, empty where that is not known.
	User string
}

// ReviewScale decides on a resize that is asked for through the scale of a
// stored set, as `kubectl scale` and autoscalers do. What it says is what Review
// says where the set itself is edited. A set that is not managed may do as it likes.
func ReviewScale(set *appsv1.StatefulSet, resize Resize, defaults policy.Settings) ([]Warning, error) {
	if !Managed(set) {
		return nil, nil
	}
	settings, err := policy.Resolve(defaults, set.Annotations)
	if err != nil {
		settings = defaults // it was refused when it was written, and is no reason to stand in the way
	}
	return reviewResize(resize, settings.Resize, life.Read(set))
}

// reviewUpdate decides on the resize that is in an update of a managed set. What
// the written object allows holds; what is known of the cluster is in the stored one.
func reviewUpdate(old, object Object, defaults policy.Settings) ([]Warning, error) {
	if !Managed(old.Set) || replicas(old.Set) == replicas(object.Set) {
		return nil, nil
	}
	settings, err := policy.Resolve(defaults, object.Set.Annotations)
	if err != nil {
		return nil, &RejectedError{Message: err.Error()}
	}
	resize := Resize{From: replicas(old.Set), To: replicas(object.Set), User: object.User}
	return reviewResize(resize, settings.Resize, life.Read(old.Set))
}

// reviewResize refuses a resize, or warns of what it costs: a formed cluster
// cannot change its size, so it is restarted as a whole and loses its memory. To
// stop it (0) is no resize and is never refused to a person; to start it costs nothing.
func reviewResize(resize Resize, allowed policy.Resize, status life.Status) ([]Warning, error) {
	formed := status.Generation != nil
	starts, stops := resize.From == 0, resize.To == 0
	switch {
	case resize.From == resize.To:
		return nil, nil
	case slices.Contains(autoscalers, resize.User):
		return nil, &RejectedError{Message: fmt.Sprintf("a HorizontalPodAutoscaler may not resize an H2O cluster, from %d to %d nodes: it cannot change its size while it runs, so every step would restart it and lose what is in its memory; delete the autoscaler",
			resize.From, resize.To)}
	case starts || stops && !formed:
		return nil, nil
	case !formed:
		return []Warning{newWarning(ReasonResize, "the H2O cluster is not formed, and begins anew with %d nodes instead of %d", resize.To, resize.From)}, nil
	case stops:
		return []Warning{newWarning(ReasonResize, "0 replicas stop the H2O cluster: what is in its memory is lost")}, nil
	case allowed == policy.ResizeDeny:
		return nil, &RejectedError{Message: fmt.Sprintf("annotation %s: %q keeps the formed H2O cluster from being resized from %d to %d nodes, which would restart it and lose what is in its memory; stop it first (0 replicas), or set %q",
			policy.AnnotationResize, policy.ResizeDeny, resize.From, resize.To, policy.ResizeAllow)}
	default:
		return []Warning{newWarning(ReasonResize, "an H2O cluster cannot change its size while it runs: from %d to %d nodes it is restarted as a whole, and what is in its memory is lost", resize.From, resize.To)}, nil
	}
}
