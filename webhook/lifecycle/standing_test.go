package lifecycle

import (
	"encoding/json"
	"maps"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

func TestStand(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}
	made := map[string]string{inject.LabelManagedBy: inject.ManagedBy, inject.LabelService: inject.ServiceLeader}
	without := func(label string) map[string]string {
		labels := maps.Clone(made)
		delete(labels, label)
		return labels
	}
	service := func(labels map[string]string, kind, name string, uid types.UID) *corev1.Service {
		s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
		if kind != "" {
			yes := true
			s.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, UID: uid, Controller: &yes}}
		}
		return s
	}
	for name, test := range map[string]struct {
		service *corev1.Service
		want    standing
	}{
		"nobody has the name":                           {nil, absent},
		"made by us for this set":                       {service(made, "StatefulSet", "demo", "now"), ours},
		"ours, and somebody took off what marks it":     {service(without(inject.LabelManagedBy), "StatefulSet", "demo", "now"), ours},
		"ours, and somebody took off its role":          {service(without(inject.LabelService), "StatefulSet", "demo", "now"), ours},
		"rendered by the command line, or orphaned":     {service(made, "", "", ""), orphan},
		"made for an earlier set of the same name":      {service(made, "StatefulSet", "demo", "before"), former},
		"made for another set":                          {service(made, "StatefulSet", "other", "x"), foreign},
		"somebody else's, controlled by nobody":         {service(nil, "", "", ""), foreign},
		"somebody else's, controlled by an operator":    {service(nil, "Cluster", "demo", "x"), foreign},
		"somebody else's, controlled by this very set":  {service(nil, "StatefulSet", "demo", "now"), foreign},
		"ours, and being deleted while something holds": {deleted(service(made, "StatefulSet", "demo", "now")), going},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stand(test.service, set); got != test.want {
				t.Errorf("want %s, got %s", test.want, got)
			}
		})
	}
}

func deleted(service *corev1.Service) *corev1.Service {
	now := metav1.Now()
	service.DeletionTimestamp = &now
	return service
}

// TestTold proves that a problem is told once, and again when it is another one
// or came back.
func TestTold(t *testing.T) {
	var told told
	demo, other := types.NamespacedName{Name: "demo"}, types.NamespacedName{Name: "other"}
	for i, step := range []struct {
		set         types.NamespacedName
		topic, note string
		want        bool
	}{
		{demo, "a", "", false}, // nothing was wrong, and nothing is
		{demo, "a", "wrong", true},
		{demo, "a", "wrong", false},
		{demo, "b", "wrong", true},
		{other, "a", "wrong", true},
		{demo, "a", "worse", true},
		{demo, "a", "", false},
		{demo, "b", "wrong", false},
		{demo, "a", "worse", true},
	} {
		if got := told.news(step.set, step.topic, step.note); got != step.want {
			t.Errorf("step %d %+v: got %v", i, step, got)
		}
	}
	told.forget(demo)
	if !told.news(demo, "b", "wrong") || told.news(other, "a", "wrong") {
		t.Error("want what was told of one set forgotten, and of no other")
	}
}

func TestGuarded(t *testing.T) {
	patch, err := guarded([]inject.Change{{Path: "/spec/serviceName", New: "demo"}}, "42")
	if err != nil {
		t.Fatal(err)
	}
	var operations []map[string]any
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	if len(operations) != 2 || operations[0]["op"] != "test" || operations[0]["value"] != "42" || operations[1]["path"] != "/spec/serviceName" {
		t.Errorf("want a test of the resource version and then the change, got %s", patch)
	}
}
