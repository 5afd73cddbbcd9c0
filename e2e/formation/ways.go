package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

const (
	nodes = 3
	// limit is how long a formation may take: the lookup's timeout and more.
	limit = 5 * time.Minute
)

// formed is what H2O logs when it is in a cloud of all nodes.
// Source: water.Paxos.
var formed = fmt.Sprintf("Cloud of size %d formed", nodes)

// way is one way to come to a cluster.
type way struct {
	name, what string
	// time is told the name of a namespace to use.
	time func(ctx context.Context, namespace string) (time.Duration, error)
}

// allWays lists ours first.
func allWays(cluster *h2otest.Cluster) ([]way, error) {
	clients, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	sample, err := os.ReadFile(filepath.Join("config", "samples", "documented.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the documented example: %w", err)
	}
	documented := strings.NewReplacer(
		"\n  labels:\n    h2o.ai/cluster: \"true\"\n", "\n", "h2o-service.default.svc", "h2o-service.NAMESPACE.svc",
		"memory: 4Gi", "{cpu: 50m, memory: 1Gi}\n          limits: {memory: 1Gi}", "requests:\n            {", "requests: {",
	).Replace(string(sample))
	chart, err := os.ReadFile(filepath.Join("e2e", "h2o", "testdata", "chart.yaml"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the chart: %w", err)
	}
	// What it renders by itself, with the image's own command and the resources of the others.
	plain := strings.NewReplacer(
		"    h2o.ai/cluster: \"true\"\n", "", "limits: {cpu: 500m, memory: 1Gi}", "limits: {memory: 1Gi}",
		"requests: {cpu: 500m, memory: 1Gi}", "requests: {cpu: 50m, memory: 1Gi}",
		"        command: [/bin/bash, -c, java -XX:+UseContainerSupport -XX:MaxRAMPercentage=50 -jar /opt/h2o/h2o.jar]\n", "",
	).Replace(string(chart))
	p := pods{cluster, clients}
	return []way{
		{"ours", "a plain StatefulSet and one label", p.way(cluster.Plain("h2o", nodes), "h2o")},
		{"documented", "H2O's own example", p.way(documented, "h2o-stateful-set")},
		{"chart", "the official Helm chart", p.way(plain, "h2o-3")},
		{"floor", "three bare JVMs with a ready-made flatfile", floor{p}.time},
	}, nil
}

// pods are nodes in pods.
type pods struct {
	cluster *h2otest.Cluster
	clients kubernetes.Interface
}

// way times a manifest in a namespace of its own.
func (p pods) way(manifest, set string) func(context.Context, string) (time.Duration, error) {
	return func(ctx context.Context, namespace string) (took time.Duration, err error) {
		space, err := p.cluster.NewSpace(ctx, namespace)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, p.end(ctx, space, set)) }()
		start := time.Now()
		if _, err := space.Apply(ctx, strings.ReplaceAll(manifest, "NAMESPACE", space.Namespace)); err != nil {
			return 0, err
		}
		var at time.Time
		err = harness.Poll(ctx, limit, func(ctx context.Context) error {
			at, err = p.formedAt(ctx, space, set)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("%w\n%s", err, space.Report(ctx))
		}
		return at.Sub(start), nil
	}
}

// formedAt is when the first of the nodes logged that the cloud was whole.
func (p pods) formedAt(ctx context.Context, space *h2otest.Space, set string) (time.Time, error) {
	var first time.Time
	for i := range nodes {
		at, err := p.loggedAt(ctx, space.Namespace, fmt.Sprintf("%s-%d", set, i))
		if err != nil {
			continue // it may not have started
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	if first.IsZero() {
		return first, fmt.Errorf("no node says %q", formed)
	}
	return first, nil
}

func (p pods) loggedAt(ctx context.Context, namespace, pod string) (time.Time, error) {
	stream, err := p.clients.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Timestamps: true}).Stream(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	for lines.Scan() {
		stamp, text, _ := strings.Cut(lines.Text(), " ")
		if strings.Contains(text, formed) {
			return time.Parse(time.RFC3339Nano, stamp)
		}
	}
	return time.Time{}, errors.Join(lines.Err(), fmt.Errorf("pod %s does not say so", pod))
}

// end waits until nothing of a run is left that would slow the next one down.
func (p pods) end(ctx context.Context, space *h2otest.Space, set string) error {
	if _, err := space.Kubectl(ctx, "delete", "statefulset", set, "--ignore-not-found"); err != nil {
		return err
	}
	if _, err := space.Kubectl(ctx, "delete", "pods", "--all", "--grace-period=1", "--wait"); err != nil {
		return err
	}
	return space.Delete(ctx)
}
