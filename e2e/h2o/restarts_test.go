//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestLifeRestarts proves for each cause, alternately and while a model is being
// trained, that one restart of the whole cluster follows and that one cluster of
// new nodes comes out of it; and that a client who asks all the while is never
// answered by a node outside of a formed cluster. ROUNDS is how often.
func TestLifeRestarts(t *testing.T) {
	t.Parallel()
	l := live(t, "demo", cluster.Plain("demo", 3))
	client := l.ask()
	client.meets()
	for round := range rounds(t) {
		for _, cause := range []struct {
			cause life.Cause
			nodes int
			do    func()
		}{
			{life.CauseMemberLost, 3, func() { l.Kubectl("delete", "pod", l.follower(), "--wait=false") }},
			{life.CauseContainerRestarted, 3, func() { l.killJVM(l.follower()) }},
			{life.CauseTemplate, 3, func() {
				l.Kubectl("patch", "statefulset", l.name, "-p", fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"round":"%d"}}}}}`, round))
			}},
			{life.CauseTemplate, 3, func() { l.Kubectl("rollout", "restart", "statefulset", l.name) }},
			{life.CauseMemberLost, 3, func() { l.Kubectl("delete", "pod", l.status().Leader, "--wait=false") }},
			{life.CauseResize, 5, func() { l.Kubectl("scale", "statefulset", l.name, "--replicas=5") }},
			{life.CauseResize, 2, func() { l.Apply(cluster.Plain(l.name, 2)) }},
		} {
			l.train()
			l.calm(cause.cause)
			l.restart(cause.cause, cause.nodes, cause.do)
			client.meets()
		}
		l.train()
		l.stopAndStart()
		client.meets()
	}
	l.train() // meanwhile the client asks the last cluster
	client.end()
}

// calm waits until a restart that nobody asks for would not be held back for
// those before it.
func (l *lived) calm(cause life.Cause) {
	l.Helper()
	if cause != life.CauseMemberLost && cause != life.CauseContainerRestarted {
		return
	}
	const backoff = 10 * time.Second // after one before; there are never more in a row here
	l.until("no restart would wait", 3*backoff, func(s life.Status) bool {
		return s.Streak == 0 || time.Since(s.LastRestart) > backoff<<(s.Streak-1)
	})
}

// stopAndStart goes from 2 to none by a patch and back to 3, which is no restart.
func (l *lived) stopAndStart() {
	l.Helper()
	l.Kubectl("patch", "statefulset", l.name, "-p", `{"spec":{"replicas":0}}`)
	l.until("stopped", restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseStopped })
	if pods := l.Pods(l.name); len(pods) > 0 {
		l.Errorf("stopped with %d pods", len(pods))
	}
	l.Kubectl("scale", "statefulset", l.name, "--replicas=3")
	l.until("started again", restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseFormed })
	if got := l.status().Restarts; got != l.restarts {
		l.Errorf("%d restarts after a stop and a start, want %d as before", got, l.restarts)
	}
	l.whole(3)
}

// TestLifeH2OSaysHealthy shows why a container that restarts in place is taken
// for a lost member: H2O says that all is well, while the data are gone.
func TestLifeH2OSaysHealthy(t *testing.T) {
	needLong(t)
	t.Parallel()
	manifest := strings.Replace(cluster.Plain("demo", 3), "metadata:\n", "metadata:\n  annotations: {h2o.ai/on-member-loss: ignore}\n", 1)
	l := live(t, "demo", manifest)
	l.work("frame")
	if got := strings.TrimSpace(l.work("use")); got != "20000" {
		t.Fatalf("want a frame of 20000 rows, got %s", got)
	}
	old := podUIDs(l.Test, l.name)
	l.killJVM(l.follower())
	l.until("said", restartLimit, func(s life.Status) bool {
		return s.Phase == life.PhaseDegraded && strings.Contains(s.Message, "restarted in place") && strings.Contains(s.Message, "left as it is")
	})
	l.Eventually("H2O lets the restarted node in again", time.Minute, func(ctx context.Context) error {
		answers := l.Space.ProbeAnswers(ctx, l.Pods(l.name), h2otest.PortProbe)
		followers := 0
		for _, answer := range answers {
			if answer == http.StatusNotFound {
				followers++
			}
		}
		if followers != 2 {
			return fmt.Errorf("the nodes answer %v", answers)
		}
		return nil
	})
	url := "http://" + h2otest.RESTAddress(l.leaderPod())
	cloud, err := cluster.Cloud(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if cloud.Size != 3 || !cloud.Healthy || !cloud.Consensus {
		t.Errorf("want H2O to claim a healthy cloud of 3, got %+v", cloud)
	}
	if out, err := cluster.Python(t.Context(), workScript, url, "use"); err == nil || !strings.Contains(err.Error(), "HTTP 500") && !strings.Contains(err.Error(), "timed out") {
		t.Errorf("want the use of the frame to fail with HTTP 500, or to hang, got %q, %v", out, err)
	}
	if got := l.status().Restarts; got != l.restarts || !slices.Equal(old, podUIDs(l.Test, l.name)) {
		t.Errorf("want nothing restarted, got %d restarts after %d", got, l.restarts)
	}
	l.restart(life.CauseContainerRestarted, 3, func() { l.Kubectl("annotate", "statefulset", l.name, "h2o.ai/on-member-loss-") })
}
