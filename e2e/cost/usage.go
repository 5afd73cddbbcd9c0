package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// usage is what the webhook's process has used at one time.
type usage struct {
	at                time.Time
	resident, peak    float64 // MiB
	anonymous, mapped float64 // MiB of resident that are its own, and that are its program file's
	heap              float64 // MiB
	cpu               time.Duration
	writes            float64 // requests to the API server that are no reads
	reconciled        float64
	formed            float64 // clusters that it counts as formed
	waiting           float64 // in its queue
}

// ticks is what /proc counts CPU time in: USER_HZ is 100 on every Linux.
const ticks = 10 * time.Millisecond

// readUsage asks the kernel and the webhook's own metrics.
func readUsage(ctx context.Context, pid int, url string) (usage, error) {
	u := usage{at: time.Now()}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return u, fmt.Errorf("cannot read the webhook's memory: %w", err)
	}
	for field, value := range map[string]*float64{"VmRSS": &u.resident, "VmHWM": &u.peak, "RssAnon": &u.anonymous, "RssFile": &u.mapped} {
		if *value, err = mebibytes(status, field); err != nil {
			return u, err
		}
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("cannot read the webhook's CPU time: %w", err)
	}
	words := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // what comes after the name
	for _, word := range words[11:13] {                                      // utime and stime
		n, err := strconv.Atoi(word)
		if err != nil {
			return u, fmt.Errorf("cannot read the webhook's CPU time: %w", err)
		}
		u.cpu += time.Duration(n) * ticks
	}
	return u, u.readMetrics(ctx, url)
}

// resetPeak makes the kernel take the present memory for the peak.
func resetPeak(pid int) error {
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		return fmt.Errorf("cannot reset the peak of memory: %w", err)
	}
	return nil
}

func mebibytes(status []byte, field string) (float64, error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) == 3 && words[0] == field+":" {
			n, err := strconv.ParseFloat(words[1], 64)
			return n / 1024, err
		}
	}
	return 0, fmt.Errorf("/proc says nothing of %s", field)
}

func (u *usage) readMetrics(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("cannot read the webhook's metrics: %w", err)
	}
	defer response.Body.Close()
	families, err := parse(response.Body)
	if err != nil {
		return err
	}
	u.heap = sum(families["go_memstats_heap_alloc_bytes"], nil) / (1 << 20)
	u.writes = sum(families["rest_client_requests_total"], func(l labels) bool { return l["method"] != http.MethodGet })
	u.reconciled = sum(families["controller_runtime_reconcile_total"], nil)
	u.formed = sum(families["h2o_webhook_clusters"], func(l labels) bool { return l["phase"] == "Formed" })
	u.waiting = sum(families["workqueue_depth"], nil) + sum(families["controller_runtime_active_workers"], nil)
	return nil
}

// serverMetrics makes a client for the API server's metrics.
func serverMetrics(config *rest.Config) (rest.Interface, error) {
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	return c.RESTClient(), nil
}

// serverWrites is how many writes the API server has served, by anybody, by
// resource. Leases are left out: they are how processes say that they live.
func serverWrites(ctx context.Context, server rest.Interface) (map[string]float64, error) {
	text, err := server.Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot read the API server's metrics: %w", err)
	}
	families, err := parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	writes := map[string]float64{}
	for _, m := range families["apiserver_request_total"].GetMetric() {
		l := labelsOf(m)
		switch l["verb"] {
		case "POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION":
			if l["resource"] != "leases" {
				writes[l["verb"]+" "+l["resource"]] += m.GetCounter().GetValue()
			}
		}
	}
	return writes, nil
}

func parse(text io.Reader) (map[string]*dto.MetricFamily, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read metrics: %w", err)
	}
	return families, nil
}

type labels map[string]string

func labelsOf(m *dto.Metric) labels {
	l := labels{}
	for _, pair := range m.GetLabel() {
		l[pair.GetName()] = pair.GetValue()
	}
	return l
}

// sum adds up the samples of a metric whose labels are wanted; nil wants all.
func sum(family *dto.MetricFamily, wanted func(labels) bool) float64 {
	total := 0.0
	for _, m := range family.GetMetric() {
		if wanted == nil || wanted(labelsOf(m)) {
			total += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return total
}
