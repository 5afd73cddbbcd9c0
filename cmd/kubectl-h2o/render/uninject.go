package render

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Uninject is the inverse of Inject: it takes back what the record of each
// StatefulSet says was injected, and leaves out the Services that were rendered
// for it. The label stays as it is, unless opts.Label is set. Errors are those
// of Inject.
func Uninject(inputs []Input, opts Options) (Output, error) {
	r, err := newRenderer(inputs, opts)
	if err != nil {
		return Output{}, err
	}
	rendered := r.renderedServices()
	for _, o := range r.objects {
		if o.service != nil && made(o.service, rendered[r.namespaceOf(o)+"/"+o.name]) {
			d := r.document(o, nil, Removed)
			r.out.Documents = append(r.out.Documents, d)
			continue
		}
		if err := r.uninject(o); err != nil {
			return Output{}, err
		}
	}
	return r.out, nil
}

// renderedServices gives the Services that injecting rendered, by namespace/name.
func (r *renderer) renderedServices() map[string][]*corev1.Service {
	rendered := map[string][]*corev1.Service{}
	for _, o := range r.objects {
		if o.set == nil || !inject.Injected(o.set) {
			continue
		}
		set := o.set.DeepCopy()
		set.Namespace = r.namespaceOf(o)
		for _, s := range []*corev1.Service{inject.DiscoveryService(set), inject.LeaderService(set)} {
			key := s.Namespace + "/" + s.Name
			rendered[key] = append(rendered[key], s)
		}
	}
	return rendered
}

func made(had *corev1.Service, rendered []*corev1.Service) bool {
	for _, s := range rendered {
		if belongs(had, s) {
			return true
		}
	}
	return false
}

// uninject puts out an object with what was injected taken back.
func (r *renderer) uninject(o *object) error {
	e := newEdit(o)
	if r.opts.Label && o.kind == kindStatefulSet {
		if err := e.dropLabel(); err != nil {
			return o.at.fail(err)
		}
	}
	var changes []inject.Change
	switch {
	case o.set == nil:
	case hasRecord(o.set):
		result, err := r.takeBack(e)
		if err != nil {
			return r.refuse(o, err)
		}
		for _, w := range result.Warnings {
			r.warn(o, "%s", w.Message)
		}
		changes = result.Changes
	case inject.Managed(o.set):
		r.warn(o, "annotation %s is not there: without the record nothing can be taken back", policy.AnnotationInjected)
	}
	if len(changes) == 0 && len(e.ops) == 0 {
		r.keep(o)
		return nil
	}
	return r.put(e, changes)
}

func hasRecord(set *appsv1.StatefulSet) bool {
	_, has := set.Annotations[policy.AnnotationInjected]
	return has
}

// takeBack has the brain revert a StatefulSet. One that a server holds is to it
// an update that takes the label away, so that what cannot be changed stays.
func (r *renderer) takeBack(e *edit) (inject.Result, error) {
	was, is := r.brainObjects(e)
	if was.Set.ResourceVersion == "" {
		return inject.Uninject(is), nil
	}
	if was.Set.Labels == nil {
		was.Set.Labels = map[string]string{}
	}
	was.Set.Labels[inject.LabelCluster] = inject.LabelClusterValue
	is.Set.Labels = nil
	return inject.Review(was, is, r.opts.Settings)
}
