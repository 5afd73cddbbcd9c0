//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestWebhookAway has the webhook go while pods start: H2O forms without it, and
// what it missed it sees when it is back. Not beside others, which need it.
func TestWebhookAway(t *testing.T) {
	e := cluster.Test(t)
	e.Apply(cluster.Plain("demo", 3))
	e.Eventually("the discovery Service is there", soon, func(ctx context.Context) error {
		return e.Space.Get(ctx, &corev1.Service{}, "demo")
	})
	t.Cleanup(func() { // whatever happens, for the others
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
		defer cancel()
		if err := comeBack(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := cluster.ScaleWebhook(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	phase := status(e, "demo").Phase
	if phase == life.PhaseFormed {
		t.Fatal("it had formed before the webhook was gone: this proves nothing")
	}
	e.Eventually("H2O forms without the webhook", h2otest.FormLimit, formsAlone(e, "demo", 3))
	if got := status(e, "demo").Phase; got != phase {
		t.Errorf("the phase went from %s to %s while nobody was there", phase, got)
	}
	before := podUIDs(e, "demo")
	if err := comeBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Formed("demo", h2otest.FormLimit)
	isCluster(e, "demo", 3, h2otest.PortProbe)
	hadRestarts(e, "demo", 0)
	if after := podUIDs(e, "demo"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("pods were replaced: %v, then %v", before, after)
	}
}

// comeBack brings the webhook back.
func comeBack(ctx context.Context) error {
	if err := cluster.ScaleWebhook(ctx, 2); err != nil {
		return err
	}
	return cluster.WaitCalled(ctx)
}

func podUIDs(e *h2otest.Test, set string) []types.UID {
	e.Helper()
	var uids []types.UID
	for _, pod := range e.Pods(set) {
		uids = append(uids, pod.UID)
	}
	return uids
}

// TestNameServerRestarts has the cluster's DNS go while nodes look for each
// other. Not beside others, which need it.
func TestNameServerRestarts(t *testing.T) {
	e := cluster.Test(t)
	dns := func(args ...string) (string, error) {
		out, _, err := cluster.RunKubectl(t.Context(), "", append([]string{"-n", "kube-system"}, args...)...)
		return strings.TrimSpace(out), err
	}
	const label = "k8s-app=kube-dns"
	old, err := dns("get", "pods", "-l", label, "-o", "name")
	if err != nil || old == "" {
		t.Fatalf("cannot find the name servers: %q (%v)", old, err)
	}
	e.Apply(cluster.Plain("demo", 3))
	e.Eventually("a node looks for the others", h2otest.FormLimit, func(ctx context.Context) error {
		pods, err := e.Space.Pods(ctx, "demo")
		if err != nil {
			return err
		}
		for i := range pods {
			for _, container := range pods[i].Status.ContainerStatuses {
				if container.State.Running != nil {
					return nil
				}
			}
		}
		return fmt.Errorf("no container runs")
	})
	if _, err := dns(append([]string{"delete", "--grace-period=1"}, strings.Fields(old)...)...); err != nil {
		t.Fatal(err)
	}
	if phase := status(e, "demo").Phase; phase == life.PhaseFormed {
		t.Fatal("it had formed before the name servers went: this proves nothing")
	}
	e.Formed("demo", h2otest.FormLimit)
	isCluster(e, "demo", 3, h2otest.PortProbe)
	isListed(e, "demo", "demo")
	hadRestarts(e, "demo", 0)
}

// TestHeldBack has no room for one pod for a minute: the others wait for it.
func TestHeldBack(t *testing.T) {
	t.Parallel()
	const resource, held = "example.org/seat", time.Minute
	e := cluster.Test(t)
	seats := func(n int) {
		t.Helper()
		node := strings.Fields(e.Kubectl("get", "nodes", "-o", "name"))[0]
		patch := fmt.Sprintf(`{"status":{"capacity":{%q:"%d"},"allocatable":{%q:"%d"}}}`, resource, n, resource, n)
		e.Kubectl("patch", node, "--subresource=status", "--type=merge", "-p", patch)
	}
	seats(2)
	manifest := cluster.Plain("demo", 3)
	manifest = strings.Replace(manifest, "requests: {cpu", "requests: {"+resource+": 1, cpu", 1)
	e.Apply(strings.Replace(manifest, "limits: {memory", "limits: {"+resource+": 1, memory", 1))
	e.Eventually("two nodes look and one has no room", h2otest.FormLimit, func(context.Context) error {
		s := status(e, "demo")
		if !strings.Contains(s.Message, "2 of 3 nodes run") || !strings.Contains(s.Message, "Insufficient "+resource) || !strings.Contains(s.Message, "looking for the others: 2") {
			return fmt.Errorf("the status says %q", s.Message)
		}
		return nil
	})
	early := podUIDs(e, "demo")
	start := time.Now()
	e.Eventually("they go on looking", held+10*time.Second, func(ctx context.Context) error {
		set, err := e.Space.Set(ctx, "demo")
		if err != nil {
			return err
		}
		if s := life.Read(set); s.Phase != life.PhaseForming {
			t.Fatalf("after %s it is %s: %s", time.Since(start), s.Phase, s.Message)
		}
		if left := held - time.Since(start); left > 0 {
			return fmt.Errorf("%s to go", left)
		}
		return nil
	})
	seats(3)
	e.Formed("demo", h2otest.FormLimit)
	isCluster(e, "demo", 3, h2otest.PortProbe)
	hadRestarts(e, "demo", 0)
	if now := podUIDs(e, "demo"); fmt.Sprint(now) != fmt.Sprint(early) {
		t.Errorf("pods were replaced: %v, then %v", early, now)
	}
}
