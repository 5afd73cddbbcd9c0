package inject_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/h2o-webhook/h2o-webhook/internal/randomset"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// byteSource draws randomness from a fuzzer's bytes, then from a fixed stream.
type byteSource struct {
	data []byte
	rest rand.Source
}

func (s *byteSource) Uint64() uint64 {
	if len(s.data) == 0 {
		return s.rest.Uint64()
	}
	var word [8]byte
	n := copy(word[:], s.data)
	s.data = s.data[n:]
	return binary.LittleEndian.Uint64(word[:]) * 0x9e3779b97f4a7c15
}

// FuzzGuarantees proves the guarantees on StatefulSets of all forms; the seeds
// run with every `go test`.
func FuzzGuarantees(f *testing.F) {
	for seed := range uint64(500) {
		f.Add(binary.LittleEndian.AppendUint64(nil, seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		set := randomset.New(&byteSource{data: data, rest: rand.NewPCG(1, 2)})
		if set.Labels == nil {
			set.Labels = map[string]string{}
		}
		set.Labels[inject.LabelCluster] = inject.LabelClusterValue
		if len(data) > 0 && data[0]%4 == 0 { // a name that servers took until Kubernetes 1.36
			set.Name = set.Name + "." + strings.Repeat("long-", int(data[0])/6) + "x"
		}
		checkProperties(t, set)
	})
}

func checkProperties(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	came := object(t, set)
	result, err := inject.Inject(came, policy.Defaults())
	if _, ok := errors.AsType[*inject.RejectedError](err); ok {
		t.Fatalf("a valid set is rejected: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	injected := changed(t, came, result.Changes)
	for _, w := range result.Warnings {
		if len(w.Message) > inject.MaxWarningLength {
			t.Errorf("warning of %d bytes: %s", len(w.Message), w)
		}
	}
	again, err := inject.Inject(injected, policy.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Changes) > 0 {
		t.Errorf("not idempotent: %v", again.Changes)
	}
	back := changed(t, injected, inject.Uninject(injected).Changes)
	if diff := cmp.Diff(came.Set, back.Set, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("not the inverse, -came +back:\n%s", diff)
	}
	checkNoSurprise(t, came, injected)
}

// checkNoSurprise writes an injected set again under a webhook with other
// defaults, as a live edit and as the original manifest.
func checkNoSurprise(t *testing.T, came, injected inject.Object) {
	t.Helper()
	newer := policy.Defaults()
	newer.ClusterDomain, newer.APIPort, newer.LookupTimeout = "corp.example", 8090, 300
	edited := injected.Set.DeepCopy()
	edited.Labels["edited"] = "true"
	for name, write := range map[string]inject.Object{"live edit": object(t, edited), "original manifest": came} {
		result, err := inject.Review(injected, write, newer)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		stored := changed(t, write, result.Changes)
		if !apiequality.Semantic.DeepEqual(stored.Set.Spec, injected.Set.Spec) {
			t.Errorf("%s restarts the cluster:\n%s", name, cmp.Diff(injected.Set.Spec, stored.Set.Spec))
		}
		if len(result.Warnings) > 0 {
			t.Errorf("%s warns of what it does not do: %v", name, result.Warnings)
		}
	}
	restarted := injected.Set.DeepCopy()
	if restarted.Spec.Template.Annotations == nil {
		restarted.Spec.Template.Annotations = map[string]string{}
	}
	restarted.Spec.Template.Annotations["kubectl.kubernetes.io/restartedAt"] = "now"
	result, err := inject.Review(injected, object(t, restarted), newer)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Changes) == 0 {
		t.Error("a restart by the user does not bring today's settings")
	}
}

func object(t *testing.T, set *appsv1.StatefulSet) inject.Object {
	t.Helper()
	document, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, document)
}

func changed(t *testing.T, o inject.Object, changes []inject.Change) inject.Object {
	t.Helper()
	document, err := inject.Apply(o.JSON, changes)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, document)
}
