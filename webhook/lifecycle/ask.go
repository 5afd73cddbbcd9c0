package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

const (
	// askTimeout bounds one question: a pod of the same cluster answers in
	// milliseconds, and a silent one must not keep the others waiting.
	askTimeout = time.Second
	// askBuffer holds a question, or the head of an answer, in bytes. Go's own 4 KiB,
	// twice for each connection, would be most of the garbage of a formation.
	askBuffer = 512
	// maxAsking bounds how many pods are asked at the same time.
	maxAsking = 64
	// maxCloud bounds what is read of H2O's word about a cloud, in bytes: a node
	// takes about 1 KiB in it.
	maxCloud = 4 << 20
)

// asker asks nodes whether they lead. It uses the probe port, which needs no
// credentials and no TLS whatever H2O's own port is set up for; H2O itself only
// for the size of a cloud that may just have formed. It sends nothing but GET,
// and leaves no connection open.
type asker struct {
	client *http.Client
	dialer *net.Dialer
	slots  chan struct{}
}

func newAsker() *asker {
	dialer := &net.Dialer{Timeout: askTimeout}
	return &asker{
		client: &http.Client{
			Timeout: askTimeout,
			Transport: &http.Transport{
				DialContext: dialer.DialContext, DisableKeepAlives: true,
				ReadBufferSize: askBuffer, WriteBufferSize: askBuffer,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		dialer: dialer,
		slots:  make(chan struct{}, maxAsking),
	}
}

// all asks all pods that have an address, on the TCP port of their probe server.
func (a *asker) all(ctx context.Context, pods []life.Pod, port int32) map[types.UID]life.Answer {
	answers := map[types.UID]life.Answer{}
	var lock sync.Mutex
	var asked sync.WaitGroup
	for i := range pods {
		if p := &pods[i]; p.IP != "" {
			asked.Go(func() {
				a.slots <- struct{}{}
				answer := a.one(ctx, p.IP, port)
				<-a.slots
				lock.Lock()
				defer lock.Unlock()
				answers[p.UID] = answer
			})
		}
	}
	asked.Wait()
	return answers
}

// size adds the size of the cloud, where all nodes say that they are one.
func (a *asker) size(ctx context.Context, pods []life.Pod, answers map[types.UID]life.Answer) {
	var leader *life.Pod
	for i := range pods {
		switch answer := answers[pods[i].UID]; {
		case answer.Says == life.SaysLeader && answer.Open && leader == nil:
			leader = &pods[i]
		case answer.Says != life.SaysFollower:
			return
		}
	}
	if leader != nil {
		answer := answers[leader.UID]
		answer.Size = a.cloud(ctx, leader.IP)
		answers[leader.UID] = answer
	}
}

// cloud asks H2O itself for the size of its cloud. This question does not lock
// the cloud; only writing to H2O's store does.
// Source: water.api.CloudHandler; water.Paxos.lockCloud and its callers.
func (a *asker) cloud(ctx context.Context, ip string) life.Size {
	url := "http://" + net.JoinHostPort(ip, strconv.Itoa(int(policy.PortREST))) + "/3/Cloud"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return life.SizeUnknown
	}
	response, err := a.client.Do(request)
	if err != nil {
		if silence(err) == life.SaysUnreachable {
			return life.SizeWaits
		}
		return life.SizeUnknown // with TLS, say
	}
	defer response.Body.Close()
	var cloud struct {
		Size      life.Size `json:"cloud_size"`
		Consensus bool      `json:"consensus"`
	}
	if response.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(response.Body, maxCloud)).Decode(&cloud) != nil {
		return life.SizeUnknown
	}
	if cloud.Size > 1 && !cloud.Consensus {
		return life.SizeWaits
	}
	return max(life.SizeUnknown, cloud.Size)
}

// one asks one pod.
// Source of the answers: water.k8s.api.KubernetesRestApi.
func (a *asker) one(ctx context.Context, ip string, port int32) life.Answer {
	url := "http://" + net.JoinHostPort(ip, strconv.Itoa(int(port))) + "/kubernetes/isLeaderNode"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return life.Answer{Says: life.SaysNothing}
	}
	response, err := a.client.Do(request)
	if err != nil {
		return life.Answer{Says: silence(err)}
	}
	_ = response.Body.Close() // there is nothing in it to read
	switch response.StatusCode {
	case http.StatusOK:
		return life.Answer{Says: life.SaysLeader, Open: a.open(ctx, ip)}
	case http.StatusNotFound:
		return life.Answer{Says: life.SaysFollower, Open: true} // it follows, so it is in a cloud
	default:
		return life.Answer{Says: life.SaysNothing}
	}
}

// open says whether H2O's own port takes connections, which it does from the end
// of the lookup on. Nothing is sent: a request could be the first use of the
// cluster, which would lock it.
func (a *asker) open(ctx context.Context, ip string) bool {
	connection, err := a.dialer.DialContext(ctx, "tcp", net.JoinHostPort(ip, strconv.Itoa(int(policy.PortREST))))
	if err != nil {
		return false
	}
	_ = connection.Close()
	return true
}

// silence tells a network that does not answer from a program that is not up.
func silence(err error) life.Says {
	for _, gone := range []error{context.DeadlineExceeded, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, gone) {
			return life.SaysUnreachable
		}
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return life.SaysUnreachable
	}
	return life.SaysNothing
}
