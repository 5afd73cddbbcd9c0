package h2otest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// The ports of H2O, and of its probe server unless a set says otherwise.
const (
	PortREST  = 54321
	PortProbe = 8081
)

// Cloud is what H2O says of itself, GET /3/Cloud.
type Cloud struct {
	Name      string `json:"cloud_name"`
	Size      int    `json:"cloud_size"`
	Healthy   bool   `json:"cloud_healthy"`
	BadNodes  int    `json:"bad_nodes"`
	Consensus bool   `json:"consensus"`
	Locked    bool   `json:"locked"`
	Nodes     []struct {
		Address string `json:"ip_port"`
		Healthy bool   `json:"healthy"`
	} `json:"nodes"`
}

// LeaderURL is the address of a set's cluster for clients.
func (s *Space) LeaderURL(ctx context.Context, set string) (string, error) {
	name, err := s.FullName(ctx, set+"-leader")
	return fmt.Sprintf("http://%s:%d", name, PortREST), err
}

// FullName is the full DNS name of a Service of the namespace.
func (s *Space) FullName(ctx context.Context, service string) (string, error) {
	domain, err := s.ClusterDomain(ctx)
	return service + "." + s.Namespace + ".svc." + domain, err
}

// Cloud asks for the cloud at an address, http://….
func (c *Cluster) Cloud(ctx context.Context, url string) (*Cloud, error) {
	status, body, err := c.Fetch(ctx, url+"/3/Cloud")
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("%s answers %d: %.200s", url, status, body)
	}
	cloud := &Cloud{}
	if err := json.Unmarshal([]byte(body), cloud); err != nil {
		return nil, fmt.Errorf("%s answers %.200q: %w", url, body, err)
	}
	return cloud, nil
}

// ProbeAnswers asks the probe server of each pod whether it leads: 200 or 404 by
// the pod's name, 0 where nothing answers.
func (c *Cluster) ProbeAnswers(ctx context.Context, pods []corev1.Pod, port int) map[string]int {
	answers := map[string]int{}
	for i := range pods {
		status, _, err := c.Fetch(ctx, "http://"+net.JoinHostPort(pods[i].Status.PodIP, strconv.Itoa(port))+"/kubernetes/isLeaderNode")
		if err != nil {
			status = 0
		}
		answers[pods[i].Name] = status
	}
	return answers
}

// RESTAddress is where a pod's H2O listens.
func RESTAddress(pod *corev1.Pod) string {
	return net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(PortREST))
}
