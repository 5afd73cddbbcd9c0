package inject

import (
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Recorded lists what was injected into a StatefulSet, by its record; nothing
// when it has none. The changes have no paths: the record does not keep them. A
// record that cannot be read is an error.
func Recorded(set *appsv1.StatefulSet) ([]Change, error) {
	rec, err := readRecord(set)
	if err != nil || rec == nil {
		return nil, err
	}
	changes := make([]Change, 0, len(rec.Changes))
	for _, item := range rec.Changes {
		change := Change{Field: item.Field, Old: item.value(item.Old), New: item.value(item.New)}
		change.Reason = reasonOf(change)
		changes = append(changes, change)
	}
	return changes, nil
}

// value reads a recorded value in the form that an injection has it in; one of
// another form stays JSON.
func (item recordItem) value(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	switch item.At {
	case AtEnv:
		if v, ok := decode[corev1.EnvVar](raw); ok {
			return v
		}
	case AtPort:
		if p, ok := decode[corev1.ContainerPort](raw); ok {
			return p
		}
	case AtReadinessProbe:
		if p, ok := decode[corev1.Probe](raw); ok {
			return &p
		}
	case AtUpdateStrategy:
		if s, ok := decode[appsv1.StatefulSetUpdateStrategy](raw); ok {
			return s
		}
	default:
		if s, ok := decode[string](raw); ok {
			return s
		}
	}
	return raw
}

// Renew decides what a stored StatefulSet becomes when its user next changes
// its template: as Review, but without holding on to what is stored. The
// changes lead from the set as it is; where there are none, it is up to date.
func Renew(object Object, defaults policy.Settings) (Result, error) {
	rec, warnings := recordFor(nil, object.Set)
	user := editable(revert(object.Set, rec))
	keepImmutable(user, object.Set)
	wanted, said, err := build(user, object.Set, defaults)
	if err != nil {
		return Result{}, err
	}
	return Result{Changes: compare(object.Set, wanted), Warnings: append(warnings, said...), Set: wanted}, nil
}

// ServiceDNS is the name that the nodes of an injected StatefulSet ask for, and
// the DNS suffix in it. Both are empty where it is not injected.
func ServiceDNS(set *appsv1.StatefulSet) (name, clusterDomain string) {
	c, err := chooseContainer(set, set.Annotations[policy.AnnotationContainer])
	if err != nil {
		return "", ""
	}
	l := &envList{vars: c.Env}
	v := l.last(EnvServiceDNS)
	if v == nil {
		return "", ""
	}
	_, clusterDomain, _ = strings.Cut(v.Value, ".svc.")
	return v.Value, clusterDomain
}
