package lifecycle

import (
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

func TestStand(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "demo", UID: "now"}}
	service := func(marked bool, kind, name string, uid types.UID) *corev1.Service {
		s := &corev1.Service{}
		if marked {
			s.Labels = map[string]string{inject.LabelManagedBy: inject.ManagedBy}
		}
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
		"nobody has the name":                        {nil, absent},
		"made by us for this set":                    {service(true, "StatefulSet", "demo", "now"), ours},
		"ours, and somebody took our label off":      {service(false, "StatefulSet", "demo", "now"), ours},
		"rendered by the command line, or orphaned":  {service(true, "", "", ""), orphan},
		"made for an earlier set of the same name":   {service(true, "StatefulSet", "demo", "before"), former},
		"made for another set":                       {service(true, "StatefulSet", "other", "x"), foreign},
		"somebody else's, controlled by nobody":      {service(false, "", "", ""), foreign},
		"somebody else's, controlled by an operator": {service(false, "Cluster", "demo", "x"), foreign},
	} {
		t.Run(name, func(t *testing.T) {
			if got := stand(test.service, set); got != test.want {
				t.Errorf("want %s, got %s", test.want, got)
			}
		})
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
