package life

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Pod is what matters of one pod.
type Pod struct {
	Name string
	UID  types.UID
	// IP is empty before the pod has its network.
	IP   string
	Node string
	// Revision is the StatefulSet revision that it was made from.
	Revision string
	// Ours: it was made from an injected template.
	Ours    bool
	Created time.Time
	// Deleted is until when a pod that is being deleted may take to end; zero
	// for one that is not being deleted.
	Deleted time.Time
	// Ended: it runs no more and never will (evicted, say).
	Ended bool
	// Running: H2O's container runs, since Started. Started is zero where it
	// never did.
	Running bool
	Started time.Time
	// Restarts counts how often H2O's container was restarted in place.
	Restarts int32
	// Ready is the kubelet's word, Unready since when (to the second) it is not.
	Ready   bool
	Unready time.Time
	// Problem says why the pod does not run, in Kubernetes' words; empty for none.
	Problem string
	// Exit is how the run of H2O before this one ended, nil where none did.
	Exit *Exit
}

// Exit is the end of a container's run.
type Exit struct {
	Code   int32
	Reason string
}

// PodFrom reads what matters of a pod whose H2O container has a name.
// clusterLabel is the label that an injected template has.
func PodFrom(pod *corev1.Pod, container, clusterLabel string) Pod {
	p := Pod{
		Name: pod.Name, UID: pod.UID, IP: pod.Status.PodIP, Node: pod.Spec.NodeName,
		Revision: pod.Labels[appsv1.ControllerRevisionHashLabelKey], Ours: pod.Labels[clusterLabel] != "",
		Created: pod.CreationTimestamp.Time,
		Ended:   pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded,
	}
	if pod.DeletionTimestamp != nil {
		p.Deleted = pod.DeletionTimestamp.Time
	}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodReady:
			if p.Ready = c.Status == corev1.ConditionTrue; !p.Ready {
				p.Unready = c.LastTransitionTime.Time
			}
		case corev1.PodScheduled:
			if c.Status == corev1.ConditionFalse {
				p.Problem = c.Message
			}
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if c := &pod.Status.ContainerStatuses[i]; c.Name == container {
			p.readContainer(c)
		}
	}
	if p.Ended && p.Problem == "" {
		p.Problem = cmp.Or(pod.Status.Message, pod.Status.Reason, string(pod.Status.Phase))
	}
	return p
}

func (p *Pod) readContainer(c *corev1.ContainerStatus) {
	p.Restarts = c.RestartCount
	switch state := c.State; {
	case state.Running != nil:
		p.Running, p.Started = true, state.Running.StartedAt.Time
	case state.Terminated != nil:
		p.Started = state.Terminated.StartedAt.Time
		p.Exit = &Exit{state.Terminated.ExitCode, state.Terminated.Reason}
		p.Problem = p.Exit.String()
	case state.Waiting != nil && state.Waiting.Reason != "ContainerCreating" && state.Waiting.Reason != "PodInitializing":
		p.Problem = state.Waiting.Reason
		if state.Waiting.Message != "" {
			p.Problem += ": " + state.Waiting.Message
		}
	}
	if last := c.LastTerminationState.Terminated; last != nil && p.Exit == nil {
		p.Exit = &Exit{last.ExitCode, last.Reason}
	}
}

// exitMeanings are H2O's own exit codes and those that Linux gives.
// Source: water.H2O (exit 255 where a node may not join or dies, 3 for a Java
// that it does not support, 1 for arguments, ports and addresses).
var exitMeanings = map[int32]string{
	0:   "H2O ended in order",
	1:   "H2O refused its arguments, or its probe port or address is in use",
	3:   "H2O does not support this Java: 8 to 17 are",
	137: "it was killed (SIGKILL)",
	143: "it was asked to end (SIGTERM)",
	255: "H2O may not join: the cluster is locked, runs another jar, or died",
}

// String explains an exit to people.
func (e Exit) String() string {
	text := fmt.Sprintf("exit %d", e.Code)
	if e.Reason != "" && e.Reason != "Error" && e.Reason != "Completed" {
		text += " " + e.Reason
	}
	if e.Reason == "OOMKilled" {
		return text + ": it used more memory than its container's limit"
	}
	if meaning := exitMeanings[e.Code]; meaning != "" {
		text += ": " + meaning
	}
	return text
}

// Deleting says whether a pod is being deleted.
func (p *Pod) Deleting() bool { return !p.Deleted.IsZero() }

// mayAsk says whether H2O in this pod may have looked for its peers by now: it
// does so from about 2.7 s after its start, on a fast machine earlier.
func (p *Pod) mayAsk(now time.Time) bool {
	return p.Running && now.Sub(p.Started) > firstLookup
}

const firstLookup = 2 * time.Second

// where names a pod and its machine.
func (p *Pod) where() string {
	if p.Node == "" {
		return p.Name
	}
	return p.Name + " on node " + p.Node
}

func uids(pods []Pod) []types.UID {
	all := make([]types.UID, 0, len(pods))
	for i := range pods {
		all = append(all, pods[i].UID)
	}
	slices.Sort(all)
	return all
}

// these gives the pods for which a condition holds.
func these(pods []Pod, condition func(*Pod) bool) []Pod {
	var found []Pod
	for i := range pods {
		if condition(&pods[i]) {
			found = append(found, pods[i])
		}
	}
	return found
}
