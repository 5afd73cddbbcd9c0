package observe

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// Changed gets clusters that may have changed, in order, and says whether that
// is enough. A cluster that is gone comes once more, as not managed.
type Changed func([]report.ClusterStatus) (enough bool, err error)

// FollowAll calls changed for all clusters, possibly none, and then again for
// those that change, until the context ends.
func (r *Reader) FollowAll(ctx context.Context, namespace string, changed Changed) error {
	if _, err := r.sets(ctx, namespace); err != nil {
		return err // said at once, where following would try for ever
	}
	withPods, err := r.maySeePods(ctx, namespace, inject.LabelClusterName)
	if err != nil {
		return err
	}
	f := newFollower(r)
	f.followSets(namespace, func(o *metav1.ListOptions) { o.LabelSelector = inject.LabelCluster })
	if withPods {
		f.followPods(namespace, inject.LabelClusterName)
	}
	return f.run(ctx, changed)
}

// FollowOne does the same for one StatefulSet, managed or not.
func (r *Reader) FollowOne(ctx context.Context, namespace, name string, changed Changed) error {
	set, err := r.Set(ctx, namespace, name)
	if err != nil {
		return err
	}
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return fmt.Errorf("cannot read the selector: %w", err)
	}
	withPods, err := r.maySeePods(ctx, namespace, selector.String())
	if err != nil {
		return err
	}
	f := newFollower(r)
	f.followSets(namespace, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	})
	if withPods {
		f.followPods(namespace, selector.String())
	}
	return f.run(ctx, changed)
}

func (r *Reader) maySeePods(ctx context.Context, namespace, selector string) (bool, error) {
	_, err := r.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector, Limit: 1})
	if refused(err) {
		return false, nil
	}
	return err == nil, err
}

// run calls changed until that is enough, the context ends (no error), or the
// API server refuses to go on.
func (f *follower) run(ctx context.Context, changed Changed) error {
	following, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	if err := f.start(following, fail); err != nil {
		return why(ctx, following, err)
	}
	for first := true; ; first = false {
		keys := f.pending.take()
		if first || len(keys) > 0 {
			if enough, err := changed(f.report(keys)); enough || err != nil {
				return err
			}
		}
		select {
		case <-following.Done():
			return why(ctx, following, nil)
		case <-f.pending.wake:
		}
	}
}

// why gives the reason for an end: none where somebody asked for it, the API
// server's where it refused.
func why(asked, following context.Context, err error) error {
	select {
	case <-asked.Done():
		return nil
	default:
	}
	if refusal := context.Cause(following); refusal != nil {
		return refusal
	}
	return err
}

// report says how the clusters of some keys are now.
func (f *follower) report(keys []types.NamespacedName) []report.ClusterStatus {
	clusters := make([]report.ClusterStatus, 0, len(keys))
	for _, key := range keys {
		clusters = append(clusters, f.one(key))
	}
	report.Sort(clusters)
	return clusters
}

func (f *follower) one(key types.NamespacedName) report.ClusterStatus {
	object, has, err := f.sets.GetStore().GetByKey(cache.NewObjectName(key.Namespace, key.Name).String())
	set, ok := object.(*appsv1.StatefulSet)
	if err != nil || !has || !ok {
		return report.Gone(key.Namespace, key.Name)
	}
	facts := report.Facts{Now: time.Now(), Set: set}
	if f.pods != nil {
		facts.PodsKnown = true
		facts.Pods = report.Controlled(f.podsOf(key), set)
	}
	return report.Build(facts)
}

func (f *follower) podsOf(key types.NamespacedName) []corev1.Pod {
	objects, err := f.pods.GetIndexer().ByIndex(bySet, key.String())
	if err != nil {
		return nil // there is no such index, which cannot be
	}
	pods := make([]corev1.Pod, 0, len(objects))
	for _, object := range objects {
		if pod, ok := object.(*corev1.Pod); ok {
			pods = append(pods, *pod)
		}
	}
	return pods
}
