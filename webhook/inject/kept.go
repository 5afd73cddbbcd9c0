package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// keepImmutable carries over what cannot be changed, where object leaves it out
// or the server filled in a default. It names what is not as the user wrote it.
func keepImmutable(object, old *appsv1.StatefulSet) string {
	kept := ""
	if object.Spec.ServiceName == "" && old.Spec.ServiceName != "" {
		object.Spec.ServiceName = old.Spec.ServiceName
		kept = fmt.Sprintf("spec.serviceName: %s", old.Spec.ServiceName)
	}
	if object.Spec.PodManagementPolicy != old.Spec.PodManagementPolicy {
		object.Spec.PodManagementPolicy = old.Spec.PodManagementPolicy
		if kept != "" {
			kept += " and "
		}
		kept += fmt.Sprintf("spec.podManagementPolicy: %s", old.Spec.PodManagementPolicy)
	}
	return kept
}

// carryStatus keeps what we know of a cluster's life where its manifest is
// written anew without it, and drops what a new set's manifest was copied with.
func carryStatus(old, wanted *appsv1.StatefulSet) {
	for _, name := range []string{policy.AnnotationPhase, policy.AnnotationStatus} {
		_, has := wanted.Annotations[name]
		switch {
		case !Managed(old):
			dropAnnotation(wanted, name)
		case !has && old.Annotations[name] != "":
			metav1.SetMetaDataAnnotation(&wanted.ObjectMeta, name, old.Annotations[name])
		}
	}
}

// keepStored gives the wanted object where its user changed nothing that a
// cluster depends on: then the stored template stays, byte for byte, so that no
// pod is restarted by what this build would inject today.
//
// It is nil where something did change: also where the stored template counts
// other nodes than replicas, which happens when only the scale was written.
func keepStored(old, object Object, user *appsv1.StatefulSet) (*appsv1.StatefulSet, []Warning, error) {
	if !Managed(old.Set) || !sameSettings(old.Set, object.Set) || replicas(old.Set) != replicas(object.Set) {
		return nil, nil, nil
	}
	rec, err := readRecord(old.Set)
	if err != nil || rec == nil || !counts(old.Set) {
		return nil, nil, nil //nolint:nilerr // a stored set without a readable record is injected anew
	}
	oldUser := revert(old.Set, rec)
	if !sameTemplate(&oldUser.Spec.Template, &user.Spec.Template) {
		return nil, nil, nil
	}
	same, err := sameDocument(old, oldUser, object, user)
	if err != nil || !same {
		return nil, nil, err
	}
	if err := checkFollowed(old.Set, object.Set); err != nil {
		return nil, nil, err
	}
	wanted := editable(user)
	wanted.Spec.Template = old.Set.Spec.Template
	return wanted, keepStrategy(wanted, oldUser, old.Set), nil
}

// counts says whether some container of an injected set expects as many nodes
// as the set has replicas.
func counts(set *appsv1.StatefulSet) bool {
	expected := corev1.EnvVar{Name: EnvExpectedCount, Value: strconv.Itoa(int(replicas(set)))}
	return slices.ContainsFunc(set.Spec.Template.Spec.Containers, func(c corev1.Container) bool {
		return slices.Contains(c.Env, expected)
	})
}

// keepStrategy keeps the stored update strategy where the annotation does not
// leave it to the user, and warns one who has just chosen another.
func keepStrategy(wanted, oldUser, old *appsv1.StatefulSet) []Warning {
	if policy.UpdateStrategy(old.Annotations[policy.AnnotationUpdateStrategy]) == policy.UpdateKeep {
		return nil
	}
	asked := wanted.Spec.UpdateStrategy
	wanted.Spec.UpdateStrategy = old.Spec.UpdateStrategy
	if !customStrategy(asked) || apiequality.Semantic.DeepEqual(asked, oldUser.Spec.UpdateStrategy) {
		return nil
	}
	return []Warning{strategyReplaced()}
}

// checkFollowed rejects values that are not allowed of settings which leave the
// template as it is, where they are new.
func checkFollowed(old, object *appsv1.StatefulSet) error {
	changed := maps.Clone(object.Annotations)
	maps.DeleteFunc(changed, func(name, value string) bool {
		before, had := old.Annotations[name]
		return !policy.Followed(name) || had && before == value
	})
	if _, err := policy.Resolve(policy.Defaults(), changed); err != nil {
		return &RejectedError{Message: err.Error()}
	}
	return nil
}

// sameSettings says whether two sets carry the same annotations that say what
// is injected.
func sameSettings(a, b *appsv1.StatefulSet) bool {
	settings := func(set *appsv1.StatefulSet) map[string]string {
		own := maps.Clone(set.Annotations)
		maps.DeleteFunc(own, func(name, _ string) bool { return !policy.IsSetting(name) || policy.Followed(name) })
		return own
	}
	return maps.Equal(settings(a), settings(b))
}

// sameTemplate compares two templates, one of which may have come from a
// document without the server's defaults, through the record.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	defaulted := func(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
		t = t.DeepCopy()
		for i := range t.Spec.Containers {
			c := &t.Spec.Containers[i]
			if c.ReadinessProbe != nil {
				c.ReadinessProbe = withDefaults(c.ReadinessProbe, nil)
			}
		}
		return t
	}
	return apiequality.Semantic.DeepEqual(a, b) || apiequality.Semantic.DeepEqual(defaulted(a), defaulted(b))
}

// sameDocument compares the templates once more as documents, so that a change
// in a field that this build does not know is not taken for none.
func sameDocument(old Object, oldUser *appsv1.StatefulSet, object Object, user *appsv1.StatefulSet) (bool, error) {
	if old.JSON == nil || object.JSON == nil {
		return true, nil
	}
	was, err := userTemplate(old, oldUser)
	if err != nil {
		return false, err
	}
	is, err := userTemplate(object, user)
	if err != nil {
		return false, err
	}
	return reflect.DeepEqual(was, is), nil
}

// userTemplate gives the pod template of an object's document as its user means it.
func userTemplate(object Object, user *appsv1.StatefulSet) (any, error) {
	document, err := Apply(object.JSON, compare(object.Set, user))
	if err != nil {
		return nil, err
	}
	var set struct {
		Spec struct {
			Template any `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, fmt.Errorf("cannot read the pod template: %w", err)
	}
	return set.Spec.Template, nil
}
