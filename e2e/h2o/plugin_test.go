//go:build h2o

package h2o

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// plugin builds kubectl-h2o.
func plugin(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "kubectl-h2o")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/kubectl-h2o")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return program
}

// TestPlugin proves on real H2O that status follows a formation and says what
// the nodes answer, and that forward goes on on the same port when the leader's
// pod is lost.
func TestPlugin(t *testing.T) {
	needLong(t)
	program := plugin(t)
	e := cluster.Test(t)
	h2o := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program, append(args, "--kubeconfig", cluster.Kubeconfig, "-n", e.Space.Namespace)...)
	}
	e.Apply(cluster.Plain("demo", 3))
	steps, err := h2o("status", "demo", "-w").CombinedOutput()
	if err != nil || !strings.Contains(string(steps), "Forming") || !strings.Contains(string(steps), "Formed 3/3 running a cluster of 3") {
		t.Fatalf("want the formation followed, got %v:\n%s", err, steps)
	}
	t.Logf("followed:\n%s", steps)
	isCluster(e, "demo", 3, h2otest.PortProbe) // the kubelet calls the leader ready up to 5 s later, which status says
	first := wantNodes(t, h2o)

	forward := h2o("forward", "demo", "--port", "0")
	said := &harness.Output{}
	forward.Stdout, forward.Stderr = said, said
	if err := forward.Start(); err != nil {
		t.Fatal(err)
	}
	e.Eventually("who leads", h2otest.FormLimit, said.Has("connections go to pod "+first))
	url := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(said.String())
	e.Eventually("the cluster answers", h2otest.FormLimit, answers(url))
	e.Kubectl("delete", "pod", first)
	e.Eventually("that nobody leads", h2otest.FormLimit, said.Has("there is no leader, connections wait for one"))
	held := time.Now()
	if err := answers(url)(t.Context()); err != nil {
		t.Logf("a connection that waited: %v", err)
	}
	t.Logf("a connection while nobody led took %s", time.Since(held).Round(time.Millisecond))
	e.Formed("demo", h2otest.FormLimit)
	e.Eventually("the new cluster answers on the same port", h2otest.FormLimit, answers(url))
	isCluster(e, "demo", 3, h2otest.PortProbe)
	wantNodes(t, h2o)
	if err := forward.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := forward.Wait(); err != nil {
		t.Errorf("want a clean end, got %v", err)
	}
	t.Logf("forward said:\n%s", said)
}

// wantNodes proves that status says of a formed cluster what it is, and gives
// its leader.
func wantNodes(t *testing.T, h2o func(...string) *exec.Cmd) string {
	t.Helper()
	text, err := h2o("status", "demo", "-o", "json").Output()
	if err != nil {
		t.Fatalf("want exit code 0 of a formed cluster, got %v:\n%s", err, text)
	}
	var status report.ClusterStatus
	if err := json.Unmarshal(text, &status); err != nil {
		t.Fatal(err)
	}
	probes := map[string]int{}
	for _, pod := range status.Details.Pods {
		probes[pod.Probe]++
		if (pod.Probe == report.ProbeLeads) != (pod.Name == status.Leader) {
			t.Errorf("pod %s says that it %s, and %s is the leader", pod.Name, pod.Probe, status.Leader)
		}
	}
	if probes[report.ProbeLeads] != 1 || probes[report.ProbeFollows] != 2 || len(status.Details.DNS.Answers) != 3 || len(status.Problems) > 0 {
		t.Errorf("want one leader, two followers, three addresses and no problem, got\n%s", text)
	}
	people, err := h2o("status", "demo").Output()
	t.Logf("status says (%v):\n%s", err, people)
	return status.Leader
}

// answers proves that a cloud of three answers at a URL.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/3/Cloud", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		var cloud struct {
			Size int `json:"cloud_size"`
		}
		if err := json.NewDecoder(response.Body).Decode(&cloud); err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || cloud.Size != 3 {
			return fmt.Errorf("%s, a cloud of %d", response.Status, cloud.Size)
		}
		return nil
	}
}
