//go:build h2o

package h2o

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// standing is what must not move where nobody changes anything.
type standing struct {
	Generation, Revision, Template string
	Pods                           map[string]string // UID, address and restart count by name
	Formed                         time.Time
	Restarts                       int
}

func (l *lived) standing() standing {
	l.Helper()
	set, err := l.Space.Set(l.Context(), l.name)
	if err != nil {
		l.Fatal(err)
	}
	status := l.status()
	s := standing{
		Generation: fmt.Sprint(set.Generation), Revision: set.Status.UpdateRevision, Template: set.Spec.Template.String(),
		Pods: map[string]string{}, Restarts: status.Restarts,
	}
	if status.Generation != nil {
		s.Formed = status.Generation.Formed
	}
	for _, pod := range l.Pods(l.name) {
		s.Pods[pod.Name] = fmt.Sprintf("%s %s %s", pod.UID, pod.Status.PodIP, fmt.Sprint(restartCounts(pod)))
	}
	return s
}

// TestLifeUpgrade proves that a new webhook with other defaults moves nothing
// while clusters run: not when it starts, and not when a set is touched.
func TestLifeUpgrade(t *testing.T) {
	l := live(t, "demo", cluster.Plain("demo", 3))
	l.train()
	before := l.standing()
	l.webhookArgs("--cluster-domain=elsewhere.example", "--dns-ttl=7s", "--restart-backoff=1s")
	l.Cleanup(func() { l.webhookArgs(testArgs...) })
	// Each of these calls the new webhook, which would now write other variables.
	l.Kubectl("annotate", "statefulset", l.name, "example.org/touched=1")
	l.Kubectl("label", "statefulset", l.name, "example.org/touched=1")
	l.Apply(cluster.Plain("demo", 3))
	const calm = time.Minute
	for end := time.Now().Add(calm); time.Now().Before(end); time.Sleep(2 * time.Second) { // nothing is waited for: nothing may happen
		if diff := cmp.Diff(before, l.standing()); diff != "" {
			t.Fatalf("the new webhook moved something:\n%s", diff)
		}
	}
	l.whole(3)
	fresh := &lived{Test: l.Test, name: "fresh"}
	fresh.Apply(cluster.Plain("fresh", 1))
	fresh.Eventually("the new defaults hold for a new set", h2otest.FormLimit, func(ctx context.Context) error {
		set, err := l.Space.Set(ctx, "fresh")
		if err == nil && !strings.Contains(set.Spec.Template.String(), "elsewhere.example") {
			err = errors.New("they do not")
		}
		return err
	})
}

// webhookArgs has the webhook run with other arguments, in new pods.
func (l *lived) webhookArgs(args ...string) {
	l.Helper()
	text, err := json.Marshal(append([]string{"serve"}, args...))
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), restartLimit)
	defer cancel()
	kubectl := func(args ...string) string {
		out, _, err := cluster.RunKubectl(ctx, "", append([]string{"-n", harness.Namespace}, args...)...)
		if err != nil {
			l.Fatal(err)
		}
		return out
	}
	old := strings.Fields(kubectl("get", "pods", "-l", "app.kubernetes.io/name=h2o-webhook", "-o", "name"))
	patch := fmt.Sprintf(`[{"op":"replace","path":"/spec/template/spec/containers/0/args","value":%s}]`, text)
	kubectl("patch", "deployment", "h2o-webhook", "--type=json", "-p", patch)
	kubectl("rollout", "status", "deployment", "h2o-webhook", "--timeout="+restartLimit.String())
	// One that drains still answers, and as it was.
	kubectl(append([]string{"wait", "--for=delete", "--timeout=" + restartLimit.String()}, old...)...)
	if err := cluster.WaitCalled(ctx); err != nil {
		l.Fatal(err)
	}
}

// restartCounts are of a pod's containers.
func restartCounts(pod corev1.Pod) []int32 {
	var counts []int32
	for _, status := range pod.Status.ContainerStatuses {
		counts = append(counts, status.RestartCount)
	}
	return counts
}
