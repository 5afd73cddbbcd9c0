package lifecycle

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Sets gives a function that finds managed StatefulSets in a cache, which must
// hold what CacheByObject says and be one that has not started yet. The function
// never waits and never asks the API server: before the cache has synced it
// finds nothing. It works on every replica, elected or not.
func Sets(ctx context.Context, cached cache.Cache) (func(namespace, name string) *appsv1.StatefulSet, error) {
	informer, err := cached.GetInformer(ctx, &appsv1.StatefulSet{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("cannot watch statefulsets: %w", err)
	}
	return func(namespace, name string) *appsv1.StatefulSet {
		if !informer.HasSynced() {
			return nil
		}
		set := &appsv1.StatefulSet{}
		if err := cached.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, set); err != nil {
			return nil // it is not in the cache, and so not ours
		}
		return set
	}, nil
}
