package lifecycle

import (
	"context"
	"errors"
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
	// maxAsking bounds how many pods are asked at the same time.
	maxAsking = 64
)

// asker asks nodes whether they lead. It uses the probe port, which needs no
// credentials and no TLS whatever H2O's own port is set up for. It sends nothing
// but GET, and leaves no connection open.
type asker struct {
	client *http.Client
	dialer *net.Dialer
	slots  chan struct{}
}

func newAsker() *asker {
	dialer := &net.Dialer{Timeout: askTimeout}
	return &asker{
		client: &http.Client{
			Timeout:       askTimeout,
			Transport:     &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true},
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
