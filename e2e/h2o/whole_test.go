//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// slowPod has one pod of a set take long to end, and its node answer meanwhile:
// where the set's own controller replaces the others, they find its address.
func slowPod(manifest, pod string) string {
	hook := fmt.Sprintf(`        lifecycle: {preStop: {exec: {command: [sh, -c, '[ "$HOSTNAME" != %s ] || exec sleep 20']}}}`, pod)
	return strings.NewReplacer(
		"terminationGracePeriodSeconds: 1\n", "terminationGracePeriodSeconds: 30\n",
		"        resources:\n", hook+"\n        resources:\n").Replace(manifest)
}

// clouds waits until each of the set's nodes is the leader of a cloud of its own.
func (l *lived) clouds(n int) {
	l.Helper()
	l.Eventually(fmt.Sprintf("%d clouds of one", n), restartLimit, func(ctx context.Context) error {
		pods, err := l.Space.Pods(ctx, l.name)
		if err != nil {
			return err
		}
		alone := 0
		for i := range pods {
			cloud, err := l.Space.Cloud(ctx, "http://"+h2otest.RESTAddress(&pods[i]))
			if err == nil && cloud.Size == 1 && pods[i].DeletionTimestamp == nil {
				alone++
			}
		}
		if alone != n {
			return fmt.Errorf("there are %d; the nodes answer %v", alone, l.Space.ProbeAnswers(ctx, pods, h2otest.PortProbe))
		}
		return nil
	})
}

// allReady proves that Kubernetes shows nothing.
func (l *lived) allReady() {
	l.Helper()
	l.Eventually("Kubernetes calls all pods ready", time.Minute, func(ctx context.Context) error {
		pods, err := l.Space.Pods(ctx, l.name)
		if err != nil {
			return err
		}
		for i := range pods {
			if !h2otest.Ready(&pods[i]) {
				return fmt.Errorf("%s is not", pods[i].Name)
			}
		}
		return nil
	})
}

// foundWithin is how long a cluster that is none may go unseen by a webhook that looks.
const foundWithin = 15 * time.Second

// TestLifeCloudsOfOne makes clouds of one that all look ready, as they come about
// where nobody fences: pods are deleted while the webhook is away, and one of
// them is slow to end.
func TestLifeCloudsOfOne(t *testing.T) {
	needLong(t)
	l := live(t, "demo", slowPod(cluster.Plain("demo", 3), "demo-1"))
	l.Cleanup(func() { // whatever happens, for the others
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), restartLimit)
		defer cancel()
		if err := comeBack(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.ScaleWebhook(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	l.Kubectl("delete", "pods", "--all", "--wait=false")
	l.clouds(3)
	l.allReady()
	if err := comeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	l.until("found", time.Minute, func(s life.Status) bool { return s.Restarts > l.restarts })
	l.Logf("found %.1f s after the webhook was ready", time.Since(start).Seconds())
	if took := time.Since(start); took > foundWithin {
		t.Errorf("found after %s, want %s", took, foundWithin)
	}
	l.until("healed", restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseFormed && s.Restarts > l.restarts })
	l.whole(3)
}

// TestLifeNobodyFound makes clouds of one with the webhook there: a discovery
// Service of the user's leads to nobody, so that each node goes on alone.
func TestLifeNobodyFound(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := &lived{Test: cluster.Test(t), name: "demo"}
	const service = `{apiVersion: v1, kind: Service, metadata: {name: demo}, spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: SELECTED}, ports: [{port: 54321}]}}`
	l.Apply(strings.Replace(service, "SELECTED", "nobody", 1))
	l.Apply(strings.Replace(cluster.Plain("demo", 3), "metadata:\n", "metadata:\n  annotations: {h2o.ai/lookup-timeout: \"10\"}\n", 1))
	l.says("selects")
	l.clouds(3)
	start := time.Now()
	l.until("found", time.Minute, func(s life.Status) bool { return s.Restarts > 0 })
	if took := time.Since(start); took > foundWithin {
		t.Errorf("found after %s, want %s", took, foundWithin)
	}
	if status := l.status(); status.LastCause != life.CauseFormation {
		t.Errorf("the cause is %s, want %s", status.LastCause, life.CauseFormation)
	}
	l.says("3 clouds instead of one")
	l.says("somebody else's, so new nodes may meet old ones")
	l.Apply(strings.Replace(service, "SELECTED", "demo", 1))
	l.until("healed", 2*restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseFormed })
	l.whole(3)
}

// TestLifeForeignService proves that a cluster behind a discovery Service that
// cannot be fenced ends formed, also when an old pod is there for long.
func TestLifeForeignService(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := &lived{Test: cluster.Test(t), name: "demo"}
	l.Apply(`{apiVersion: v1, kind: Service, metadata: {name: demo}, spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: demo}, ports: [{port: 54321}]}}`)
	l.Apply(slowPod(cluster.Plain("demo", 3), "demo-1"))
	l.Formed("demo", restartLimit)
	l.Kubectl("rollout", "restart", "statefulset", "demo")
	l.until("restarted", restartLimit, func(s life.Status) bool { return s.Restarts > 0 })
	l.says("somebody else's, so new nodes may meet old ones")
	l.Eventually("one cluster of all, for good", 3*restartLimit, func(ctx context.Context) error {
		pods, err := l.Space.Pods(ctx, l.name)
		if err != nil {
			return err
		}
		leaders := 0
		for _, answer := range l.Space.ProbeAnswers(ctx, pods, h2otest.PortProbe) {
			if answer == http.StatusOK {
				leaders++
			}
		}
		status, err := l.readStatus(ctx)
		if err == nil && (status.Phase != life.PhaseFormed || leaders != 1) {
			err = fmt.Errorf("%d lead, %s: %s", leaders, status.Phase, status.Message)
		}
		return err
	})
	l.Logf("formed after %d restarts", l.status().Restarts)
	l.whole(3)
}
