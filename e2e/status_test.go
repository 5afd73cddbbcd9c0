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
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
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

func (e *test) phase(name string, want life.Phase) {
	e.Helper()
	e.eventually("phase "+string(want), func(context.Context) error {
		if got := life.Read(e.set(name)).Phase; got != want {
			return fmt.Errorf("it is %q", got)
		}
		return nil
	})
}

func TestStatusOfNone(t *testing.T) {
	e := newTest(t)
	e.says(0, []string{"status"}, "No H2O clusters in namespace "+e.namespace)
	e.says(2, []string{"status", "demo"}, "error: there is no StatefulSet demo in namespace "+e.namespace+", and no H2O cluster either")
	if out := e.says(0, []string{"status", "-o", "json"}); !strings.Contains(out, `"items": []`) {
		t.Errorf("want an empty list, got %s", out)
	}
}

func TestStatus(t *testing.T) {
	e := newTest(t)
	for _, name := range []string{"one", "two"} {
		e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: "+name), "apply", "-f", "-")
	}
	e.phase("one", life.PhasePending)
	e.phase("two", life.PhasePending)
	t.Run("rows", func(*testing.T) {
		out := e.says(1, []string{"status"}, "NAME", "PROBLEM")
		rows := strings.Split(strings.TrimSpace(out), "\n")
		if len(rows) != 3 || !strings.HasPrefix(rows[1], "one") || !strings.HasPrefix(rows[2], "two") {
			e.Fatalf("want a head and two rows in order, got\n%s", out)
		}
		for i, want := range []string{"one", "Pending", "0/3", "-"} {
			if got := strings.Fields(rows[1])[i]; got != want {
				e.Errorf("want %q in column %d, got %q", want, i, got)
			}
		}
		e.says(1, []string{"status", "-A", "-o", "wide"}, "NAMESPACE", "LAST-RESTART", e.namespace)
	})
	t.Run("data", func(*testing.T) {
		for format, read := range map[string]func([]byte, any) error{
			"json": json.Unmarshal,
			"yaml": func(text []byte, into any) error { return yaml.UnmarshalStrict(text, into) },
		} {
			var list report.ClusterStatusList
			if err := read([]byte(e.says(1, []string{"status", "-o", format})), &list); err != nil {
				e.Fatal(err)
			}
			if list.APIVersion != "h2o.ai/v1alpha1" || list.Kind != "ClusterStatusList" || len(list.Items) != 2 || list.Items[1].Name != "two" {
				e.Errorf("%s: got %+v", format, list)
			}
			if got := list.Items[0]; got.Formed || got.Phase != life.PhasePending || got.Nodes.Wanted != 3 || got.NotManaged != nil || len(got.Outdated) > 0 {
				e.Errorf("%s: got %+v", format, got)
			}
		}
	})
	t.Run("everything about one", func(*testing.T) {
		e.hasServices(e.set("one"))
		e.says(1, []string{"status", "one"}, "Pending", "0 formed, 0 running, 3 wanted",
			"set spec.updateStrategy", "the number of nodes is spec.replicas",
			"discovery", "one-leader", "ours", "one."+e.namespace+".svc.cluster.local -> nobody",
			"one-2", "trusted by the API server", "served by the webhook", "days left", "What to do next")
	})
	t.Run("completion", func(*testing.T) {
		if out := e.says(0, []string{"__complete", "status", "t"}); !strings.HasPrefix(out, "two\n:") {
			e.Errorf("want two, got %q", out)
		}
	})
	t.Run("following one until Ctrl-C", func(*testing.T) {
		cmd, out, _ := e.command("status", "one", "-w", "-o", "json")
		said := &lines{Buffer: out}
		cmd.Stdout = said
		if err := cmd.Start(); err != nil {
			e.Fatal(err)
		}
		e.eventually("how it is", said.has(`"kind": "ClusterStatus"`))
		if err := cmd.Process.Signal(interrupt); err != nil {
			e.Fatal(err)
		}
		if code := e.code(cmd.Wait()); code != 1 {
			e.Errorf("want exit code 1, since it is not formed, got %d", code)
		}
	})
	t.Run("a name that is not there", func(*testing.T) {
		e.says(2, []string{"status", "three"}, "there is no StatefulSet three", "its H2O clusters are one, two")
	})
}

// TestStatusRefused proves what is said where somebody may not look.
func TestStatusRefused(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.phase("demo", life.PhasePending)
	e.says(2, []string{"status", "--as", "nobody"}, "error: cannot list StatefulSets", "forbidden")
	e.says(2, []string{"status", "demo", "--as", "nobody"}, "forbidden")
	e.says(2, []string{"status", "-w", "--as", "nobody"}, "forbidden")
	e.says(2, []string{"status", "--server", "https://127.0.0.1:1"}, "refused")
	e.says(2, []string{"status", "demo", "-A"}, "not both")
	e.says(2, []string{"status", "-o", "name"}, "unknown")
	e.kubectl("", "create", "role", "look", "--verb=get,list", "--resource=statefulsets.apps")
	e.kubectl("", "create", "rolebinding", "look", "--role=look", "--user=somebody")
	e.says(1, []string{"status", "--as", "somebody"}, "demo", "Pending")
	e.says(1, []string{"status", "demo", "--as", "somebody"}, "pods: not allowed", "services: not allowed", "trusted by the API server", "unknown (not allowed)")
	e.says(2, []string{"status", "-w", "--as", "somebody"}, "cannot follow changes", "forbidden")
}

func TestStatusNotManaged(t *testing.T) {
	e := newTest(t)
	e.kubectl(unmanaged, "apply", "-f", "-")
	e.says(1, []string{"status", "demo"}, "NotManaged", "it has no label h2o.ai/cluster", "label --overwrite sts/demo h2o.ai/cluster=true")
	e.says(0, []string{"status"}, "No H2O clusters")
	e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster=True")
	e.says(1, []string{"status", "demo"}, `its label h2o.ai/cluster is "True": only exactly "true" is managed`)
	e.says(0, []string{"status"}, "NotManaged", `is "True"`)
	url := e.uninstall()
	defer e.install(url)
	e.eventually("it is let through uninjected", func(context.Context) error {
		_, _, err := e.tryKubectl("", "label", "--overwrite", "statefulset", "demo", managedLabelArgument)
		return err
	})
	e.says(1, []string{"status", "demo"}, "the webhook is not installed in this cluster")
	e.says(1, []string{"status"}, "labelled but not injected: the webhook was away when it was written")
	e.kubectl("", "annotate", "statefulset", "demo", "h2o.ai/lookup-timeout=soon")
	e.says(1, []string{"status", "demo"}, "would be rejected", `h2o.ai/lookup-timeout: "soon" is not allowed`)
}

// TestStatusFormed proves what is said of a formed cluster, and that -w follows
// it there. Nobody runs pods here, so the test stands in for the kubelet and,
// with the webhook away, for its reconcilers.
func TestStatusFormed(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.phase("demo", life.PhasePending)
	e.hasServices(e.set("demo"))
	url := e.uninstall()
	defer e.install(url)
	e.write("demo", life.Status{Phase: life.PhaseForming, Message: "0 of 3 nodes run"})

	rows, rowsOut, _ := e.command("status", "-w")
	steps, stepsOut, stepsProblems := e.command("status", "demo", "-w")
	rowsText, stepsText := &lines{Buffer: rowsOut}, &lines{Buffer: stepsOut}
	rows.Stdout, steps.Stdout = rowsText, stepsText
	for _, cmd := range []*exec.Cmd{rows, steps} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	e.eventually("the first row", rowsText.has("Forming"))
	e.eventually("the first step", stepsText.has("0/3 running"))
	e.runPods("demo")
	e.eventually("a step for each pod", stepsText.has("3/3 running"))
	e.write("demo", e.formed("demo"))
	if code := e.code(steps.Wait()); code != 0 {
		t.Errorf("want exit code 0 of the one that follows, got %d, %s%s", code, stepsText.text(), stepsProblems)
	}
	if !strings.Contains(stepsText.text(), "Formed 3/3 running a cluster of 3, led by demo-1") {
		t.Errorf("want the formation, got\n%s", stepsText.text())
	}
	e.eventually("a row of the formation", rowsText.has("3/3"))
	if err := rows.Process.Signal(interrupt); err != nil {
		t.Fatal(err)
	}
	if code := e.code(rows.Wait()); code != 0 {
		t.Errorf("want exit code 0 after an interrupt, since all are formed, got %d", code)
	}
	e.says(0, []string{"status"}, "Formed", "3/3", "demo-1", "2 (MemberLost)")
	e.says(0, []string{"status", "demo"}, "Connect to it: kubectl h2o forward -n "+e.namespace+" demo", "demo-1", "exit 137", "it was killed")
	t.Run("outdated", func(*testing.T) {
		set := e.set("demo")
		before := set.DeepCopy()
		env := set.Spec.Template.Spec.Containers[0].Env
		for i := range env {
			if env[i].Name == inject.EnvLookupTimeout {
				env[i].Value = "90"
			}
		}
		set.Annotations["h2o.ai/injected"] = strings.ReplaceAll(set.Annotations["h2o.ai/injected"], `"value":"180"`, `"value":"90"`)
		if err := cluster.Client.Patch(e.Context(), set, client.MergeFrom(before)); err != nil {
			e.Fatal(err)
		}
		e.says(0, []string{"status"}, "1 field")
		e.says(0, []string{"status", "demo"}, `set spec.template.spec.containers[h2o].env[H2O_NODE_LOOKUP_TIMEOUT] to "180" (was "90")`, "rollout restart sts/demo")
	})
	t.Run("a member that went while the webhook was away", func(*testing.T) {
		e.kubectl("", "delete", "pod", "demo-2", "--force")
		e.says(1, []string{"status"}, "2/3", "it is said to be formed, but only 2 of 3")
		e.says(1, []string{"status", "demo", "-o", "json"}, `"reason": "StatusOutOfDate"`)
	})
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

// formed is the status of a cluster that has just formed of a set's pods.
func (e *test) formed(name string) life.Status {
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
