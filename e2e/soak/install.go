package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// manifest is a labelled set as its users write it. One in three has a pod that
// is slow to end.
func (t *target) manifest() string {
	hook := ""
	if t.random.IntN(3) == 0 {
		hook = `lifecycle: {preStop: {exec: {command: [/standin, slow, "7", "-1"]}}}`
	}
	return fmt.Sprintf(`apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: %[1]s
  labels: {h2o.ai/cluster: "true"}
spec:
  replicas: 3
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: h2o
        image: %[2]s
        imagePullPolicy: Never
        env: [{name: STANDIN_REVISION, value: "0"}]
        resources: {requests: {cpu: 5m, memory: 16Mi}}
        %[3]s
`, t.seen.name, h2otest.ImageStandin, hook)
}

const (
	// Between two faults of what all clusters share.
	minFault, spreadFault = 15 * time.Second, 30 * time.Second
	leaderLease           = "h2o-webhook-leader"
)

// faults kills the elected replica of the webhook and pods of the name server at
// random moments, while another replica is there to take over. What cannot be
// done is tried again the next time.
func faults(ctx context.Context, space *h2otest.Space, random *rand.Rand) {
	for {
		if pause(ctx, minFault+time.Duration(random.Int64N(int64(spreadFault)))) != nil {
			return
		}
		what, err := "the name server", error(nil)
		switch random.IntN(3) {
		case 0:
			err = space.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace("kube-system"), client.MatchingLabels{"k8s-app": "kube-dns"})
		default:
			grace := random.Int64N(2) * 30 // at once, or in order
			what = fmt.Sprintf("the elected replica of the webhook, within %d s", grace)
			err = killElected(ctx, space, grace)
		}
		fmt.Fprintf(os.Stderr, "  we end %s (%v)\n", what, err)
	}
}

func killElected(ctx context.Context, space *h2otest.Space, grace int64) error {
	deployment := &appsv1.Deployment{}
	if err := space.Client.Get(ctx, client.ObjectKey{Namespace: harness.Namespace, Name: "h2o-webhook"}, deployment); err != nil {
		return err
	}
	if n := deployment.Status.ReadyReplicas; n < *deployment.Spec.Replicas {
		return fmt.Errorf("not done: only %d replicas are ready", n)
	}
	out, _, err := space.RunKubectl(ctx, "", "-n", harness.Namespace, "get", "lease", leaderLease, "-o", "jsonpath={.spec.holderIdentity}")
	if err != nil {
		return err
	}
	name, _, found := strings.Cut(out, "_") // the pod's, and a number
	if !found {
		return fmt.Errorf("no replica is elected: %q", out)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: name}}
	return client.IgnoreNotFound(space.Client.Delete(ctx, pod, client.GracePeriodSeconds(grace)))
}
