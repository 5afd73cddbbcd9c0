package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// floor is three JVMs in one container of the same image, without Kubernetes'
// part in it: no pods to start, no lookup, no probe.
type floor struct{ pods }

// host is the container that they run in: all of it is there before the time starts.
const host = `apiVersion: v1
kind: Pod
metadata: {name: host}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: h2o
    image: h2o:3.46.0.12
    command: [sleep, infinity]
    resources: {requests: {cpu: 50m, memory: 3Gi}, limits: {memory: 3Gi}}
`

// bare runs one node after another in the background; each is told of all.
const bare = `for p in 54321 54323 54325; do echo "$0:$p"; done >/tmp/flatfile
for p in 54321 54323 54325; do
	java -Xmx512m -XX:+ExitOnOutOfMemoryError -Djava.library.path=/opt/h2o/lib -jar /opt/h2o/h2o.jar -name floor -ip "$0" -port $p -flatfile /tmp/flatfile -ice_root /tmp/ice-$p &
done
wait`

func (f floor) time(ctx context.Context, namespace string) (took time.Duration, err error) {
	space, err := f.cluster.NewSpace(ctx, namespace)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.end(ctx, space, "none")) }()
	if _, err := space.Apply(ctx, host); err != nil {
		return 0, err
	}
	if _, err := space.Kubectl(ctx, "wait", "--for=condition=Ready", "pod/host", "--timeout=60s"); err != nil {
		return 0, err
	}
	ip, err := space.Kubectl(ctx, "get", "pod", "host", "-o", "jsonpath={.status.podIP}")
	if err != nil {
		return 0, err
	}
	return f.watch(ctx, space.Namespace, strings.TrimSpace(ip))
}

// watch runs the JVMs until one of them says that the cloud is whole.
func (f floor) watch(ctx context.Context, namespace, ip string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel() // ends the exec; the JVMs go with their container
	cmd := exec.CommandContext(ctx, f.cluster.Kubectl, "--kubeconfig", f.cluster.Kubeconfig, "-n", namespace, "exec", "host", "--", "sh", "-c", bare, ip)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("cannot run bare nodes: %w", err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot run bare nodes: %w", err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), formed) {
			took := time.Since(start)
			cancel()
			_ = cmd.Wait() // it was ended
			return took, nil
		}
	}
	return 0, fmt.Errorf("bare nodes ended without a cloud: %w", errors.Join(lines.Err(), cmd.Wait()))
}
