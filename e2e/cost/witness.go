package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apilabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// endpoints are what DNS is made from: the addresses of each Service, by slice.
type endpoints struct {
	lock   sync.Mutex
	slices map[string]map[string][]string
}

func (e *endpoints) of(service string) []string {
	e.lock.Lock()
	defer e.lock.Unlock()
	var all []string
	for _, addresses := range e.slices[service] {
		all = append(all, addresses...)
	}
	return all
}

func (e *endpoints) see(slice *discoveryv1.EndpointSlice, gone bool) {
	e.lock.Lock()
	defer e.lock.Unlock()
	service := slice.Labels[discoveryv1.LabelServiceName]
	if e.slices[service] == nil {
		e.slices[service] = map[string][]string{}
	}
	var addresses []string
	for i := range slice.Endpoints {
		addresses = append(addresses, slice.Endpoints[i].Addresses...)
	}
	if gone {
		addresses = nil
	}
	e.slices[service][slice.Name] = addresses
}

// witness notes when the API server says what. All times are of this process.
type witness struct {
	dns     *endpoints
	kubelet *kubelet

	lock     sync.Mutex
	clusters map[string]*seen // by name
}

// seen is what the API server said of one cluster.
type seen struct {
	phase  life.Phase
	formed time.Time            // when it last turned formed
	fenced time.Time            // when the discovery Service last came to select nobody
	fence  bool                 // it selects nobody
	pods   map[string]types.UID // that are not going, by name
	going  map[types.UID]time.Time
	counts int32 // container restarts of its pods
}

func newWitness(k *kubelet, dns *endpoints) *witness {
	return &witness{dns: dns, kubelet: k, clusters: map[string]*seen{}}
}

// watch follows all objects until the context ends; it returns when it has seen
// what is there.
func (w *witness) watch(ctx context.Context, config *rest.Config, options cache.Options) error {
	c, err := cache.New(config, options)
	if err != nil {
		return fmt.Errorf("cannot watch: %w", err)
	}
	for _, object := range []client.Object{&corev1.Pod{}, &appsv1.StatefulSet{}, &corev1.Service{}, &discoveryv1.EndpointSlice{}} {
		informer, err := c.GetInformer(ctx, object)
		if err != nil {
			return fmt.Errorf("cannot watch: %w", err)
		}
		_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { w.see(ctx, o, false) },
			UpdateFunc: func(_, o any) { w.see(ctx, o, false) },
			DeleteFunc: func(o any) {
				if unknown, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
					o = unknown.Obj
				}
				w.see(ctx, o, true)
			},
		})
		if err != nil {
			return fmt.Errorf("cannot watch: %w", err)
		}
	}
	go func() { _ = c.Start(ctx) }()
	if !c.WaitForCacheSync(ctx) {
		return fmt.Errorf("cannot watch: %w", ctx.Err())
	}
	return nil
}

func (w *witness) see(ctx context.Context, object any, gone bool) {
	w.lock.Lock()
	defer w.lock.Unlock()
	switch o := object.(type) {
	case *discoveryv1.EndpointSlice:
		w.dns.see(o, gone)
	case *appsv1.StatefulSet:
		w.seeSet(o)
	case *corev1.Service:
		if o.Labels[inject.LabelService] == inject.ServiceDiscovery {
			w.seeDiscovery(o)
		}
	case *corev1.Pod:
		w.seePod(o, gone)
		if !gone {
			w.kubelet.see(ctx, o)
		}
	}
}

func (w *witness) of(name string) *seen {
	c := w.clusters[name]
	if c == nil {
		c = &seen{pods: map[string]types.UID{}, going: map[types.UID]time.Time{}}
		w.clusters[name] = c
	}
	return c
}

func (w *witness) seeSet(set *appsv1.StatefulSet) {
	c, phase := w.of(set.Name), life.Read(set).Phase
	if phase == life.PhaseFormed && c.phase != phase {
		c.formed = time.Now()
	}
	c.phase = phase
}

func (w *witness) seeDiscovery(service *corev1.Service) {
	name := service.Labels[inject.LabelClusterName]
	c := w.of(name)
	fence := !apilabels.SelectorFromSet(service.Spec.Selector).Matches(apilabels.Set{inject.LabelClusterName: name})
	if fence && !c.fence {
		c.fenced = time.Now()
	}
	c.fence = fence
}

func (w *witness) seePod(object *corev1.Pod, gone bool) {
	c := w.of(object.Labels[inject.LabelClusterName])
	going := gone || object.DeletionTimestamp != nil
	if _, known := c.going[object.UID]; going && !known {
		c.going[object.UID] = time.Now()
	}
	if !going {
		c.pods[object.Name] = object.UID
	} else if c.pods[object.Name] == object.UID {
		delete(c.pods, object.Name)
	}
	for i := range object.Status.ContainerStatuses {
		c.counts = max(c.counts, object.Status.ContainerStatuses[i].RestartCount)
	}
}

// podUIDs gives the pods of all clusters in order.
func (w *witness) podUIDs() []types.UID {
	w.lock.Lock()
	defer w.lock.Unlock()
	var all []types.UID
	for _, c := range w.clusters {
		for _, uid := range c.pods {
			all = append(all, uid)
		}
	}
	slices.Sort(all)
	return all
}

// formedAfter says when a cluster turned formed, if it did after a time.
func (w *witness) formedAfter(name string, after time.Time) (time.Time, bool) {
	w.lock.Lock()
	defer w.lock.Unlock()
	c := w.of(name)
	return c.formed, c.phase == life.PhaseFormed && c.formed.After(after)
}
