package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// asAutoscaler has kubectl write under the account of the autoscaler, with
// everybody's rights: what is refused then is refused by us.
var asAutoscaler = []string{"--as=system:serviceaccount:kube-system:horizontal-pod-autoscaler", "--as-group=system:masters"}

func (e *test) scale(name string, replicas int, flags ...string) (stderr string, err error) {
	e.Helper()
	_, stderr, err = e.tryKubectl("", append([]string{"scale", "statefulset", name, "--replicas=" + strconv.Itoa(replicas)}, flags...)...)
	return stderr, err
}

// form writes down that a set's pods have been a formed cluster for an hour. No
// pod runs here, so nobody can prove it wrong.
func (e *test) form(name string) {
	e.Helper()
	e.eventually("a formed cluster", func(ctx context.Context) error {
		set := e.set(name)
		var pods corev1.PodList
		if err := cluster.Client.List(ctx, &pods, client.InNamespace(e.namespace), client.MatchingLabels{inject.LabelClusterName: name}); err != nil {
			return err
		}
		status := life.Read(set)
		if !inject.CountsReplicas(set) || set.Status.ObservedGeneration < set.Generation || status.Restart != nil {
			return fmt.Errorf("it is not settled, and restarts: %v", status.Restart)
		}
		current := slices.DeleteFunc(slices.Clone(pods.Items), func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || p.Labels[appsv1.ControllerRevisionHashLabelKey] != set.Status.UpdateRevision
		})
		if len(pods.Items) != inject.Replicas(set) || len(current) != len(pods.Items) {
			return fmt.Errorf("it has %d pods, %d of the latest template, and %d replicas", len(pods.Items), len(current), inject.Replicas(set))
		}
		status.Phase, status.Generation = life.PhaseFormed, &life.Generation{
			Revision: set.Status.UpdateRevision, Formed: time.Now().Add(-time.Hour), Leader: name + "-0", Proof: life.ProofAnswers, Members: map[string]life.Member{},
		}
		for i := range pods.Items {
			status.Generation.Members[pods.Items[i].Name] = life.Member{UID: pods.Items[i].UID}
		}
		annotations, err := status.Annotations()
		if err != nil {
			return err
		}
		for key, value := range annotations {
			metav1.SetMetaDataAnnotation(&set.ObjectMeta, key, value)
		}
		return cluster.Client.Update(ctx, set)
	})
}

// guarded waits until the API server asks the guard, and the guard knows that a
// set is formed.
func (e *test) guarded(name string) {
	e.Helper()
	e.eventually("the guard is asked", func(context.Context) error {
		warnings, err := e.scale(name, 0, "--dry-run=server")
		if err == nil && !strings.Contains(warnings, "0 replicas stop the H2O cluster") {
			err = fmt.Errorf("it does not warn of a stop, but says %q", warnings)
		}
		return err
	})
}

// formed applies the managed set and has it formed and guarded.
func (e *test) formed() {
	e.Helper()
	e.kubectl(managed, "apply", "-f", "-")
	e.form("demo")
	e.guarded("demo")
}

func (e *test) replicas(want int32) {
	e.Helper()
	if got := *e.set("demo").Spec.Replicas; got != want {
		e.Errorf("want %d replicas, got %d", want, got)
	}
}

func TestScaleIsWarnedOf(t *testing.T) {
	e := newTest(t)
	e.formed()
	const want = "Warning: an H2O cluster cannot change its size while it runs: from 3 to 5 nodes it is restarted as a whole, and what is in its memory is lost"
	edit := []string{"patch", "statefulset", "demo", "--type=merge", "-p", `{"spec":{"replicas":5}}`}
	for name, args := range map[string][]string{
		"a dry run of scale":   {"scale", "statefulset", "demo", "--replicas=5", "--dry-run=server"},
		"a dry run of an edit": append(edit, "--dry-run=server"),
	} {
		if _, warnings := e.kubectl("", args...); !strings.Contains(warnings, want) {
			t.Errorf("%s: want %q, got %q", name, want, warnings)
		}
	}
	e.replicas(3)
	if _, warnings := e.kubectl("", "scale", "statefulset", "demo", "--replicas=3"); warnings != "" {
		t.Errorf("nothing changes, and yet: %s", warnings)
	}
	if warnings, err := e.scale("demo", 5); err != nil || !strings.Contains(warnings, want) {
		t.Errorf("want %q, got %q and %v", want, warnings, err)
	}
	e.replicas(5)
	e.form("demo")
	e.guarded("demo")
	if _, warnings := e.kubectl("", append(edit[:5:5], `{"spec":{"replicas":2}}`)...); !strings.Contains(warnings, "from 5 to 2 nodes") {
		t.Errorf("want an edit warned of, got %q", warnings)
	}
}

func TestAutoscalerIsRefused(t *testing.T) {
	const want = "a HorizontalPodAutoscaler may not resize an H2O cluster"
	e := newTest(t)
	e.formed()
	for _, flags := range [][]string{asAutoscaler, append([]string{"--dry-run=server"}, asAutoscaler...)} {
		if _, err := e.scale("demo", 5, flags...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: want %q, got %v", flags, want, err)
		}
	}
	_, _, err := e.tryKubectl("", append([]string{"patch", "statefulset", "demo", "--type=merge", "-p", `{"spec":{"replicas":5}}`}, asAutoscaler...)...)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("an edit: want %q, got %v", want, err)
	}
	e.replicas(3)
	// A real one needs no measurements where there are more replicas than it allows.
	e.kubectl(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: demo}, spec: {minReplicas: 1, maxReplicas: 2,
scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: demo}}}`, "apply", "-f", "-")
	e.hasEvent("demo", "FailedRescale", want)
	e.replicas(3)
}

func TestResizeIsDenied(t *testing.T) {
	const want = `annotation h2o.ai/resize: "deny" keeps the formed H2O cluster from being resized`
	e := newTest(t)
	e.formed()
	before := e.settled("demo")
	e.kubectl("", "annotate", "statefulset", "demo", "h2o.ai/resize=deny")
	e.unmoved(before)
	e.eventually("scaling is refused", func(context.Context) error {
		if _, err := e.scale("demo", 5, "--dry-run=server"); err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("want %q, got %w", want, err)
		}
		return nil
	})
	resized := strings.Replace(strings.Replace(managed, "labels:", "annotations: {h2o.ai/resize: deny}\n  labels:", 1), "replicas: 3", "replicas: 4", 1)
	for name, args := range map[string][]string{
		"scale":             {"scale", "statefulset", "demo", "--replicas=5"},
		"patch of scale":    {"patch", "statefulset", "demo", "--subresource=scale", "--type=merge", "-p", `{"spec":{"replicas":5}}`},
		"edit":              {"patch", "statefulset", "demo", "--type=merge", "-p", `{"spec":{"replicas":5}}`},
		"apply":             {"apply", "-f", "-"},
		"server-side apply": {"apply", "--server-side", "--force-conflicts", "-f", "-"},
	} {
		if _, _, err := e.tryKubectl(resized, args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", name, want, err)
		}
	}
	e.replicas(3)
	t.Run("it is stopped and started again", func(t *testing.T) {
		if warnings, err := e.scale("demo", 0); err != nil || !strings.Contains(warnings, "0 replicas stop the H2O cluster") {
			t.Errorf("want a warning, got %q and %v", warnings, err)
		}
		e.eventually("stopped", func(context.Context) error {
			if phase := e.set("demo").Annotations["h2o.ai/phase"]; phase != string(life.PhaseStopped) {
				return fmt.Errorf("it is %s", phase)
			}
			return nil
		})
		if warnings, err := e.scale("demo", 4); err != nil || warnings != "" {
			t.Errorf("want it started in silence with another number, got %q and %v", warnings, err)
		}
		e.replicas(4)
	})
}

// TestCountFollowsScale proves that what the nodes expect follows a scale, which
// does not pass our admission, within 2 s.
func TestCountFollowsScale(t *testing.T) {
	const allowed = 2 * time.Second
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.settled("demo")
	var longest time.Duration
	for _, replicas := range []int{5, 2, 0, 3, 1, 4} {
		start := time.Now()
		if _, err := e.scale("demo", replicas); err != nil {
			t.Fatal(err)
		}
		e.eventually("the count follows", func(context.Context) error {
			if got := env(e.set("demo"))["H2O_NODE_EXPECTED_COUNT"]; got != strconv.Itoa(replicas) {
				return fmt.Errorf("it is %s", got)
			}
			return nil
		})
		longest = max(longest, time.Since(start))
	}
	t.Logf("the count followed after %s at most, kubectl included", longest.Round(time.Millisecond))
	if longest > allowed {
		t.Errorf("the count followed after %s, want at most %s", longest, allowed)
	}
}

// TestOthersScale proves that nobody else's scale is spoken to.
func TestOthersScale(t *testing.T) {
	e := newTest(t)
	e.formed() // so that the guard is asked
	e.kubectl(strings.ReplaceAll(unmanaged, "name: demo", "name: other"), "apply", "-f", "-")
	deployment := strings.Replace(strings.ReplaceAll(unmanaged, "name: demo", "name: third"), "StatefulSet", "Deployment", 1)
	e.kubectl(deployment, "apply", "-f", "-")
	for i, flags := range [][]string{nil, asAutoscaler} {
		for _, object := range []string{"statefulset/other", "deployment/third"} {
			args := append([]string{"scale", object, "--replicas=" + strconv.Itoa(5+i)}, flags...)
			if _, warnings := e.kubectl("", args...); warnings != "" {
				t.Errorf("%v: %s", args, warnings)
			}
		}
	}
	e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
	e.eventually("a released set is scaled in silence", func(context.Context) error {
		warnings, err := e.scale("demo", 5, append([]string{"--dry-run=server"}, asAutoscaler...)...)
		if err == nil && warnings != "" {
			err = fmt.Errorf("it is warned of: %s", warnings)
		}
		return err
	})
}
