//go:build h2o

package h2o

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

//go:embed testdata/work.py
var workScript string

// restartLimit is how long a whole restart may take where nothing holds it: the
// old nodes' end, DNS, and a formation on a busy machine.
const restartLimit = 3 * time.Minute

// lived is the cluster of one labelled set, followed through its life.
type lived struct {
	*h2otest.Test
	name string
	// restarts is how many restarts there must have been so far.
	restarts int
}

// live applies a set's manifest and waits until its cluster has formed.
func live(t *testing.T, name, manifest string) *lived {
	t.Helper()
	l := &lived{Test: cluster.Test(t), name: name}
	l.Apply(manifest)
	l.Formed(name, restartLimit)
	if status := l.status(); status.Restarts > 0 { // other tests have none there; here the life after it counts
		l.restarts = status.Restarts
		l.Logf("it formed after %d restarts, the last for %s", status.Restarts, status.LastCause)
	}
	return l
}

// needLong says how to run a test that is too long for every change.
func needLong(t *testing.T) {
	t.Helper()
	if !long() {
		t.Skip("it takes minutes: LONG=1 runs it")
	}
}

// long says whether the long form is wanted.
func long() bool { return os.Getenv("LONG") != "" }

// rounds is how often a test goes through all causes.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("cannot read ROUNDS: %v", err)
	}
	return n
}

func (l *lived) status() life.Status {
	l.Helper()
	return status(l.Test, l.name)
}

func (l *lived) readStatus(ctx context.Context) (life.Status, error) {
	set, err := l.Space.Set(ctx, l.name)
	if err != nil {
		return life.Status{}, err
	}
	return life.Read(set), nil
}

// until waits for a condition on the status.
func (l *lived) until(what string, limit time.Duration, holds func(life.Status) bool) {
	l.Helper()
	l.Eventually(what, limit, func(ctx context.Context) error {
		status, err := l.readStatus(ctx)
		if err == nil && !holds(status) {
			err = fmt.Errorf("it is %s after %d restarts (%s): %s", status.Phase, status.Restarts, status.LastCause, status.Message)
		}
		return err
	})
}

// restart does something that must end in exactly one whole restart, and in one
// cluster of new nodes only.
func (l *lived) restart(cause life.Cause, nodes int, do func()) {
	l.Helper()
	if got := l.status().Restarts; got != l.restarts {
		l.Fatalf("before %s: %d restarts were counted, want %d", cause, got, l.restarts)
	}
	old, start := podUIDs(l.Test, l.name), time.Now()
	do()
	l.restarts++
	l.until(string(cause)+": formed anew", restartLimit, func(s life.Status) bool {
		return s.Phase == life.PhaseFormed && s.Restarts >= l.restarts && len(s.Generation.Members) == nodes
	})
	status := l.status()
	if status.Restarts != l.restarts || status.LastCause != cause {
		l.Fatalf("%d restarts, the last of cause %s; want %d and %s", status.Restarts, status.LastCause, l.restarts, cause)
	}
	l.Logf("%s: a cluster of %d after %.1f s", cause, nodes, time.Since(start).Seconds())
	for _, uid := range podUIDs(l.Test, l.name) {
		if slices.Contains(old, uid) {
			l.Errorf("pod %s of the old generation is in the new one", uid)
		}
	}
	l.whole(nodes)
}

// whole proves one cluster of all nodes, and that clients are led to its leader.
func (l *lived) whole(nodes int) {
	l.Helper()
	isCluster(l.Test, l.name, nodes, h2otest.PortProbe)
	if leader, led := leads(l.Test, l.name, nodes, h2otest.PortProbe), l.status().Leader; leader != led {
		l.Errorf("%s leads, clients are led to %q", leader, led)
	}
}

// work runs a command of testdata/work.py against the cluster.
func (l *lived) work(args ...string) string {
	l.Helper()
	l.Cloud(l.name) // kube-proxy is a moment behind the phase
	out, err := l.tryWork(l.Context(), args...)
	if err != nil {
		l.Fatal(err)
	}
	return out
}

func (l *lived) tryWork(ctx context.Context, args ...string) (string, error) {
	url, err := l.Space.LeaderURL(ctx, l.name)
	if err != nil {
		return "", err
	}
	return cluster.Python(ctx, workScript, append([]string{url}, args...)...)
}

// train has the cluster busy with a long training.
func (l *lived) train() {
	l.Helper()
	l.work("frame")
	l.work("gbm", "busy")
}

// killJVM ends H2O in its pod, so that its container restarts in place.
func (l *lived) killJVM(pod string) {
	l.Helper()
	l.Kubectl("exec", pod, "--", "sh", "-c", "kill 1")
}

// follower names a member that does not lead, leader the one that does.
func (l *lived) follower() string {
	l.Helper()
	status := l.status()
	for name := range status.Generation.Members {
		if name != status.Leader {
			return name
		}
	}
	l.Fatal("there is no follower")
	return ""
}

// leaderPod is the pod that leads the cluster, also where clients are not led to it.
func (l *lived) leaderPod() *corev1.Pod {
	l.Helper()
	leader := l.status().Generation.Leader
	for _, pod := range l.Pods(l.name) {
		if pod.Name == leader {
			return &pod
		}
	}
	l.Fatalf("there is no leader %q", leader)
	return nil
}
