package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// lookAgain is when a Service whose end or change nobody may tell us of is looked
// at again, such as one that is not ours and thus not in our cache; soonAgain when
// one that is about to go is.
const (
	lookAgain = time.Minute
	soonAgain = time.Second
)

// reconcileServices makes the Services of an injected set what they must be.
func (r *reconciler) reconcileServices(ctx context.Context, set *appsv1.StatefulSet) (ctrl.Result, error) {
	wanted := []*corev1.Service{inject.LeaderService(set)}
	problem := inject.ServiceProblem(set)
	r.warn(ctx, set, nil, eventInvalidServiceName, problem)
	if problem == "" {
		wanted = append(wanted, inject.DiscoveryService(set))
	}
	var result ctrl.Result
	for _, service := range wanted {
		again, err := r.reconcileService(ctx, set, service)
		if err != nil {
			return ctrl.Result{}, err
		}
		result.RequeueAfter = sooner(result.RequeueAfter, again)
	}
	return result, r.removeUnwanted(ctx, set, wanted)
}

// reconcileService makes one Service what it must be. It returns when to look
// again where no event will tell.
func (r *reconciler) reconcileService(ctx context.Context, set *appsv1.StatefulSet, wanted *corev1.Service) (time.Duration, error) {
	current, err := r.find(ctx, client.ObjectKeyFromObject(wanted))
	if err != nil {
		return 0, err
	}
	standing := stand(current, set)
	if standing == foreign {
		r.reportForeign(ctx, set, current, wanted)
		return lookAgain, nil
	}
	r.warn(ctx, set, wanted, eventForeignService, "")
	switch {
	case standing == absent:
		return 0, r.create(ctx, set, wanted)
	case standing == going:
		return lookAgain, nil
	case standing == former:
		return soonAgain, nil
	case inject.Headless(current) != inject.Headless(wanted):
		// An address cannot be taken away or given, so it is made anew.
		return soonAgain, r.remove(ctx, set, current)
	case standing == orphan:
		return 0, r.write(ctx, set, current, wanted, eventServiceAdopted, "adopted")
	case inject.Outdated(current, wanted):
		return 0, r.write(ctx, set, current, wanted, "", "led")
	case inject.Drifted(current, wanted):
		return 0, r.write(ctx, set, current, wanted, eventServiceRepaired, "repaired")
	default:
		return 0, nil
	}
}

// find reads a Service: from the cache, which holds ours, else from the server,
// which knows all. Nil means that there is none.
func (r *reconciler) find(ctx context.Context, key client.ObjectKey) (*corev1.Service, error) {
	for _, reader := range []client.Reader{r.client, r.live} {
		service := &corev1.Service{}
		err := reader.Get(ctx, key, service)
		if err == nil {
			return service, nil
		}
		if !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("cannot read service %s: %w", key.Name, err)
		}
	}
	return nil, nil
}

// create makes a Service. It is a plain create, not an apply: an apply would
// take over what somebody else made in the meantime.
func (r *reconciler) create(ctx context.Context, set *appsv1.StatefulSet, wanted *corev1.Service) error {
	own(wanted, set)
	err := r.client.Create(ctx, wanted, client.FieldOwner(fieldOwner))
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil // the set is about to go too
	}
	if err != nil {
		return fmt.Errorf("cannot create service %s: %w", wanted.Name, err)
	}
	r.report(ctx, set, wanted, eventServiceCreated, "created")
	return nil
}

// write makes a Service of ours what it must be: an update under the resource
// version that was read, so that nothing newer and no other object is touched.
// What others added, and what the server gave, stays.
func (r *reconciler) write(ctx context.Context, set *appsv1.StatefulSet, current, wanted *corev1.Service, event, action string) error {
	repaired := current.DeepCopy()
	inject.Repair(repaired, wanted)
	own(repaired, set)
	if err := r.client.Update(ctx, repaired, client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("cannot write service %s: %w", wanted.Name, err)
	}
	r.report(ctx, set, wanted, event, action)
	return nil
}

// own makes a set the controller of a Service that has none. Other owners stay.
func own(service *corev1.Service, set *appsv1.StatefulSet) {
	if metav1.GetControllerOf(service) != nil {
		return
	}
	service.OwnerReferences = slices.DeleteFunc(service.OwnerReferences, func(owner metav1.OwnerReference) bool { return owner.UID == set.UID })
	service.OwnerReferences = append(service.OwnerReferences, *metav1.NewControllerRef(set, statefulSetKind))
}

// remove deletes the very Service that was judged.
func (r *reconciler) remove(ctx context.Context, set *appsv1.StatefulSet, service *corev1.Service) error {
	meant := client.Preconditions{UID: &service.UID, ResourceVersion: &service.ResourceVersion}
	if err := r.client.Delete(ctx, service, meant); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("cannot delete service %s: %w", service.Name, err)
	}
	r.report(ctx, set, service, eventServiceRemoved, "removed")
	return nil
}

// reportForeign says what keeps somebody else's Service from serving the
// cluster. A discovery Service that fits is used as it is, in silence.
func (r *reconciler) reportForeign(ctx context.Context, set *appsv1.StatefulSet, current, wanted *corev1.Service) {
	role := wanted.Labels[inject.LabelService]
	problems := []string{"was not made by this product, so clients have no address of the leader's: rename it"}
	if role == inject.ServiceDiscovery {
		problems = inject.CanDiscover(current, set)
	}
	note := ""
	if len(problems) > 0 {
		note = fmt.Sprintf("service %s %s; it is left as it is", current.Name, strings.Join(problems, "; "))
	}
	if r.warn(ctx, set, current, eventForeignService, note) {
		r.metrics.foreign.WithLabelValues(role).Inc()
	}
}

// report counts and logs what was done to a Service, and tells it where there is
// an Event for it.
func (r *reconciler) report(ctx context.Context, set *appsv1.StatefulSet, service *corev1.Service, event, action string) {
	role := service.Labels[inject.LabelService]
	r.metrics.services.WithLabelValues(role, action).Inc()
	log.FromContext(ctx).Info("service "+action, "service", service.Name, "role", role)
	if event != "" {
		r.events.event(ctx, set, service, corev1.EventTypeNormal, event, fmt.Sprintf("%s service %s %s", role, service.Name, action))
	}
}

// removeUnwanted deletes Services that were made for the set under other names.
func (r *reconciler) removeUnwanted(ctx context.Context, set *appsv1.StatefulSet, wanted []*corev1.Service) error {
	names := map[string]bool{}
	for _, service := range wanted {
		names[service.Name] = true
	}
	made, err := r.controlledBy(ctx, set.Namespace, set.Name)
	if err != nil {
		return err
	}
	for i := range made {
		if stand(&made[i], set) != ours || names[made[i].Name] {
			continue
		}
		if err := r.remove(ctx, set, &made[i]); err != nil {
			return err
		}
	}
	return nil
}

// release takes back what was made for a set that is not managed any more: its
// Services, and the injection where the label went while the webhook was away.
// The Services of a set that is gone are the garbage collector's.
func (r *reconciler) release(ctx context.Context, key client.ObjectKey) error {
	made, err := r.controlledBy(ctx, key.Namespace, key.Name)
	if err != nil || len(made) == 0 {
		return err
	}
	set := &appsv1.StatefulSet{}
	if err := r.live.Get(ctx, key, set); err != nil {
		return client.IgnoreNotFound(err)
	}
	if set.DeletionTimestamp != nil || inject.Managed(set) {
		return nil // collected, or seen in the cache soon
	}
	set.SetGroupVersionKind(statefulSetKind)
	if err := r.uninject(ctx, set); err != nil {
		return err // the Services stay, so that this is tried again
	}
	return r.removeUnwanted(ctx, set, nil)
}

// controlledBy lists our Services that a StatefulSet of a name controls.
func (r *reconciler) controlledBy(ctx context.Context, namespace, name string) ([]corev1.Service, error) {
	var made corev1.ServiceList
	if err := r.client.List(ctx, &made, client.InNamespace(namespace), controlledByName(name)); err != nil {
		return nil, fmt.Errorf("cannot list services: %w", err)
	}
	return made.Items, nil
}
