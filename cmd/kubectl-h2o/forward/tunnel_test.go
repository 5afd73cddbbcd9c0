package forward_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/forward"
)

// apiServer stands in for the API server and the kubelet behind it: it speaks
// the port-forward protocol over SPDY, knows no WebSocket, and leads port 54321
// of pod demo-0 to an address.
type apiServer struct {
	*testing.T
	address string
	lock    sync.Mutex
	paths   []string
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.lock.Lock()
	s.paths = append(s.paths, r.Method+" "+r.URL.Path+" "+r.Header.Get("Upgrade"))
	s.lock.Unlock()
	if !strings.HasPrefix(r.Header.Get("Upgrade"), "SPDY") {
		http.Error(w, "unable to upgrade", http.StatusBadRequest)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		s.Error(err)
		return
	}
	streams := make(chan httpstream.Stream, 8)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	if connection == nil {
		s.Error("no upgrade")
		return
	}
	defer func() { _ = connection.Close() }()
	problems := map[string]httpstream.Stream{}
	for {
		select {
		case <-connection.CloseChan():
			return
		case stream := <-streams:
			id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
			if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				problems[id] = stream
				continue
			}
			go s.forward(stream, problems[id])
		}
	}
}

func (s *apiServer) forward(data, problems httpstream.Stream) {
	defer problems.Close()
	defer data.Close()
	if port := data.Headers().Get(corev1.PortHeader); port != "54321" {
		fmt.Fprintf(problems, "port %s is not that of H2O", port)
		return
	}
	pod, err := new(net.Dialer).DialContext(s.Context(), "tcp", s.address)
	if err != nil {
		fmt.Fprintf(problems, "cannot connect: %v", err)
		return
	}
	defer pod.Close()
	go func() { _, _ = io.Copy(pod, data) }()
	_, _ = io.Copy(data, pod)
}

func TestTunnel(t *testing.T) {
	p := newPods(t, "demo-0")
	stand := &apiServer{T: t, address: p.servers["demo-0"].Listener.Addr().String()}
	server := httptest.NewServer(stand)
	defer server.Close()
	dial, err := forward.Tunnels(&rest.Config{Host: server.URL}, "science", 54321)
	if err != nil {
		t.Fatal(err)
	}
	way, err := dial(t.Context(), "demo-0")
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	for range 3 { // several over one tunnel
		if got, err := get(way); err != nil || !strings.HasSuffix(got, "demo-0") {
			t.Errorf("got %q, %v", got, err)
		}
	}
	want := []string{"GET /api/v1/namespaces/science/pods/demo-0/portforward websocket", "POST /api/v1/namespaces/science/pods/demo-0/portforward SPDY/3.1"}
	stand.lock.Lock()
	if fmt.Sprint(stand.paths) != fmt.Sprint(want) {
		t.Errorf("want WebSocket tried, then SPDY, got %q", stand.paths)
	}
	stand.lock.Unlock()

	p.servers["demo-0"].Close()
	if _, err := get(way); err == nil || !strings.Contains(err.Error(), "cannot connect") {
		t.Errorf("want what the kubelet says, got %v", err)
	}
	<-way.Done() // what follows would fail too
}

// get asks over a stream of its own and ends it.
func get(way forward.Connection) (string, error) {
	stream, err := way.Stream()
	if err != nil {
		return "", err
	}
	_, err = io.WriteString(stream, "GET / HTTP/1.0\r\n\r\n")
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(stream)
	return string(text), errors.Join(err, stream.End())
}
