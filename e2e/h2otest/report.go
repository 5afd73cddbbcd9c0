package h2otest

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// Report says what a person needs to find out why something failed here: the
// objects, Events, the clusters' status, and the ends of the logs.
func (s *Space) Report(ctx context.Context) string {
	var b strings.Builder
	section := func(title string, args ...string) {
		out, _, err := s.RunKubectl(ctx, "", append([]string{"-n", s.Namespace}, args...)...)
		fmt.Fprintf(&b, "── %s\n%s", title, out)
		if err != nil {
			fmt.Fprintf(&b, "(%v)\n", err)
		}
	}
	fmt.Fprintf(&b, "── namespace %s\n", s.Namespace)
	section("pods", "get", "pods", "-o", "wide")
	section("sets and services", "get", "statefulsets,services,endpointslices", "-o", "wide")
	section("status", "get", "statefulsets", "-o", `jsonpath={range .items[*]}{.metadata.name}: {.metadata.annotations.h2o\.ai/phase} {.metadata.annotations.h2o\.ai/status}{"\n"}{end}`)
	section("events", "get", "events", "--sort-by=.metadata.creationTimestamp", "-o", "custom-columns=AT:.metadata.creationTimestamp,TYPE:.type,REASON:.reason,ON:.involvedObject.name,NOTE:.message")
	var pods corev1.PodList
	if err := s.Client.List(ctx, &pods, client.InNamespace(s.Namespace)); err != nil {
		fmt.Fprintf(&b, "cannot list pods: %v\n", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		section("log of "+pod.Name, "logs", pod.Name, "--all-containers", "--tail=25")
		for _, status := range pod.Status.ContainerStatuses {
			if status.RestartCount > 0 {
				section("log of "+pod.Name+" before its restart", "logs", pod.Name, "-c", status.Name, "--previous", "--tail=15")
			}
		}
	}
	return b.String() + s.webhookReport(ctx)
}

// webhookReport is the part of a report that is about the webhook.
func (c *Cluster) webhookReport(ctx context.Context) string {
	var b strings.Builder
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, client.InNamespace(harness.Namespace)); err != nil {
		return fmt.Sprintf("cannot list the webhook's pods: %v\n", err)
	}
	fmt.Fprintf(&b, "── webhook: %d pods\n", len(pods.Items))
	for i := range pods.Items {
		pod := &pods.Items[i]
		log, _, err := c.RunKubectl(ctx, "", "-n", harness.Namespace, "logs", pod.Name, "--tail=30")
		fmt.Fprintf(&b, "── %s, %s, ready %t: its log\n%s", pod.Name, pod.Status.Phase, Ready(pod), log)
		if err != nil {
			fmt.Fprintf(&b, "(%v)\n", err)
		}
		metrics, err := c.webhookMetrics(ctx, pod.Name)
		fmt.Fprintf(&b, "── %s: its metrics\n%s", pod.Name, metrics)
		if err != nil {
			fmt.Fprintf(&b, "(%v)\n", err)
		}
	}
	return b.String()
}

// webhookMetrics reads what a pod of the webhook counts, but for histograms.
func (c *Cluster) webhookMetrics(ctx context.Context, pod string) (string, error) {
	path := fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:8080/proxy/metrics", harness.Namespace, pod)
	out, _, err := c.RunKubectl(ctx, "", "get", "--raw", path)
	var kept strings.Builder
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "h2o_webhook_") && !strings.Contains(line, "_bucket{") {
			kept.WriteString(line)
		}
	}
	return kept.String(), err
}
