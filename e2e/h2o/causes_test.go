//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestLifeOutOfMemory has the kernel kill a node that takes more memory than its
// container may: its heap is larger than that.
func TestLifeOutOfMemory(t *testing.T) {
	needLong(t)
	t.Parallel()
	manifest := strings.NewReplacer("memory: 1Gi", "memory: 700Mi",
		"        resources:\n", "        env: [{name: JAVA_TOOL_OPTIONS, value: -Xmx3g}]\n        resources:\n").Replace(cluster.Plain("demo", 3))
	l := live(t, "demo", manifest)
	l.restart(life.CauseContainerRestarted, 3, func() {
		if out, err := l.tryWork(t.Context(), "frame", "6000000"); err == nil {
			t.Errorf("want the memory not to be enough, got %q", out)
		}
	})
	l.says("OOMKilled")
}

// TestLifeDrain takes a node's pods away in order.
func TestLifeDrain(t *testing.T) {
	needLong(t)
	l := live(t, "demo", cluster.Plain("demo", 3))
	l.train()
	node := l.leaderPod().Spec.NodeName
	l.Cleanup(func() {
		if _, _, err := cluster.RunKubectl(context.WithoutCancel(t.Context()), "", "uncordon", node); err != nil {
			t.Error(err)
		}
	})
	l.restart(life.CauseMemberLost, 3, func() {
		l.Kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector=app=demo", "--disable-eviction=false", "--timeout=60s")
		l.Kubectl("uncordon", node)
	})
}

// TestLifeSlowEnd proves that new nodes wait for an old one that is slow to end.
func TestLifeSlowEnd(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := live(t, "demo", slowPod(cluster.Plain("demo", 3), "demo-1"))
	l.train()
	l.restart(life.CauseTemplate, 3, func() { l.Kubectl("rollout", "restart", "statefulset", l.name) })
	l.restart(life.CauseMemberLost, 3, func() { l.Kubectl("delete", "pod", "demo-1", "--wait=false") })
}

// TestLifeTwoChanges changes a template while its cluster forms, and twice in a row.
func TestLifeTwoChanges(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := &lived{Test: cluster.Test(t), name: "demo"}
	l.Apply(cluster.Plain(l.name, 3))
	l.until("forming", restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseForming })
	l.change("during its formation")
	l.changed("during its formation")
	l.change("once")
	l.change("and again")
	l.changed("and again")
}

func (l *lived) change(value string) {
	l.Helper()
	l.Kubectl("patch", "statefulset", l.name, "-p", `{"spec":{"template":{"metadata":{"annotations":{"change":"`+value+`"}}}}}`)
}

// changed waits for a cluster of nodes that all have a change.
func (l *lived) changed(value string) {
	l.Helper()
	l.Eventually("a cluster with change "+value, 2*restartLimit, func(ctx context.Context) error {
		pods, err := l.Space.Pods(ctx, l.name)
		if err != nil {
			return err
		}
		for i := range pods {
			if got := pods[i].Annotations["change"]; got != value {
				return fmt.Errorf("%s has change %q", pods[i].Name, got)
			}
		}
		status, err := l.readStatus(ctx)
		if err == nil && status.Phase != life.PhaseFormed {
			err = fmt.Errorf("it is %s: %s", status.Phase, status.Message)
		}
		return err
	})
	l.whole(3)
}

// TestLifeElectedKilled kills the replica that does the work at different moments
// of a restart: another one finishes it.
func TestLifeElectedKilled(t *testing.T) {
	needLong(t)
	l := live(t, "demo", cluster.Plain("demo", 3))
	for moment, reached := range map[string]func(life.Status) bool{
		"at once":                 func(life.Status) bool { return true },
		"when it is decided":      func(s life.Status) bool { return s.Restart != nil },
		"when the new nodes form": func(s life.Status) bool { return s.Restarts > l.restarts && s.Phase == life.PhaseForming },
	} {
		l.restart(life.CauseTemplate, 3, func() {
			l.Kubectl("rollout", "restart", "statefulset", l.name)
			l.until(moment, restartLimit, reached)
			l.killElected()
		})
	}
}

// killElected kills the replica of the webhook that runs the reconcilers.
func (l *lived) killElected() {
	l.Helper()
	lease := &coordinationv1.Lease{}
	if err := cluster.Client.Get(l.Context(), client.ObjectKey{Namespace: harness.Namespace, Name: "h2o-webhook-leader"}, lease); err != nil {
		l.Fatal(err)
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	if _, _, err := cluster.RunKubectl(l.Context(), "", "-n", harness.Namespace, "delete", "pod", pod, "--force", "--grace-period=0"); err != nil {
		l.Fatal(err)
	}
}

// TestLifeLabel takes the label off a running cluster, whose pods Kubernetes then
// replaces one by one, and puts it on again.
func TestLifeLabel(t *testing.T) {
	needLong(t)
	t.Parallel()
	l := live(t, "demo", cluster.Plain("demo", 3))
	l.Kubectl("label", "statefulset", l.name, "h2o.ai/cluster-")
	l.Eventually("the injection is taken back", restartLimit, func(ctx context.Context) error {
		set, err := l.Space.Set(ctx, l.name)
		if err == nil && strings.Contains(set.Spec.Template.String(), "H2O_NODE_EXPECTED_COUNT") {
			err = fmt.Errorf("the template still has it")
		}
		if err == nil && (set.Status.UpdatedReplicas != 3 || set.Status.CurrentRevision != set.Status.UpdateRevision || set.Status.ObservedGeneration != set.Generation) {
			err = fmt.Errorf("%d of 3 pods are of the new template", set.Status.UpdatedReplicas)
		}
		return err
	})
	l.Kubectl("label", "statefulset", l.name, "h2o.ai/cluster=true")
	l.Formed(l.name, h2otest.FormLimit+restartLimit)
	l.until("adopted", restartLimit, func(s life.Status) bool { return s.Phase == life.PhaseFormed && s.LastCause == life.CauseAdoption })
	l.whole(3)
}
