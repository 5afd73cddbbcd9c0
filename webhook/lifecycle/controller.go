package lifecycle

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// fieldOwner is our name in the managed fields of objects.
const fieldOwner = "h2o-webhook"

// Options are what the reconcilers need besides a manager.
type Options struct {
	// Settings gives the defaults that hold at the time of an injection.
	Settings func() policy.Settings
}

// CacheByObject restricts a cache to labelled objects, so that its memory
// follows the managed clusters and not the size of the Kubernetes cluster.
func CacheByObject() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&appsv1.StatefulSet{}: {Label: labels.SelectorFromSet(labels.Set{inject.LabelCluster: inject.LabelClusterValue})},
		&corev1.Service{}:     {Label: labels.SelectorFromSet(labels.Set{inject.LabelManagedBy: inject.ManagedBy})},
	}
}

// reconciler brings one StatefulSet and its Services in line.
type reconciler struct {
	client client.Client // reads from the cache
	live   client.Reader // reads from the API server, also what is not labelled
	events events.EventRecorder
	// settings gives the defaults for an injection.
	settings func() policy.Settings
	metrics  *meters
	told     told
}

// SetupWithManager adds the reconcilers to a manager, whose cache must hold what
// CacheByObject says. They run on the elected leader only.
func SetupWithManager(mgr ctrl.Manager, options Options) error {
	r := &reconciler{
		client:   mgr.GetClient(),
		live:     mgr.GetAPIReader(),
		events:   mgr.GetEventRecorder(fieldOwner),
		settings: options.Settings,
		metrics:  newMeters(metrics.Registry),
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("statefulset").
		For(&appsv1.StatefulSet{}).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(ownerOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).
		Complete(r)
	if err != nil {
		return fmt.Errorf("cannot make the statefulset controller: %w", err)
	}
	return nil
}

// ownerOf maps a Service of ours to the StatefulSet that controls it. The set
// need not be managed any more: then the Service has to go.
func ownerOf(_ context.Context, service client.Object) []reconcile.Request {
	owner := metav1.GetControllerOf(service)
	if owner == nil || owner.Kind != statefulSetKind.Kind {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: service.GetNamespace(), Name: owner.Name}}}
}

var statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// Reconcile looks at one StatefulSet. The cache holds managed sets only, so one
// that is not found is gone or not managed any more.
func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	set := &appsv1.StatefulSet{}
	err := r.client.Get(ctx, request.NamespacedName, set)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("cannot read statefulset: %w", err)
	}
	if err != nil {
		r.told.forget(request.NamespacedName)
		return ctrl.Result{}, r.release(ctx, request.NamespacedName)
	}
	if set.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	set.SetGroupVersionKind(statefulSetKind) // the cache leaves it out
	if written, err := r.backfill(ctx, set); err != nil || written {
		return ctrl.Result{}, err // our write comes back as an event
	}
	return r.reconcileServices(ctx, set)
}
