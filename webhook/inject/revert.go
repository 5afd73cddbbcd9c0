package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// revert gives the StatefulSet as its user means it: what the record says we
// put there is taken back, unless somebody has changed it since. Without a
// record it is the set as it is, which is then not copied. The record itself is
// never the user's.
func revert(set *appsv1.StatefulSet, r *record) *appsv1.StatefulSet {
	if _, has := set.Annotations[policy.AnnotationInjected]; !has && r == nil {
		return set
	}
	user := editable(set)
	dropAnnotation(user, policy.AnnotationInjected)
	if r == nil {
		return user
	}
	for _, item := range slices.Backward(r.Changes) {
		revertItem(user, item)
	}
	return user
}

// editable copies a set as far as an injection edits it: its maps and its list
// of containers. Everything below is shared and must be replaced, not changed.
func editable(set *appsv1.StatefulSet) *appsv1.StatefulSet {
	edited := *set
	edited.Annotations = maps.Clone(set.Annotations)
	edited.Spec.Template.Labels = maps.Clone(set.Spec.Template.Labels)
	edited.Spec.Template.Spec.Containers = slices.Clone(set.Spec.Template.Spec.Containers)
	return &edited
}

func dropAnnotation(set *appsv1.StatefulSet, name string) {
	delete(set.Annotations, name)
	if len(set.Annotations) == 0 {
		set.Annotations = nil
	}
}

func revertItem(set *appsv1.StatefulSet, item recordItem) {
	switch item.At {
	case AtServiceName:
		revertValue(&set.Spec.ServiceName, item)
	case AtPodManagementPolicy:
		revertValue(&set.Spec.PodManagementPolicy, item)
	case AtUpdateStrategy:
		revertValue(&set.Spec.UpdateStrategy, item)
	case AtTemplateLabel:
		set.Spec.Template.Labels = revertKey(set.Spec.Template.Labels, item)
	case AtEnv, AtPort, AtReadinessProbe:
		if c := containerOf(set, item.Container); c != nil {
			revertContainer(c, item)
		}
	}
}

// containerOf finds the container of a record, also after its user renamed it:
// what was not injected there differs from the record and stays.
func containerOf(set *appsv1.StatefulSet, name string) *corev1.Container {
	if c, err := chooseContainer(set, name); err == nil {
		return c
	}
	c, err := chooseContainer(set, set.Annotations[policy.AnnotationContainer])
	if err != nil {
		return nil
	}
	return c
}

func revertContainer(c *corev1.Container, item recordItem) {
	switch item.At {
	case AtEnv:
		c.Env = revertElement(c.Env, envFields(item.Container), item)
		if item.Key == EnvJavaToolOptions {
			c.Env = revertJavaOptions(c.Env, item)
		}
	case AtPort:
		c.Ports = revertElement(c.Ports, portFields(item.Container), item)
	case AtReadinessProbe:
		revertValue(&c.ReadinessProbe, item)
	}
}

// decode reads a recorded value; a value of another form than this build knows
// is no match for anything.
func decode[T any](raw json.RawMessage) (T, bool) {
	var value T
	if raw == nil {
		return value, true
	}
	err := json.Unmarshal(raw, &value)
	return value, err == nil
}

func revertValue[T any](current *T, item recordItem) {
	put, ok := decode[T](item.New)
	if !ok || !apiequality.Semantic.DeepEqual(*current, put) {
		return
	}
	if old, ok := decode[T](item.Old); ok {
		*current = old
	}
}

func revertKey(current map[string]string, item recordItem) map[string]string {
	put, ok := decode[string](item.New)
	if now, has := current[item.Key]; !ok || !has || now != put {
		return current
	}
	reverted := maps.Clone(current)
	if old, ok := decode[string](item.Old); item.Old != nil && ok {
		reverted[item.Key] = old
		return reverted
	}
	delete(reverted, item.Key)
	if len(reverted) == 0 {
		return nil
	}
	return reverted
}

func revertElement[T any](current []T, fieldsOf func([]T) []Field, item recordItem) []T {
	at := slices.Index(fieldsOf(current), item.Field)
	put, ok := decode[T](item.New)
	if at < 0 || !ok || !apiequality.Semantic.DeepEqual(current[at], put) {
		return current
	}
	reverted := slices.Clone(current)
	if item.Old == nil {
		return orNone(slices.Delete(reverted, at, at+1))
	}
	if old, ok := decode[T](item.Old); ok {
		reverted[at] = old
	}
	return reverted
}

// orNone gives nil for an empty list, as a document leaves it out.
func orNone[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return list
}

// revertJavaOptions takes back the options that were added to a list that its
// user has edited since: only our options go.
func revertJavaOptions(vars []corev1.EnvVar, item recordItem) []corev1.EnvVar {
	old, _ := decode[corev1.EnvVar](item.Old)
	put, ok := decode[corev1.EnvVar](item.New)
	at := slices.Index(envFields(item.Container)(vars), item.Field)
	if !ok || at < 0 || vars[at].ValueFrom != nil || vars[at].Value == old.Value {
		return vars
	}
	value := vars[at].Value
	for option := range strings.FieldsSeq(strings.TrimPrefix(put.Value, old.Value)) {
		value = dropOption(value, option)
	}
	reverted := slices.Clone(vars)
	if value == "" && item.Old == nil {
		return orNone(slices.Delete(reverted, at, at+1))
	}
	reverted[at].Value = value
	return reverted
}

// dropOption takes one option out of a list, with one space beside it.
func dropOption(value, option string) string {
	switch {
	case value == option:
		return ""
	case strings.HasSuffix(value, " "+option):
		return strings.TrimSuffix(value, " "+option)
	case strings.HasPrefix(value, option+" "):
		return strings.TrimPrefix(value, option+" ")
	default:
		return strings.Replace(value, " "+option+" ", " ", 1)
	}
}
