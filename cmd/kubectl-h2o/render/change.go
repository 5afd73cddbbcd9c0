package render

import (
	"maps"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

const kindStatefulSet = "StatefulSet"

// edit collects what is changed in an object.
type edit struct {
	came        *object
	json        []byte            // as edited so far
	labels      map[string]string // likewise
	ops         []operation
	explanation []string
}

func newEdit(o *object) *edit {
	return &edit{came: o, json: o.json, labels: maps.Clone(o.labels), ops: []operation{}}
}

// do makes operations in the document.
func (e *edit) do(ops ...operation) error {
	changed, err := applyJSON(e.json, ops)
	if err != nil {
		return err
	}
	e.json, e.ops = changed, append(e.ops, ops...)
	return nil
}

const (
	pathLabels = "/metadata/labels"
	// pathLabel is the pointer to the label of managed StatefulSets.
	pathLabel = pathLabels + "/h2o.ai~1cluster"
)

// setLabel makes the StatefulSet a managed one.
func (e *edit) setLabel() error {
	if e.labels[inject.LabelCluster] == inject.LabelClusterValue {
		return nil
	}
	var ops []operation
	if len(e.labels) == 0 {
		ops = append(ops, operation{Op: "add", Path: pathLabels, Value: []byte(`{}`)})
		e.labels = map[string]string{}
	}
	e.labels[inject.LabelCluster] = inject.LabelClusterValue
	if e.came.name == "" {
		return nil // there may be no metadata to write to, and the brain refuses it
	}
	e.explanation = append(e.explanation, `set metadata.labels[`+inject.LabelCluster+`] to "`+inject.LabelClusterValue+`": marks the StatefulSet as managed`)
	return e.do(append(ops, operation{Op: "add", Path: pathLabel, Value: []byte(`"` + inject.LabelClusterValue + `"`)})...)
}

// dropLabel takes the label away.
func (e *edit) dropLabel() error {
	if _, has := e.labels[inject.LabelCluster]; !has {
		return nil
	}
	delete(e.labels, inject.LabelCluster)
	op := operation{Op: "remove", Path: pathLabel}
	if len(e.labels) == 0 {
		op.Path = pathLabels
	}
	e.explanation = append(e.explanation, `remove metadata.labels[`+inject.LabelCluster+`]: the StatefulSet is no longer managed`)
	return e.do(op)
}

// change makes the brain's changes.
func (e *edit) change(changes []inject.Change) error {
	ops, err := operationsOf(changes)
	if err != nil {
		return err
	}
	if e.json, err = inject.Apply(e.json, changes); err != nil {
		return err
	}
	e.ops = append(e.ops, ops...)
	for _, c := range changes {
		e.explanation = append(e.explanation, c.String())
	}
	return nil
}

// object gives the edited object. Its tree is left out where it cannot follow.
func (e *edit) object() *object {
	o := &object{json: e.json, at: e.came.at, header: e.came.header}
	if e.came.node == nil {
		return o
	}
	o.node = copyNode(e.came.node)
	if applyNode(o.node, e.ops) != nil {
		o.node = nil
	}
	return o
}
