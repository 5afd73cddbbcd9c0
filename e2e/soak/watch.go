package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// watcher sees everything that happens in the namespace.
type watcher struct {
	*ledger
	space  *h2otest.Space
	client kubernetes.Interface
}

func watch(ctx context.Context, space *h2otest.Space, s *score) (*watcher, error) {
	client, err := kubernetes.NewForConfig(space.Config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	w := &watcher{
		ledger: &ledger{pods: map[types.UID]*pod{}, holders: map[string][]*pod{}, clusters: map[string]*cluster{}, score: s},
		space:  space, client: client,
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(space.Namespace))
	_, podsErr := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.take(o, false) },
		UpdateFunc: func(_, o any) { w.take(o, false) },
		DeleteFunc: func(o any) { w.take(o, true) },
	})
	_, setsErr := factory.Apps().V1().StatefulSets().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.take(o, false) },
		UpdateFunc: func(_, o any) { w.take(o, false) },
	})
	if err := errors.Join(podsErr, setsErr); err != nil {
		return nil, fmt.Errorf("cannot watch: %w", err)
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	return w, nil
}

func (w *watcher) take(object any, gone bool) {
	if last, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	switch o := object.(type) {
	case *corev1.Pod:
		w.notePod(o, gone)
	case *appsv1.StatefulSet:
		w.noteSet(o)
	}
}

// cluster begins to follow one.
func (w *watcher) cluster(name string) *cluster {
	w.lock.Lock()
	defer w.lock.Unlock()
	c := &cluster{ledger: w.ledger, name: name}
	w.clusters[name] = c
	return c
}

// phases counts clusters by their phase.
func (w *watcher) phases() string {
	w.lock.Lock()
	defer w.lock.Unlock()
	count := map[life.Phase]int{}
	for _, c := range w.clusters {
		count[c.status.Phase]++
	}
	var said []string
	for _, phase := range life.Phases() {
		if count[phase] > 0 {
			said = append(said, fmt.Sprintf("%s %d", phase, count[phase]))
		}
	}
	return strings.Join(said, ", ")
}

// say adds to what is told when something is wrong.
func (c *cluster) say(format string, args ...any) {
	c.log = append(c.log, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

const toldOfStory = 25 // lines

// story tells what happened to a cluster lately, and how its nodes are.
func (c *cluster) story() string {
	lines := slices.Clone(c.log[max(0, len(c.log)-toldOfStory):])
	for _, p := range c.present() {
		line := fmt.Sprintf("%s %s at %s, revision %s, %d restarts in place", p.name, p.uid, p.address, p.revision, p.restarts)
		if !p.deleting.IsZero() {
			line += ", being deleted since " + p.deleting.UTC().Format("15:04:05.000")
		}
		if r := p.report; r != nil {
			line += fmt.Sprintf(", started %s, lookup of %d %q saw %v, cloud %v", r.Started.UTC().Format("15:04:05.000"), r.Expected, r.Ended, r.addresses(), r.Cloud)
		}
		lines = append(lines, line)
	}
	return "    " + strings.Join(lines, "\n    ")
}

// present are the pods that are there, in order.
func (c *cluster) present() []*pod {
	var found []*pod
	for _, p := range c.pods {
		if p.set == c.name && p.gone.IsZero() {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b *pod) int { return strings.Compare(a.name+string(a.uid), b.name+string(b.uid)) })
	return found
}

// named gives the newest pod of a name that is not being deleted, nil for none.
func (c *cluster) named(name string) *pod {
	for _, p := range c.present() {
		if p.name == name && p.alive() {
			return p
		}
	}
	return nil
}
