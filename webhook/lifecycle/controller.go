package lifecycle

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// fieldOwner is our name in the managed fields of objects.
const fieldOwner = "h2o-webhook"

// Options are what the reconcilers need besides a manager.
type Options struct {
	// Settings gives the defaults that hold at the time of an injection.
	Settings func() policy.Settings
	// Limits are times that differ between installations.
	Limits life.Limits
}

// CacheByObject restricts a cache to labelled objects, so that its memory
// follows the managed clusters and not the size of the Kubernetes cluster; and to
// what of them is looked at.
func CacheByObject() map[client.Object]cache.ByObject {
	shared := newSharedStrings()
	sharing := func(strip toolscache.TransformFunc) toolscache.TransformFunc {
		return func(object any) (any, error) {
			stripped, err := strip(object)
			if kept, is := stripped.(client.Object); is && err == nil {
				shared.share(kept)
			}
			return stripped, err
		}
	}
	return map[client.Object]cache.ByObject{
		&appsv1.StatefulSet{}: {Label: labels.SelectorFromSet(labels.Set{inject.LabelCluster: inject.LabelClusterValue}), Transform: sharing(stripSet)},
		&corev1.Service{}:     {Label: labels.SelectorFromSet(labels.Set{inject.LabelManagedBy: inject.ManagedBy}), Transform: sharing(cache.TransformStripManagedFields())},
		&corev1.Pod{}:         {Label: labelled(inject.LabelClusterName), Transform: sharing(stripPod)},
	}
}

// stripSet empties of a StatefulSet in the cache what is large and never looked
// at. The annotation itself stays: a patch is made from what is there.
func stripSet(object any) (any, error) {
	if set, ok := object.(*appsv1.StatefulSet); ok {
		set.ManagedFields = nil
		if _, has := set.Annotations[corev1.LastAppliedConfigAnnotation]; has {
			set.Annotations[corev1.LastAppliedConfigAnnotation] = ""
		}
		for _, containers := range [][]corev1.Container{set.Spec.Template.Spec.InitContainers, set.Spec.Template.Spec.Containers} {
			for i := range containers {
				containers[i].Resources = corev1.ResourceRequirements{}
			}
		}
	}
	return object, nil
}

// labelled selects what has a label of whatever value.
func labelled(name string) labels.Selector {
	has, err := labels.NewRequirement(name, selection.Exists, nil)
	if err != nil {
		panic(err) // the name is a constant
	}
	return labels.NewSelector().Add(*has)
}

// indexController finds Services and pods by the name of the StatefulSet that
// controls them, so that what a look costs does not follow how many there are.
const indexController = "controller"

// controlledByName selects by indexController.
func controlledByName(name string) client.MatchingFields {
	return client.MatchingFields{indexController: name}
}

// controllerName names the StatefulSet that controls an object, if one does.
func controllerName(object client.Object) []string {
	owner := metav1.GetControllerOf(object)
	if owner == nil || owner.Kind != statefulSetKind.Kind {
		return nil
	}
	return []string{owner.Name}
}

func indexControllers(ctx context.Context, indexer client.FieldIndexer) error {
	for _, object := range []client.Object{&corev1.Service{}, &corev1.Pod{}} {
		if err := indexer.IndexField(ctx, object, indexController, controllerName); err != nil {
			return fmt.Errorf("cannot index by controller: %w", err)
		}
	}
	return nil
}

// reconciler brings one StatefulSet and its Services in line.
type reconciler struct {
	client client.Client // reads from the cache
	live   client.Reader // reads from the API server, also what is not labelled
	events *recorder
	// settings gives the defaults for an injection.
	settings func() policy.Settings
	limits   life.Limits
	metrics  *meters
	told     told
	memory   *memory
	asker    *asker
}

// SetupWithManager adds the reconcilers to a manager, whose cache must hold what
// CacheByObject says. They run on the elected leader only.
func SetupWithManager(ctx context.Context, mgr ctrl.Manager, options Options) error {
	if err := indexControllers(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	remembered := newMemory()
	r := &reconciler{
		client:   mgr.GetClient(),
		live:     mgr.GetAPIReader(),
		events:   newRecorder(mgr.GetClient()),
		settings: options.Settings,
		limits:   options.Limits,
		metrics:  newMeters(metrics.Registry, remembered),
		memory:   remembered,
		asker:    newAsker(),
	}
	if err := mgr.Add(r.events); err != nil {
		return fmt.Errorf("cannot add the recorder of events: %w", err)
	}
	err := ctrl.NewControllerManagedBy(mgr).
		Named("statefulset").
		For(&appsv1.StatefulSet{}).
		Watches(&corev1.Service{}, handler.EnqueueRequestsFromMapFunc(ownerOf)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ownerOf)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 16}). // most of their time they wait for nodes to answer
		Complete(r)
	if err != nil {
		return fmt.Errorf("cannot make the statefulset controller: %w", err)
	}
	return nil
}

// ownerOf maps a Service of ours, or a pod, to the StatefulSet that controls it.
// The set need not be managed any more: then the Service has to go.
func ownerOf(_ context.Context, object client.Object) []reconcile.Request {
	var requests []reconcile.Request
	for _, name := range controllerName(object) {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKey{Namespace: object.GetNamespace(), Name: name}})
	}
	return requests
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
		r.memory.forget(request.NamespacedName)
		return ctrl.Result{}, r.release(ctx, request.NamespacedName)
	}
	if set.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	set.SetGroupVersionKind(statefulSetKind) // the cache leaves it out
	if written, err := r.backfill(ctx, set); err != nil || written {
		return ctrl.Result{}, err // our write comes back as an event
	}
	if !inject.Injected(set) {
		return ctrl.Result{}, nil // it was rejected; there is no cluster
	}
	return r.reconcileCluster(ctx, set)
}

// reconcileCluster follows the cluster of an injected set. The order counts: the
// decision is in the set before the Services follow from it, and they are as
// they have to be before a pod goes.
func (r *reconciler) reconcileCluster(ctx context.Context, set *appsv1.StatefulSet) (ctrl.Result, error) {
	discovery, err := r.find(ctx, client.ObjectKey{Namespace: set.Namespace, Name: inject.DiscoveryServiceName(set)})
	if err != nil {
		return ctrl.Result{}, err
	}
	fenced := stand(discovery, set) != foreign
	up := false
	if fenced && life.Read(set).AwaitsFence() {
		if up, err = r.fenceIsUp(ctx, set, discovery); err != nil {
			return ctrl.Result{}, err
		}
	}
	decision, err := r.follow(ctx, set, fenced, up)
	if err != nil {
		return ctrl.Result{}, err
	}
	result, err := r.reconcileServices(ctx, set)
	if err != nil {
		return result, err
	}
	if len(decision.Delete) > 0 {
		if err := r.deletePods(ctx, set, decision.Delete, decision.Hurry); err != nil {
			return ctrl.Result{}, err
		}
	}
	result.RequeueAfter = sooner(result.RequeueAfter, decision.Again)
	return result, nil
}
