package observe

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/net"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
)

const (
	// probeTimeout bounds one question: the API server is between us and the pod.
	probeTimeout = 3 * time.Second
	// maxProbes bounds how many are asked at the same time.
	maxProbes = 8
	// maxAnswer is how much of an answer is read: enough for the API server's.
	maxAnswer = 64 << 10
)

// probe asks the probe servers of pods, on a TCP port, through the API server.
func (r *Reader) probe(ctx context.Context, pods []corev1.Pod, port int32) map[string]string {
	answers := map[string]string{}
	var lock sync.Mutex
	var asked sync.WaitGroup
	slots := make(chan struct{}, maxProbes)
	for i := range pods {
		if pods[i].Status.PodIP == "" {
			continue
		}
		asked.Go(func() {
			slots <- struct{}{}
			answer := r.probeOne(ctx, &pods[i], port)
			<-slots
			lock.Lock()
			defer lock.Unlock()
			answers[pods[i].Name] = answer
		})
	}
	asked.Wait()
	return answers
}

func (r *Reader) probeOne(ctx context.Context, pod *corev1.Pod, port int32) string {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	url := r.kube.CoreV1().RESTClient().Get().
		Namespace(pod.Namespace).Resource("pods").SubResource("proxy").
		Name(net.JoinSchemeNamePort("http", pod.Name, strconv.Itoa(int(port)))).
		Suffix("kubernetes", "isLeaderNode").URL()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url.String(), nil)
	if err != nil {
		return report.ProbeNone
	}
	response, err := r.http.Do(request)
	if err != nil {
		return report.ProbeNone
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return report.ProbeNone
	}
	return meaning(response.StatusCode, fromServer(body))
}

// meaning says what an answer means. A node says 200 when it leads, or still
// looks for its peers, and 404 when it follows; the rest is the API server's.
// Source: water.k8s.api.KubernetesRestApi.
func meaning(code int, server bool) string {
	switch {
	case server && (code == http.StatusForbidden || code == http.StatusUnauthorized):
		return report.NotAllowed
	case server:
		return report.ProbeNone
	case code == http.StatusOK:
		return report.ProbeLeads
	case code == http.StatusNotFound:
		return report.ProbeFollows
	default:
		return report.ProbeNone
	}
}

// fromServer says whether an answer is the API server's own: it says so in a
// Status object, which H2O's probe server does not know.
func fromServer(body []byte) bool {
	var status metav1.Status
	return json.Unmarshal(body, &status) == nil && status.Kind == "Status"
}
