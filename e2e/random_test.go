package e2e

import (
	"math/rand/v2"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/internal/randomset"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// TestValidStaysValid has the API server judge sets of all forms, both without
// the label and with it. They are dry runs: validation and admission are the
// same, and nothing is left to clean up.
func TestValidStaysValid(t *testing.T) {
	const sets, seed = 200, 20261124
	t.Logf("seed %d", seed)
	for i := range uint64(sets) {
		set := randomset.New(rand.NewPCG(seed, i))
		if err := cluster.Client.Create(t.Context(), set.DeepCopy(), client.DryRunAll); err != nil {
			t.Fatalf("set %d is not valid to begin with: %v", i, err)
		}
		labelled := set.DeepCopy()
		if labelled.Labels == nil {
			labelled.Labels = map[string]string{}
		}
		labelled.Labels[inject.LabelCluster] = inject.LabelClusterValue
		if err := cluster.Client.Create(t.Context(), labelled, client.DryRunAll); err != nil {
			t.Errorf("set %d (%s) is valid without the label and refused with it: %v", i, set.Name, err)
			continue
		}
		if !inject.Injected(labelled) {
			t.Errorf("set %d (%s) was let through uninjected", i, set.Name)
		}
		checkServices(t, labelled)
	}
}

// checkServices has the API server judge the Services of an injected set too.
func checkServices(t *testing.T, set *appsv1.StatefulSet) {
	t.Helper()
	for _, service := range []client.Object{inject.DiscoveryService(set), inject.LeaderService(set)} {
		if inject.ServiceProblem(set) != "" && service.GetName() == set.Spec.ServiceName {
			continue
		}
		if err := cluster.Client.Create(t.Context(), service, client.DryRunAll); err != nil {
			t.Errorf("service of set %s: %v", set.Name, err)
		}
	}
}
