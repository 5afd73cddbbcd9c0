package lifecycle

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/internal/randomset"
)

// TestSharedStringsChangeNothing proves that objects say the same as before.
func TestSharedStringsChangeNothing(t *testing.T) {
	shared := newSharedStrings()
	for seed := range uint64(500) {
		set := randomset.New(rand.NewPCG(seed, 0))
		before := set.DeepCopy()
		shared.share(set)
		if diff := cmp.Diff(before, set); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// TestSharedStringsAreShared proves that two objects have the bytes of what is the
// same in common, and that a long text is not kept in memory.
func TestSharedStringsAreShared(t *testing.T) {
	const manifest = `{metadata: {name: demo, labels: {h2o.ai/cluster: "true"}}, spec: {template: {spec: {containers: [{name: h2o, env: [{name: H2O_NODE_EXPECTED_COUNT, value: "3"}]}]}}}}`
	shared := newSharedStrings()
	var sets [2]appsv1.StatefulSet
	for i := range sets {
		if err := yaml.Unmarshal([]byte(manifest), &sets[i]); err != nil {
			t.Fatal(err)
		}
		shared.share(&sets[i])
	}
	for what, text := range map[string]func(*appsv1.StatefulSet) string{
		"the name":   func(s *appsv1.StatefulSet) string { return s.Name },
		"a variable": func(s *appsv1.StatefulSet) string { return s.Spec.Template.Spec.Containers[0].Env[0].Name },
		"its value":  func(s *appsv1.StatefulSet) string { return s.Spec.Template.Spec.Containers[0].Env[0].Value },
		"a label":    func(s *appsv1.StatefulSet) string { return s.Labels["h2o.ai/cluster"] },
		"a label's name": func(s *appsv1.StatefulSet) string {
			for name := range s.Labels {
				return name
			}
			return ""
		},
	} {
		if a, b := text(&sets[0]), text(&sets[1]); a == "" || unsafe.StringData(a) != unsafe.StringData(b) {
			t.Errorf("%s, %q and %q, is there twice", what, a, b)
		}
	}
	long := appsv1.StatefulSet{}
	long.Annotations = map[string]string{"record": string(make([]byte, maxShared+1))}
	shared.share(&long)
	for _, kept := range shared.latest {
		if len(kept) > maxShared {
			t.Errorf("a text of %d bytes is kept", len(kept))
		}
	}
}
