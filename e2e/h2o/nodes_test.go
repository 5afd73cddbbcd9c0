//go:build h2o

package h2o

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// lostNode is the node that the tests take off the network, otherNode the one that
// they leave alone.
const lostNode, otherNode = "node-2", "node-1"

// nodeLimit is how long Kubernetes may take to give a node up, and we to see it:
// 50 s, the pods' toleration, and a minute between two looks.
const nodeLimit = 4 * time.Minute

// quickToGo has Kubernetes delete the pods of a lost node soon.
func quickToGo(manifest string) string {
	var tolerations []string
	for _, taint := range []string{"not-ready", "unreachable"} {
		tolerations = append(tolerations, "{key: node.kubernetes.io/"+taint+", operator: Exists, effect: NoExecute, tolerationSeconds: 20}")
	}
	return strings.Replace(manifest, "      containers:\n", "      tolerations: ["+strings.Join(tolerations, ", ")+"]\n      containers:\n", 1)
}

// TestLifeNodeLost takes a node off the network with a follower, and with the
// leader, on it. When it is back, or its node object is deleted, all heals.
func TestLifeNodeLost(t *testing.T) {
	needLong(t)
	if cluster.Shared == "" {
		t.Skip("nobody's own node is taken off the network")
	}
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Name: lostNode}, &corev1.Node{}); err != nil {
		t.Skipf("it needs two nodes (NODES=2): %v", err)
	}
	l := live(t, "demo", quickToGo(cluster.Plain("demo", 3)))
	l.Cleanup(func() {
		l.link("up")
		if _, _, err := cluster.RunKubectl(context.WithoutCancel(t.Context()), "", "uncordon", lostNode, otherNode); err != nil {
			t.Error(err)
		}
	})
	for _, leader := range []bool{false, true} {
		for what, heal := range map[string]func(){"the node is back": func() { l.link("up") }, "the node object is deleted": l.deleteNode} {
			t.Run(fmt.Sprintf("leader there %t, %s", leader, what), func(t *testing.T) {
				on := *l
				on.T = t
				defer func() { l.restarts = on.restarts }()
				on.loseNode(leader, heal)
			})
		}
	}
}

func (l *lived) loseNode(leader bool, heal func()) {
	l.Helper()
	gone := l.placed(leader)
	l.train()
	l.restart(life.CauseMemberLost, 3, func() {
		l.link("down")
		l.until("degraded", nodeLimit, func(s life.Status) bool {
			return s.Phase == life.PhaseDegraded && strings.Contains(s.Message, gone+" on node "+lostNode+" does not answer")
		})
		l.until("held", nodeLimit, func(s life.Status) bool {
			return s.Phase == life.PhaseRestarting && strings.Contains(s.Message, "on node "+lostNode+" to end: its machine may be down")
		})
		if leader := l.status().Leader; leader != "" {
			l.Errorf("clients are led to %s while the restart is held", leader)
		}
		heal()
	})
}

// TestLifeFrozen stops the leader's process, and a follower's, and lets it go on: it
// is said, soon for the leader, and nothing is restarted.
func TestLifeFrozen(t *testing.T) {
	needLong(t)
	if cluster.Shared == "" {
		t.Skip("nobody's own process is stopped")
	}
	t.Parallel()
	l := live(t, "demo", cluster.Plain("demo", 3))
	uids := podUIDs(l.Test, l.name)
	for _, frozen := range []struct {
		pod   string
		limit time.Duration
	}{{l.status().Leader, 20 * time.Second}, {l.follower(), 80 * time.Second}} {
		l.signal(frozen.pod, syscall.SIGSTOP)
		start := time.Now()
		l.until("degraded", frozen.limit, func(s life.Status) bool {
			return s.Phase == life.PhaseDegraded && strings.HasPrefix(s.Message, frozen.pod) && strings.Contains(s.Message, "does not answer")
		})
		l.Logf("%s frozen: said after %.1f s", frozen.pod, time.Since(start).Seconds())
		l.signal(frozen.pod, syscall.SIGCONT)
		l.until("formed again", soon, func(s life.Status) bool { return s.Phase == life.PhaseFormed })
	}
	if now := podUIDs(l.Test, l.name); !slices.Equal(uids, now) {
		t.Errorf("want nothing restarted, got pods %v after %v", now, uids)
	}
	hadRestarts(l.Test, l.name, l.restarts)
	l.whole(3)
}

// signal sends a signal to H2O in a pod from its machine, which is this one.
func (l *lived) signal(pod string, signal syscall.Signal) {
	l.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		l.Fatal(err)
	}
	for _, path := range environments {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		variables := strings.Split(string(text), "\x00")
		service := "H2O_KUBERNETES_SERVICE_DNS=" + l.name + "." + l.Space.Namespace + "."
		if !slices.Contains(variables, "HOSTNAME="+pod) || !slices.ContainsFunc(variables, func(v string) bool { return strings.HasPrefix(v, service) }) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil {
			err = syscall.Kill(pid, signal)
		}
		if err != nil {
			l.Fatal(err)
		}
		return
	}
	l.Fatalf("no process of %s runs on this machine", pod)
}

// placed restarts a cluster until the lost node has some of its pods, the leader
// among them or not, and gives the name of the first. H2O's leader is the node
// whose address ends lowest, and each machine counts its pods' addresses up, so
// some are used up on the machine that is not to have the leader.
// Source: water.H2ONode.H2Okey.compareTo, which compares the last byte first.
func (l *lived) placed(leader bool) string {
	l.Helper()
	kept := otherNode
	if leader {
		kept = lostNode
	}
	anew := func() {
		l.restart(life.CauseTemplate, 3, func() { l.Kubectl("rollout", "restart", "statefulset", l.name) })
	}
	for range 8 {
		var there []string
		for _, pod := range l.Pods(l.name) {
			if pod.Spec.NodeName == lostNode {
				there = append(there, pod.Name)
			}
		}
		if len(there) > 0 && slices.Contains(there, l.status().Leader) == leader {
			return slices.Min(there)
		}
		l.Kubectl("cordon", kept)
		anew()
		anew()
		l.Kubectl("uncordon", kept)
		anew()
	}
	l.Fatalf("the pods never were on the nodes as wanted (leader on %s: %t)", lostNode, leader)
	return ""
}

// link takes the node off the network, or back and waits until it is ready.
func (l *lived) link(state string) {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), nodeLimit)
	defer cancel()
	if _, err := cluster.Command(ctx, os.Stderr, "link", lostNode, state); err != nil {
		l.Fatal(err)
	}
	if state == "down" {
		return
	}
	if _, _, err := cluster.RunKubectl(ctx, "", "wait", "--for=condition=Ready", "node/"+lostNode, "--timeout="+nodeLimit.String()); err != nil {
		l.Fatal(err)
	}
}

// deleteNode deletes the node object. When the cluster has healed without it, the
// node comes back.
func (l *lived) deleteNode() {
	l.Helper()
	node := &corev1.Node{}
	if err := cluster.Client.Get(l.Context(), client.ObjectKey{Name: lostNode}, node); err != nil {
		l.Fatal(err)
	}
	if err := cluster.Client.Delete(l.Context(), node); err != nil {
		l.Fatal(err)
	}
	restarts := l.restarts
	l.until("formed without the node", nodeLimit, func(s life.Status) bool { return s.Phase == life.PhaseFormed && s.Restarts > restarts })
	// A kubelet registers its node only when it starts; and a kube-proxy ends, to be
	// started anew by who looks after it, when its node has other addresses.
	anew := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: node.Name, Labels: node.Labels, Annotations: node.Annotations},
		Spec:       corev1.NodeSpec{PodCIDR: node.Spec.PodCIDR, PodCIDRs: node.Spec.PodCIDRs},
		Status:     corev1.NodeStatus{Addresses: node.Status.Addresses},
	}
	if err := cluster.Client.Create(l.Context(), anew); err != nil {
		l.Fatal(err)
	}
	l.link("up")
}
