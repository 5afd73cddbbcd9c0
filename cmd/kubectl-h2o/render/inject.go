package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// Inject injects every managed StatefulSet of the inputs and puts the Services
// that the inputs lack after it. Everything else stays as it is.
//
// Nothing comes out where anything is wrong: a *DocumentError (an
// *inject.RejectedError within, where the brain refused) or a *NoObjectsError.
func Inject(inputs []Input, opts Options) (Output, error) {
	r, err := newRenderer(inputs, opts)
	if err != nil {
		return Output{}, err
	}
	for _, o := range r.objects {
		if err := r.inject(o); err != nil {
			return Output{}, err
		}
	}
	if r.dealtWith == 0 && len(r.out.Warnings) == 0 {
		r.out.Warnings = append(r.out.Warnings, Warning{Message: fmt.Sprintf(
			"no StatefulSet of the input has label %s=%s: nothing is injected", inject.LabelCluster, inject.LabelClusterValue)})
	}
	return r.out, nil
}

// renderer makes an output.
type renderer struct {
	opts      Options
	objects   []*object
	services  map[string]*corev1.Service // of the input and rendered, by namespace/name
	out       Output
	dealtWith int
	assumed   bool // that a namespace was assumed has been said
}

func newRenderer(inputs []Input, opts Options) (*renderer, error) {
	objects, err := readAll(inputs)
	if err != nil {
		return nil, err
	}
	r := &renderer{opts: opts.withDefaults(), objects: objects, services: map[string]*corev1.Service{}}
	for _, o := range objects {
		key := r.namespaceOf(o) + "/" + o.name
		if o.service != nil && r.services[key] == nil {
			r.services[key] = o.service
		}
	}
	return r, nil
}

// namespaceOf is where an object goes.
func (r *renderer) namespaceOf(o *object) string {
	if o.namespace != "" {
		return o.namespace
	}
	return r.opts.Namespace
}

func (r *renderer) warn(o *object, format string, args ...any) {
	r.out.Warnings = append(r.out.Warnings, Warning{Object: o.title(), Message: strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")})
}

// title names an object in messages, as kubectl does.
func (o *object) title() string {
	name := o.name
	if name == "" {
		name = "without a name"
	}
	return strings.ToLower(o.kind) + " " + name
}

// keep puts an object out as it came.
func (r *renderer) keep(o *object) {
	r.out.Documents = append(r.out.Documents, r.document(o, o, Kept))
}

func (r *renderer) document(came, is *object, state State) Document {
	o := is
	if o == nil {
		o = came
	}
	return Document{
		APIVersion: o.apiVersion, Kind: o.kind, Namespace: r.namespaceOf(o), Name: o.name,
		State: state, JSON: o.json, came: came, is: is,
	}
}

// inject puts out an object with what belongs to it.
func (r *renderer) inject(o *object) error {
	e := newEdit(o)
	if r.opts.Label && o.kind == kindStatefulSet {
		if value, has := o.labels[inject.LabelCluster]; has && value != inject.LabelClusterValue {
			r.warn(o, "label %s=%s is replaced by %s", inject.LabelCluster, value, inject.LabelClusterValue)
		}
		if err := e.setLabel(); err != nil {
			return o.at.fail(err)
		}
	}
	if !r.managed(e) {
		r.keep(o)
		return nil
	}
	if o.set == nil {
		return r.refuse(o, fmt.Errorf("apiVersion %s cannot be injected: only apps/v1 can", o.apiVersion))
	}
	r.dealtWith++
	result, err := r.review(e)
	if err != nil {
		return r.refuse(o, err)
	}
	for _, w := range result.Warnings {
		r.warn(o, "%s", w.Message)
	}
	if err := r.put(e, result.Changes); err != nil {
		return err
	}
	if result.Set.DeletionTimestamp != nil {
		r.warn(o, "it is being deleted: nothing is injected")
		return nil
	}
	return r.putServices(o, result.Set)
}

// managed says whether an object is ours to inject, and what keeps one back
// that looks as if it were.
func (r *renderer) managed(e *edit) bool {
	if e.came.kind != kindStatefulSet {
		return false
	}
	value, has := e.labels[inject.LabelCluster]
	if has && value != inject.LabelClusterValue {
		r.warn(e.came, "label %s is %q: only %q is managed, so nothing is injected", inject.LabelCluster, value, inject.LabelClusterValue)
	}
	return value == inject.LabelClusterValue
}

// review has the brain decide. A document with a resourceVersion is one that a
// server holds and updates in place, so what cannot be changed there stays.
func (r *renderer) review(e *edit) (inject.Result, error) {
	if r.opts.NamespaceAssumed && !r.assumed && e.came.namespace == "" {
		r.assumed = true
		r.warn(e.came, "it names no namespace: its names are made for namespace %q, so apply it there", r.opts.Namespace)
	}
	was, is := r.brainObjects(e)
	if was.Set.ResourceVersion == "" {
		was = inject.Object{}
	}
	return inject.Review(was, is, r.opts.Settings)
}

// brainObjects gives a StatefulSet as it came and as edited so far, with the
// namespace that it goes to.
func (r *renderer) brainObjects(e *edit) (was, is inject.Object) {
	was = inject.Object{Set: e.came.set.DeepCopy(), JSON: e.came.json}
	was.Set.Namespace = r.namespaceOf(e.came)
	is = inject.Object{Set: was.Set.DeepCopy(), JSON: e.json}
	is.Set.Labels = e.labels
	return was, is
}

// put puts out a StatefulSet with the brain's changes.
func (r *renderer) put(e *edit, changes []inject.Change) error {
	if err := e.change(changes); err != nil {
		return e.came.at.fail(err)
	}
	state, is := Kept, e.came
	if len(e.ops) > 0 {
		state, is = Changed, e.object()
	}
	d := r.document(e.came, is, state)
	d.Explanation = e.explanation
	patch, err := json.Marshal(e.ops)
	if err != nil {
		return e.came.at.fail(err)
	}
	d.Patch = patch
	r.out.Documents = append(r.out.Documents, d)
	return nil
}

// refuse says that a StatefulSet cannot be injected. The line is left out: the
// reason is about the whole object.
func (r *renderer) refuse(o *object, err error) error {
	refused := o.at.fail(err)
	if e, ok := errors.AsType[*DocumentError](refused); ok {
		e.Object = o.title()
	}
	return refused
}
