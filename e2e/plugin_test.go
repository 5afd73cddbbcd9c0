package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// command prepares `kubectl h2o` in the test's namespace.
func (e *test) command(args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	at := 1 // after the command's name
	if args[0] == "__complete" {
		at = 2
	}
	cmd = exec.CommandContext(e.Context(), plugin, slices.Insert(slices.Clone(args), at, "--kubeconfig", cluster.Kubeconfig, "-n", e.namespace)...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// h2o runs `kubectl h2o` in the test's namespace and gives its exit code.
func (e *test) h2o(args ...string) (code int, stdout, stderr string) {
	e.Helper()
	cmd, out, problems := e.command(args...)
	return e.code(cmd.Run()), out.String(), problems.String()
}

func (e *test) code(err error) int {
	e.Helper()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		e.Fatal(err)
	}
	return 0
}

// says fails the test unless a command ends with a code and says all parts, on
// whichever stream.
func (e *test) says(want int, args []string, parts ...string) string {
	e.Helper()
	code, stdout, stderr := e.h2o(args...)
	if code != want {
		e.Errorf("%q: want exit code %d, got %d", args, want, code)
	}
	for _, part := range parts {
		if !strings.Contains(stdout+stderr, part) {
			e.Errorf("%q: want %q in\n%s%s", args, part, stdout, stderr)
		}
	}
	return stdout
}

// write keeps a status as the reconcilers do.
func (e *test) write(name string, status life.Status) {
	e.Helper()
	annotations, err := status.Annotations()
	if err != nil {
		e.Fatal(err)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	if err != nil {
		e.Fatal(err)
	}
	e.eventually("the status is written", func(context.Context) error {
		_, _, err := e.tryKubectl("", "patch", "statefulset", name, "--type=merge", "-p", string(patch))
		return err
	})
}

// formedStatus is the status of a cluster that has just formed of a set's pods.
func (e *test) formedStatus(name string) life.Status {
	e.Helper()
	now := time.Now()
	status := life.Status{
		Phase: life.PhaseFormed, Since: now, Message: "a cluster of 3, led by demo-1", Leader: name + "-1",
		Restarts: 2, LastCause: life.CauseMemberLost, LastRestart: now,
		Generation: &life.Generation{Formed: now, Leader: name + "-1", Proof: life.ProofAnswers, Members: map[string]life.Member{}},
	}
	for _, pod := range e.pods(name) {
		status.Generation.Members[pod.Name] = life.Member{UID: pod.UID, Restarts: 1}
	}
	return status
}

func (e *test) pods(name string) []corev1.Pod {
	e.Helper()
	var pods corev1.PodList
	if err := cluster.Client.List(e.Context(), &pods, client.InNamespace(e.namespace), client.MatchingLabels{inject.LabelClusterName: name}); err != nil {
		e.Fatal(err)
	}
	return pods.Items
}

// runPods stands in for the kubelet: all pods of a set run, each restarted once.
func (e *test) runPods(name string) {
	e.Helper()
	set := &appsv1.StatefulSet{}
	e.get(set, name)
	e.eventually("all pods", func(context.Context) error {
		if got := len(e.pods(name)); got != int(*set.Spec.Replicas) {
			return fmt.Errorf("%d", got)
		}
		return nil
	})
	for _, pod := range e.pods(name) {
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "h2o", RestartCount: 1, Image: "h2o", ImageID: "h2o",
			State:                corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137}},
		}}
		if err := cluster.Client.Status().Update(e.Context(), &pod); err != nil {
			e.Fatal(err)
		}
	}
}
