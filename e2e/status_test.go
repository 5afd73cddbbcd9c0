package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

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
		cmd, _, _ := e.command("status", "one", "-w", "-o", "json")
		said := &harness.Output{}
		cmd.Stdout = said
		if err := cmd.Start(); err != nil {
			e.Fatal(err)
		}
		e.eventually("how it is", said.Has(`"kind": "ClusterStatus"`))
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
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

	rows, _, _ := e.command("status", "-w")
	steps, _, stepsProblems := e.command("status", "demo", "-w")
	rowsText, stepsText := &harness.Output{}, &harness.Output{}
	rows.Stdout, steps.Stdout = rowsText, stepsText
	for _, cmd := range []*exec.Cmd{rows, steps} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	e.eventually("the first row", rowsText.Has("Forming"))
	e.eventually("the first step", stepsText.Has("0/3 running"))
	e.runPods("demo")
	e.eventually("a step for each pod", stepsText.Has("3/3 running"))
	e.write("demo", e.formedStatus("demo"))
	if code := e.code(steps.Wait()); code != 0 {
		t.Errorf("want exit code 0 of the one that follows, got %d, %s%s", code, stepsText.String(), stepsProblems)
	}
	if !strings.Contains(stepsText.String(), "Formed 3/3 running a cluster of 3, led by demo-1") {
		t.Errorf("want the formation, got\n%s", stepsText.String())
	}
	e.eventually("a row of the formation", rowsText.Has("3/3"))
	if err := rows.Process.Signal(os.Interrupt); err != nil {
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
