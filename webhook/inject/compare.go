package inject

import (
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// compare lists the changes that make the wanted object out of the current one.
// It looks only at fields that an injection may touch; all others must be the
// same in both, since wanted was made from current.
func compare(current, wanted *appsv1.StatefulSet) []Change {
	changes := compareSpec(&current.Spec, &wanted.Spec)
	changes = append(changes, compareTemplateLabel(current, wanted)...)
	for i := range wanted.Spec.Template.Spec.Containers {
		changes = append(changes, compareContainer(i, &current.Spec.Template.Spec.Containers[i], &wanted.Spec.Template.Spec.Containers[i])...)
	}
	for i := range changes {
		changes[i].Reason = reasonOf(changes[i])
	}
	return changes
}

func compareSpec(current, wanted *appsv1.StatefulSetSpec) []Change {
	var changes []Change
	changes = appendScalar(changes, AtServiceName, current.ServiceName, wanted.ServiceName)
	changes = appendScalar(changes, AtPodManagementPolicy, current.PodManagementPolicy, wanted.PodManagementPolicy)
	was, is := current.UpdateStrategy, wanted.UpdateStrategy
	if was.Type != is.Type || was.RollingUpdate != is.RollingUpdate && !apiequality.Semantic.DeepEqual(was.RollingUpdate, is.RollingUpdate) {
		changes = append(changes, Change{
			Field: Field{At: AtUpdateStrategy}, Path: "/spec/updateStrategy",
			Old: orNil(was), New: orNil(is),
		})
	}
	return changes
}

func appendScalar[T ~string](changes []Change, at At, current, wanted T) []Change {
	if current == wanted {
		return changes
	}
	return append(changes, Change{
		Field: Field{At: at}, Path: "/spec/" + string(at),
		Old: orNil(string(current)), New: orNil(string(wanted)),
	})
}

// orNil gives nil for the zero value, which is left out of documents.
func orNil[T comparable](value T) any {
	var zero T
	if value == zero {
		return nil
	}
	return value
}

func compareTemplateLabel(current, wanted *appsv1.StatefulSet) []Change {
	const path = "/spec/template/metadata"
	was, is := current.Spec.Template.ObjectMeta, wanted.Spec.Template.ObjectMeta
	change, differs := compareKey(path+"/labels", LabelClusterName, was.Labels, is.Labels)
	if !differs {
		return nil
	}
	change.Field.At = AtTemplateLabel
	if len(change.makes) > 0 && apiequality.Semantic.DeepEqual(was, corev1.PodTemplateSpec{}.ObjectMeta) {
		change.makes = append([]parent{{path, "{}"}}, change.makes...)
	}
	return []Change{change}
}

// compareKey compares one key of a map.
func compareKey(path, key string, current, wanted map[string]string) (Change, bool) {
	old, had := current[key]
	value, has := wanted[key]
	if had == has && old == value {
		return Change{}, false
	}
	change := Change{Field: Field{Key: key}, Path: path + "/" + pointer(key)}
	if had {
		change.Old = old
	}
	if has {
		change.New = value
	}
	if len(current) == 0 {
		change.makes = []parent{{path, "{}"}}
	}
	if len(wanted) == 0 {
		change.drops = path
	}
	return change, true
}

func compareContainer(index int, current, wanted *corev1.Container) []Change {
	path := "/spec/template/spec/containers/" + strconv.Itoa(index)
	changes := compareList(path+"/env", current.Env, wanted.Env, envFields(wanted.Name), sameEnv)
	changes = append(changes, compareList(path+"/ports", current.Ports, wanted.Ports, portFields(wanted.Name), func(a, b corev1.ContainerPort) bool { return a == b })...)
	if current.ReadinessProbe != wanted.ReadinessProbe && !apiequality.Semantic.DeepEqual(current.ReadinessProbe, wanted.ReadinessProbe) {
		change := Change{Field: Field{At: AtReadinessProbe, Container: wanted.Name}, Path: path + "/readinessProbe"}
		if current.ReadinessProbe != nil {
			change.Old = current.ReadinessProbe
		}
		if wanted.ReadinessProbe != nil {
			change.New = wanted.ReadinessProbe
		}
		changes = append(changes, change)
	}
	return changes
}

// sameEnv compares two variables; most are literals, and reflection is slow.
func sameEnv(a, b corev1.EnvVar) bool {
	return a.Name == b.Name && a.Value == b.Value &&
		(a.ValueFrom == b.ValueFrom || apiequality.Semantic.DeepEqual(a.ValueFrom, b.ValueFrom))
}

func envFields(container string) func([]corev1.EnvVar) []Field {
	return func(vars []corev1.EnvVar) []Field {
		seen := map[string]int{}
		fields := make([]Field, 0, len(vars))
		for i := range vars {
			name := vars[i].Name
			fields = append(fields, Field{At: AtEnv, Container: container, Key: name, Nth: seen[name]})
			seen[name]++
		}
		return fields
	}
}

func portFields(container string) func([]corev1.ContainerPort) []Field {
	return func(ports []corev1.ContainerPort) []Field {
		seen := map[string]int{}
		fields := make([]Field, 0, len(ports))
		for i := range ports {
			key := portKey(ports[i])
			fields = append(fields, Field{At: AtPort, Container: container, Key: key, Nth: seen[key]})
			seen[key]++
		}
		return fields
	}
}

// compareList gives the steps from one list to another, true in their order:
// what is gone goes first, from the end; then the list is walked from its start.
// Elements that both have are not touched.
func compareList[T any](path string, current, wanted []T, fieldsOf func([]T) []Field, same func(a, b T) bool) []Change {
	if slices.EqualFunc(current, wanted, same) {
		return nil
	}
	var changes []Change
	left, leftFields := slices.Clone(current), fieldsOf(current)
	wantedFields := fieldsOf(wanted)
	for i, l := range slices.Backward(left) {
		if !slices.Contains(wantedFields, leftFields[i]) {
			changes = append(changes, Change{Field: leftFields[i], Path: at(path, i), Old: l})
			left, leftFields = slices.Delete(left, i, i+1), slices.Delete(leftFields, i, i+1)
		}
	}
	for i := range wanted {
		switch {
		case i >= len(left) || leftFields[i] != wantedFields[i]:
			changes = append(changes, Change{Field: wantedFields[i], Path: at(path, i), New: wanted[i]})
			left, leftFields = slices.Insert(left, i, wanted[i]), slices.Insert(leftFields, i, wantedFields[i])
		case !same(left[i], wanted[i]):
			changes = append(changes, Change{Field: wantedFields[i], Path: at(path, i), Old: left[i], New: wanted[i]})
		}
	}
	for i := len(left) - 1; i >= len(wanted); i-- { // elements that changed their places
		changes = append(changes, Change{Field: leftFields[i], Path: at(path, i), Old: left[i]})
	}
	if len(changes) > 0 && len(current) == 0 {
		changes[0].makes = []parent{{path, "[]"}}
	}
	if len(changes) > 0 && len(wanted) == 0 {
		changes[len(changes)-1].drops = path
	}
	return changes
}

func at(path string, index int) string { return path + "/" + strconv.Itoa(index) }

// compareAnnotations lists the changes in the annotations that we write.
func compareAnnotations(current, wanted *appsv1.StatefulSet) []Change {
	const path = "/metadata/annotations"
	now := maps.Clone(current.Annotations)
	var changes []Change
	for _, name := range policy.WrittenAnnotations() {
		next := maps.Clone(now)
		if value, has := wanted.Annotations[name]; has {
			if next == nil {
				next = map[string]string{}
			}
			next[name] = value
		} else {
			delete(next, name)
		}
		if change, differs := compareKey(path, name, now, next); differs {
			change.Field.At = AtAnnotation
			change.Reason = reasonOf(change)
			changes = append(changes, change)
		}
		now = next
	}
	return changes
}
