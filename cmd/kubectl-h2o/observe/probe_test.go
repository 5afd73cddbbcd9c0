package observe

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
)

// proxy stands in for the API server's way to pods: it answers as H2O's probe
// servers and the API server itself do, by the pod's name.
type proxy struct {
	asked, now, most atomic.Int32
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.asked.Add(1)
	now := p.now.Add(1)
	defer p.now.Add(-1)
	for most := p.most.Load(); now > most && !p.most.CompareAndSwap(most, now); most = p.most.Load() {
	}
	server := func(code int) {
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d}`, code)
	}
	pod, port, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v1/namespaces/science/pods/http:"), "/proxy/kubernetes/isLeaderNode"), ":")
	switch {
	case r.Method != http.MethodGet || port != "8081":
		w.WriteHeader(http.StatusTeapot)
	case pod == "leads":
		w.WriteHeader(http.StatusOK)
	case pod == "follows":
		w.WriteHeader(http.StatusNotFound)
	case pod == "gone":
		server(http.StatusNotFound)
	case pod == "forbidden":
		server(http.StatusForbidden)
	case pod == "silent":
		server(http.StatusServiceUnavailable)
	case pod == "leads-astray":
		http.Redirect(w, r, "/api/v1/namespaces/science/pods/http:leads:8081/proxy/kubernetes/isLeaderNode", http.StatusFound)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func TestProbe(t *testing.T) {
	stand := &proxy{}
	server := httptest.NewServer(stand)
	defer server.Close()
	reader, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"leads": report.ProbeLeads, "follows": report.ProbeFollows, "gone": report.ProbeNone, "forbidden": report.NotAllowed,
		"silent": report.ProbeNone, "leads-astray": report.ProbeNone, "broken": report.ProbeNone,
	}
	pods := []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: "without-address"}}}
	for name := range want {
		pods = append(pods, corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: name}, Status: corev1.PodStatus{PodIP: "10.0.0.1"}})
	}
	if diff := cmp.Diff(want, reader.probe(t.Context(), pods, 8081)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := int(stand.asked.Load()); got != len(want) {
		t.Errorf("want each asked once, got %d questions", got)
	}
}

func TestProbesAreBounded(t *testing.T) {
	stand := &proxy{}
	server := httptest.NewServer(stand)
	defer server.Close()
	reader, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	pods := make([]corev1.Pod, 200)
	for i := range pods {
		pods[i] = corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: fmt.Sprint(i)}, Status: corev1.PodStatus{PodIP: "10.0.0.1"}}
	}
	if got := len(reader.probe(t.Context(), pods, 8081)); got != len(pods) {
		t.Errorf("want an answer for each, got %d", got)
	}
	if most := stand.most.Load(); most > maxProbes {
		t.Errorf("want at most %d at the same time, got %d", maxProbes, most)
	}
}
