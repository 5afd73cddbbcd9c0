package observe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// bySet is the index of pods by the StatefulSet that controls them.
const bySet = "statefulset"

// follower keeps StatefulSets and their pods up to date by watches, and knows
// which clusters changed.
type follower struct {
	reader     *Reader
	sets, pods cache.SharedIndexInformer // pods is nil where nobody may see them
	pending    *pending

	lock sync.Mutex
	said string // the last notice
}

func newFollower(r *Reader) *follower {
	return &follower{reader: r, pending: &pending{keys: map[types.NamespacedName]bool{}, wake: make(chan struct{}, 1)}}
}

func (f *follower) factory(namespace string, tweak func(*metav1.ListOptions)) informers.SharedInformerFactory {
	return informers.NewSharedInformerFactoryWithOptions(f.reader.kube, 0, informers.WithNamespace(namespace), informers.WithTweakListOptions(tweak))
}

func (f *follower) followSets(namespace string, tweak func(*metav1.ListOptions)) {
	f.sets = f.factory(namespace, tweak).Apps().V1().StatefulSets().Informer()
}

func (f *follower) followPods(namespace, selector string) {
	f.pods = f.factory(namespace, func(o *metav1.ListOptions) { o.LabelSelector = selector }).Core().V1().Pods().Informer()
}

// start begins to watch and waits until everything that is there is known. The
// API server's refusal, then or later, goes to fail.
func (f *follower) start(ctx context.Context, fail context.CancelCauseFunc) error {
	informers := []cache.SharedIndexInformer{f.sets}
	if f.pods != nil {
		if err := f.pods.AddIndexers(cache.Indexers{bySet: controllerOf}); err != nil {
			return fmt.Errorf("cannot follow pods: %w", err)
		}
		informers = append(informers, f.pods)
	}
	var synced []cache.InformerSynced
	for _, informer := range informers {
		if err := informer.SetWatchErrorHandlerWithContext(f.onError(fail)); err != nil {
			return fmt.Errorf("cannot follow changes: %w", err)
		}
		registration, err := informer.AddEventHandler(f.handler())
		if err != nil {
			return fmt.Errorf("cannot follow changes: %w", err)
		}
		synced = append(synced, registration.HasSynced)
		go informer.RunWithContext(ctx)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return ctx.Err()
	}
	return nil
}

// onError ends the following where the API server refuses. Everything else is
// tried again by the informer, and said.
func (f *follower) onError(fail context.CancelCauseFunc) cache.WatchErrorHandlerWithContext {
	return func(_ context.Context, _ *cache.Reflector, err error) {
		switch {
		case refused(err):
			fail(fmt.Errorf("cannot follow changes: %w", err))
		case errors.Is(err, io.EOF), errors.Is(err, context.Canceled), apierrors.IsResourceExpired(err), apierrors.IsGone(err):
			// Watches end from time to time, and when we do.
		default:
			f.notice(fmt.Sprintf("lost the connection to the API server, trying again: %v", err))
		}
	}
}

// notice says a thing once until another is said.
func (f *follower) notice(line string) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.said != line {
		f.said = line
		f.reader.Notice(line)
	}
}

// handler notes the cluster of whatever changes.
func (f *follower) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    f.note,
		UpdateFunc: func(_, now any) { f.note(now) },
		DeleteFunc: f.note,
	}
}

func (f *follower) note(object any) {
	if unseen, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = unseen.Obj
	}
	m, ok := object.(metav1.Object)
	if !ok {
		return
	}
	key := types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()}
	if owner := metav1.GetControllerOf(m); owner != nil && owner.Kind == "StatefulSet" {
		key.Name = owner.Name
		if _, has, err := f.sets.GetStore().GetByKey(key.String()); err != nil || !has {
			return // a pod of a set that is not followed, or goes
		}
	}
	f.pending.add(key)
}

func controllerOf(object any) ([]string, error) {
	m, ok := object.(metav1.Object)
	if !ok {
		return nil, nil
	}
	owner := metav1.GetControllerOf(m)
	if owner == nil {
		return nil, nil
	}
	return []string{types.NamespacedName{Namespace: m.GetNamespace(), Name: owner.Name}.String()}, nil
}

// pending holds which clusters changed since somebody last looked.
type pending struct {
	lock sync.Mutex
	keys map[types.NamespacedName]bool
	wake chan struct{}
}

func (p *pending) add(key types.NamespacedName) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.keys[key] = true
	select {
	case p.wake <- struct{}{}:
	default: // a wake-up is on its way
	}
}

func (p *pending) take() []types.NamespacedName {
	p.lock.Lock()
	defer p.lock.Unlock()
	keys := make([]types.NamespacedName, 0, len(p.keys))
	for key := range p.keys {
		keys = append(keys, key)
	}
	clear(p.keys)
	return keys
}
