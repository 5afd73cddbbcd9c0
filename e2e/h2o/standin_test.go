//go:build h2o

package h2o

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

// program is real H2O or the stand-in, in a set that is nobody's but the user's:
// it carries no label of ours.
type program struct {
	name, container string
	slow            string // a preStop hook that makes the third pod slow to end
	ask             kubernetes.Interface
}

const comparedManifest = `apiVersion: v1
kind: Service
metadata: {name: nodes}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: nodes}
  ports: [{port: 54321}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: nodes}
spec:
  serviceName: nodes
  replicas: 3
  podManagementPolicy: Parallel
  updateStrategy: {type: OnDelete}
  selector: {matchLabels: {app: nodes}}
  template:
    metadata: {labels: {app: nodes}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: h2o
%[1]s
        lifecycle: {preStop: {exec: {command: %[2]s}}}
        env:
        - {name: H2O_KUBERNETES_SERVICE_DNS, value: nodes.%[3]s.svc.%[4]s}
        - {name: H2O_NODE_EXPECTED_COUNT, value: "3"}
        - {name: H2O_NODE_LOOKUP_TIMEOUT, value: "180"}
        - {name: H2O_KUBERNETES_API_PORT, value: "8081"}
        - {name: JAVA_TOOL_OPTIONS, value: -Dai.h2o.name=compared}
`

// Bounds of the comparison.
const (
	comparedLimit = 6 * time.Minute
	// comparedPatience is for one answer: H2O takes questions before it answers any.
	comparedPatience = time.Second
	// steadyFor is how long answers must stay as they are to be final: longer than
	// nodes need to agree on a cloud.
	steadyFor = 20 * time.Second
)

// state is what can be seen of one node.
type state struct {
	Answer, Size int
	Open         bool
}

func (s state) String() string {
	return fmt.Sprintf("%d, 54321 open %t, cloud of %d", s.Answer, s.Open, s.Size)
}

// observed is what was seen in one scenario: what a node said first of all, what
// all said in the end, in no order, and whether that is one cloud of all.
type observed struct {
	First, Final []state
	Whole        bool
}

// TestStandin proves that the stand-in does what H2O does where the soak relies
// on it: the same is done to both, and the same must be seen.
func TestStandin(t *testing.T) {
	needLong(t)
	if err := cluster.LoadStandin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	real := program{
		"h2o", "        image: h2o:3.46.0.12\n        resources: {requests: {cpu: 20m, memory: 768Mi}}",
		`[sh, -c, "case $HOSTNAME in *-2) sleep 40;; esac"]`, ask,
	}
	standin := program{"standin", "        image: " + h2otest.ImageStandin, `[/standin, slow, "40", "-2"]`, ask}
	for name, scenario := range map[string]struct {
		do func(*compared)
		// byChance: nodes that know of others than each other may, at the moment at
		// which only some have heard of those, take themselves for a cloud of some.
		byChance bool
	}{
		"a cluster forms": {(*compared).form, false},
		"three pods are deleted and one is slow to end": {func(c *compared) {
			c.form()
			c.Kubectl("delete", "pods", "--all", "--wait=false")
		}, true},
		"a follower is replaced": {func(c *compared) {
			c.form()
			c.Kubectl("delete", "pod", c.follower(), "--wait=false")
		}, false},
		"a follower's container restarts in place": {func(c *compared) {
			c.form()
			c.kill(c.follower())
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]observed{}
			for _, p := range []program{standin, real} {
				t.Run(p.name, func(t *testing.T) {
					c := &compared{Test: cluster.Test(t), program: p, first: map[string]state{}}
					scenario.do(c)
					end := c.end()
					t.Logf("%+v", end)
					if scenario.byChance {
						end.Final = nil // whether they are one cloud is what counts
					}
					seen[p.name] = end
				})
			}
			if diff := cmp.Diff(seen["h2o"], seen["standin"]); diff != "" {
				t.Errorf("H2O (-), the stand-in (+):\n%s", diff)
			}
		})
	}
}

// compared is one run of a scenario.
type compared struct {
	*h2otest.Test
	program program
	first   map[string]state // by the run of a container
	last    map[string]state // by pod
}

// form makes the set and waits for its cloud.
func (c *compared) form() {
	domain, err := c.Space.ClusterDomain(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	c.Apply(fmt.Sprintf(comparedManifest, c.program.container, c.program.slow, c.Space.Namespace, domain))
	c.Eventually("a cloud of three", comparedLimit, func(ctx context.Context) error {
		c.look(ctx)
		if !c.whole() {
			return fmt.Errorf("%v", c.last)
		}
		return nil
	})
}

// end looks until nothing changes any more.
func (c *compared) end() observed {
	var before map[string]state
	since := time.Now()
	c.Eventually("an end", comparedLimit, func(ctx context.Context) error {
		c.look(ctx)
		going := slices.ContainsFunc(c.Pods("nodes"), func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
		if going || len(c.last) != 3 || !cmp.Equal(before, c.last) || slices.ContainsFunc(values(c.last), func(s state) bool { return !s.Open }) {
			before, since = c.last, time.Now()
		}
		if time.Since(since) < steadyFor {
			return fmt.Errorf("not steady: %v", c.last)
		}
		return nil
	})
	return observed{slices.Compact(values(c.first)), values(c.last), c.whole()}
}

// whole says whether one node leads a cloud of three and the others follow.
func (c *compared) whole() bool {
	leaders, followers := 0, 0
	for _, s := range c.last {
		switch {
		case s.Size == 3:
			leaders++
		case s.Answer == http.StatusNotFound:
			followers++
		}
	}
	return leaders == 1 && followers == 2
}

// look asks all nodes once, at the same time: one that keeps us waiting must not
// have us miss what another says first.
func (c *compared) look(ctx context.Context) {
	c.last = map[string]state{}
	var lock sync.Mutex
	var asked sync.WaitGroup
	for _, pod := range c.Pods("nodes") {
		if pod.Status.PodIP == "" {
			continue
		}
		asked.Go(func() {
			if s, said := c.ask(ctx, pod.Name); said {
				lock.Lock()
				defer lock.Unlock()
				c.note(&pod, s)
			}
		})
	}
	asked.Wait()
}

// ask asks one node, and says whether it answered.
func (c *compared) ask(ctx context.Context, pod string) (s state, said bool) {
	answer, _, _ := c.get(ctx, pod, h2otest.PortProbe, "kubernetes/isLeaderNode")
	if answer != http.StatusOK && answer != http.StatusNotFound {
		return state{}, false // the API server's own word
	}
	_, body, refused := c.get(ctx, pod, h2otest.PortREST, "3/Cloud")
	var cloud h2otest.Cloud
	if answer == http.StatusOK && json.Unmarshal(body, &cloud) != nil {
		cloud.Size = 0 // it is not ready to answer
	}
	return state{Answer: answer, Open: !refused, Size: cloud.Size}, true
}

func (c *compared) note(pod *corev1.Pod, s state) {
	c.last[pod.Name] = s
	run := string(pod.UID)
	if len(pod.Status.ContainerStatuses) > 0 {
		run += pod.Status.ContainerStatuses[0].ContainerID
	}
	if _, known := c.first[run]; !known {
		c.first[run] = s
	}
}

// get asks a pod through the API server, and says whether nobody listens on its port.
func (c *compared) get(ctx context.Context, pod string, port int, path string) (status int, body []byte, refused bool) {
	ctx, cancel := context.WithTimeout(ctx, comparedPatience)
	defer cancel()
	result := c.program.ask.CoreV1().RESTClient().Get().Namespace(c.Space.Namespace).Resource("pods").SubResource("proxy").
		Name(fmt.Sprintf("%s:%d", pod, port)).Suffix(path).Do(ctx)
	body, err := result.StatusCode(&status).Raw()
	if failed, is := errors.AsType[*apierrors.StatusError](err); is && status == 0 {
		status = int(failed.ErrStatus.Code) // a kind of content that the client knows no decoder for
	}
	return status, body, err != nil && strings.Contains(string(body)+err.Error(), "connection refused")
}

// follower names a pod that does not lead, other than the slow one.
func (c *compared) follower() string {
	for name, s := range c.last {
		if s.Answer == http.StatusNotFound && !strings.HasSuffix(name, "-2") {
			return name
		}
	}
	c.Fatalf("nobody follows: %v", c.last)
	return ""
}

// kill ends the process of a pod from inside, and waits until it runs anew.
func (c *compared) kill(pod string) {
	if c.program.name == "h2o" {
		c.Kubectl("exec", pod, "--", "sh", "-c", "kill 1")
	} else {
		err := c.program.ask.CoreV1().RESTClient().Post().Namespace(c.Space.Namespace).Resource("pods").SubResource("proxy").
			Name(fmt.Sprintf("%s:%d", pod, h2otest.PortProbe)).Suffix("standin/die").Do(c.Context()).Error()
		if err != nil {
			c.Fatal(err)
		}
	}
	c.Eventually("a restart in place", comparedLimit, func(ctx context.Context) error {
		found, err := c.program.ask.CoreV1().Pods(c.Space.Namespace).Get(ctx, pod, metav1.GetOptions{})
		if err == nil && (len(found.Status.ContainerStatuses) == 0 || found.Status.ContainerStatuses[0].RestartCount == 0) {
			err = fmt.Errorf("%s was not restarted", pod)
		}
		return err
	})
}

// values are in an order of their own.
func values(states map[string]state) []state {
	var all []state
	for _, s := range states {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b state) int { return strings.Compare(a.String(), b.String()) })
	return all
}
