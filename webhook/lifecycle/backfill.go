package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// backfill injects a managed set that was written while the webhook was away,
// or whose replicas changed without its template. It says whether it wrote.
func (r *reconciler) backfill(ctx context.Context, set *appsv1.StatefulSet) (bool, error) {
	object := inject.Object{Set: set}
	result, err := inject.Review(object, object, r.settings())
	if rejected, ok := errors.AsType[*inject.RejectedError](err); ok {
		if r.warn(ctx, set, nil, eventCannotInject, rejected.Error()) {
			r.metrics.backfills.WithLabelValues("rejected").Inc()
		}
		return false, nil // trying again helps nobody before the set changes
	}
	if err != nil {
		return false, err
	}
	r.warn(ctx, set, nil, eventCannotInject, "")
	if len(result.Changes) == 0 {
		return false, nil
	}
	if err := r.patch(ctx, set, result.Changes); err != nil {
		r.metrics.backfills.WithLabelValues("failed").Inc()
		return false, fmt.Errorf("cannot inject: %w", err)
	}
	r.metrics.backfills.WithLabelValues("injected").Inc()
	log.FromContext(ctx).Info("statefulset injected", "uid", set.UID, "changes", len(result.Changes))
	r.events.event(ctx, set, nil, corev1.EventTypeNormal, eventInjected, summary(result))
	return true, nil
}

// uninject takes back what was injected into a set whose label was taken off
// while the webhook was away. To the brain it is that very update.
func (r *reconciler) uninject(ctx context.Context, set *appsv1.StatefulSet) error {
	managed := set.DeepCopy()
	metav1.SetMetaDataLabel(&managed.ObjectMeta, inject.LabelCluster, inject.LabelClusterValue)
	result, err := inject.Review(inject.Object{Set: managed}, inject.Object{Set: set}, r.settings())
	if err != nil || len(result.Changes) == 0 {
		return err
	}
	if err := r.patch(ctx, set, result.Changes); err != nil {
		return fmt.Errorf("cannot uninject: %w", err)
	}
	r.metrics.backfills.WithLabelValues("uninjected").Inc()
	log.FromContext(ctx).Info("statefulset uninjected", "uid", set.UID, "changes", len(result.Changes))
	r.events.event(ctx, set, nil, corev1.EventTypeNormal, eventUninjected, fmt.Sprintf("%d changes taken back: label %s=%s is gone", len(result.Changes), inject.LabelCluster, inject.LabelClusterValue))
	return nil
}

// patch makes changes to a set, if it is the one still that they were decided for.
func (r *reconciler) patch(ctx context.Context, set *appsv1.StatefulSet, changes []inject.Change) error {
	patch, err := guarded(changes, set.ResourceVersion)
	if err != nil {
		return err
	}
	return r.client.Patch(ctx, set.DeepCopy(), client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldOwner))
}

// guarded renders changes as a JSON patch that fails when the object is no
// longer the one that they were decided for.
func guarded(changes []inject.Change, resourceVersion string) ([]byte, error) {
	patch, err := inject.Patch(changes)
	if err != nil {
		return nil, err
	}
	var operations []json.RawMessage
	if err := json.Unmarshal(patch, &operations); err != nil {
		return nil, fmt.Errorf("cannot read the changes: %w", err)
	}
	test, err := json.Marshal(map[string]string{"op": "test", "path": "/metadata/resourceVersion", "value": resourceVersion})
	if err != nil {
		return nil, fmt.Errorf("cannot guard the changes: %w", err)
	}
	return json.Marshal(append([]json.RawMessage{test}, operations...))
}

func summary(result inject.Result) string {
	text := fmt.Sprintf("%d changes made this StatefulSet an H2O cluster; annotation %s lists them", len(result.Changes), "h2o.ai/injected")
	said := make([]string, 0, len(result.Warnings))
	for _, w := range result.Warnings {
		said = append(said, w.String())
	}
	if len(said) > 0 {
		text += "; " + strings.Join(said, "; ")
	}
	return text
}
