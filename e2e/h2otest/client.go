package h2otest

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// clientPod is where questions are asked from: a pod like anybody else's.
const clientPod = `apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 0
  affinity: # some tests lose the second node
    nodeAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-1]}]}
  containers:
  - name: client
    image: h2o-client:dev
    resources: {requests: {cpu: 10m, memory: 128Mi}}
`

func (c *Cluster) startClient(ctx context.Context) error {
	space, err := c.NewSpace(ctx, "client-")
	if err != nil {
		return err
	}
	c.client = space
	c.undo = append(c.undo, space.Delete)
	if _, err := space.Apply(ctx, clientPod); err != nil {
		return err
	}
	if _, err := space.Kubectl(ctx, "wait", "--for=condition=Ready", "pod/client", "--timeout=60s"); err != nil {
		return fmt.Errorf("%w\n%s", err, space.Report(ctx))
	}
	return nil
}

// Exec runs a command in the client pod.
func (c *Cluster) Exec(ctx context.Context, stdin string, command ...string) (stdout, stderr string, err error) {
	return c.RunKubectl(ctx, stdin, append([]string{"-n", c.client.Namespace, "exec", "-i", "client", "--"}, command...)...)
}

// Python runs a script with H2O's package in the client pod and returns what it
// printed. The script finds the arguments in sys.argv[1:].
func (c *Cluster) Python(ctx context.Context, script string, args ...string) (string, error) {
	out, problems, err := c.Exec(ctx, script, append([]string{"python3", "-"}, args...)...)
	if err != nil {
		return out, fmt.Errorf("%w\n%s\n%s", err, out, problems)
	}
	return out, nil
}

// curlLimit is how long one question may take.
const curlLimit = 10 * time.Second

// Fetch asks a URL from inside the cluster. No answer is an error, any status is none.
func (c *Cluster) Fetch(ctx context.Context, url string) (status int, body string, err error) {
	out, _, err := c.Exec(ctx, "", "curl", "-sS", "-m", strconv.Itoa(int(curlLimit.Seconds())), "-w", "\n%{http_code}", url)
	if err != nil {
		return 0, "", err
	}
	end := strings.LastIndexByte(out, '\n')
	if status, err = strconv.Atoi(out[end+1:]); err != nil {
		return 0, "", fmt.Errorf("curl printed %q", out)
	}
	return status, out[:max(end, 0)], nil
}

// Dig looks a full name up in the cluster's DNS and returns the answers in order.
func (c *Cluster) Dig(ctx context.Context, kind, name string) ([]string, error) {
	out, _, err := c.Exec(ctx, "", "dig", "+short", "+time=2", "+tries=3", kind, name)
	if err != nil {
		return nil, err
	}
	answers := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(answers)
	if answers[0] == "" {
		return nil, nil
	}
	return answers, nil
}
