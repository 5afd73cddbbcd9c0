package inject_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/h2o-webhook/h2o-webhook/internal/randomset"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// TestRecorded proves that the record tells the same as the injection did, and
// that what was just injected has nothing to renew.
func TestRecorded(t *testing.T) {
	for seed := range uint64(300) {
		set := randomset.New(rand.NewPCG(seed, 3))
		set.Labels = map[string]string{inject.LabelCluster: inject.LabelClusterValue}
		result, err := inject.Inject(object(t, set), policy.Defaults())
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, c := range result.Changes {
			if c.Field.At != inject.AtAnnotation {
				want = append(want, c.String())
			}
		}
		var got []string
		recorded, err := inject.Recorded(result.Set)
		for _, c := range recorded {
			got = append(got, c.String())
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("seed %d, %v: -injected +recorded:\n%s", seed, err, diff)
		}
		renewed, err := inject.Renew(inject.Object{Set: result.Set}, policy.Defaults())
		if err != nil || len(renewed.Changes) > 0 {
			t.Fatalf("seed %d: want nothing to renew, got %v, %v", seed, renewed.Changes, err)
		}
	}
}

func TestRenew(t *testing.T) {
	set := randomset.New(rand.NewPCG(1, 3))
	set.Labels = map[string]string{inject.LabelCluster: inject.LabelClusterValue}
	set.Spec.Template.Spec.Containers = set.Spec.Template.Spec.Containers[:1]
	set.Spec.Template.Spec.Containers[0].Env, set.Annotations = nil, nil
	result, err := inject.Inject(object(t, set), policy.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	later := policy.Defaults()
	later.LookupTimeout = 60
	renewed, err := inject.Renew(inject.Object{Set: result.Set}, later)
	if err != nil {
		t.Fatal(err)
	}
	if len(renewed.Changes) != 1 || renewed.Changes[0].Field.Key != inject.EnvLookupTimeout || renewed.Changes[0].Reason != inject.ReasonLookupTimeout {
		t.Errorf("want the timeout only, got %v", renewed.Changes)
	}
	if name, domain := inject.ServiceDNS(result.Set); domain != "cluster.local" || name != inject.DiscoveryServiceName(result.Set)+"."+set.Namespace+".svc.cluster.local" {
		t.Errorf("got name %q, domain %q", name, domain)
	}
	refused := result.Set.DeepCopy()
	refused.Annotations["h2o.ai/nosuch"] = "x"
	if _, err := inject.Renew(inject.Object{Set: refused}, later); err == nil {
		t.Error("want it rejected")
	} else if _, ok := errors.AsType[*inject.RejectedError](err); !ok {
		t.Errorf("want a rejection, got %v", err)
	}
}
