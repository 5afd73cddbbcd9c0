package h2otest

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

const (
	// FormLimit is how long a cluster may take to form where nothing holds it.
	FormLimit = 3 * time.Minute
	// cleanLimit is how long the report and the clean-up may take.
	cleanLimit = time.Minute
)

// Test is a test's own namespace. What cannot be done ends the test; when the
// test fails it prints a report.
type Test struct {
	*testing.T
	Space *Space
}

// Test gives a test a namespace, which goes with it.
func (c *Cluster) Test(t *testing.T) *Test {
	t.Helper()
	return c.TestIn(t, "test-")
}

// TestIn is Test with a name for the namespace, see NewSpace.
func (c *Cluster) TestIn(t *testing.T, name string) *Test {
	t.Helper()
	space, err := c.NewSpace(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), cleanLimit)
		defer cancel()
		if t.Failed() {
			t.Logf("what there was when it failed:\n%s", space.Report(ctx))
		}
		if err := space.Delete(ctx); err != nil {
			t.Error(err)
		}
	})
	return &Test{t, space}
}

// Apply applies manifests and returns the warnings.
func (t *Test) Apply(manifest string) []string {
	t.Helper()
	warnings, err := t.Space.Apply(t.Context(), manifest)
	if err != nil {
		t.Fatal(err)
	}
	return warnings
}

// Kubectl runs kubectl in the namespace.
func (t *Test) Kubectl(args ...string) string {
	t.Helper()
	out, err := t.Space.Kubectl(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Formed waits until a set's cluster is formed and says how long that took.
func (t *Test) Formed(set string, limit time.Duration) {
	t.Helper()
	start := time.Now()
	if err := t.Space.WaitPhase(t.Context(), set, "Formed", limit); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: formed after %.1f s", set, time.Since(start).Seconds())
}

// Pods lists the pods of a set.
func (t *Test) Pods(set string) []corev1.Pod {
	t.Helper()
	pods, err := t.Space.Pods(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

// LeaderURL is the address of a set's cluster for clients.
func (t *Test) LeaderURL(set string) string {
	t.Helper()
	url, err := t.Space.LeaderURL(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// Cloud asks the leader Service of a set for its cloud.
func (t *Test) Cloud(set string) *Cloud {
	t.Helper()
	url := t.LeaderURL(set)
	var cloud *Cloud
	t.Eventually("the leader Service answers", 10*time.Second, func(ctx context.Context) (err error) {
		cloud, err = t.Space.Cloud(ctx, url)
		return err
	})
	return cloud
}

// Eventually waits for a condition and ends the test with its last reason.
func (t *Test) Eventually(what string, limit time.Duration, condition func(context.Context) error) {
	t.Helper()
	if err := harness.Poll(t.Context(), limit, condition); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
