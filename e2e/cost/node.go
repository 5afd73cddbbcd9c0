package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// What H2O takes for each step, as measured with H2O 3.46 on two cores.
const (
	javaStarts   = 2700 * time.Millisecond // until the probe server is up
	lookupPeriod = time.Second
	portOpens    = 500 * time.Millisecond // from the last lookup's end
	cloudAgrees  = 3500 * time.Millisecond
	processEnds  = 300 * time.Millisecond // from SIGTERM
)

// node is a stand-in for one run of H2O in a pod: it looks its peers up once a
// second in a set from which nothing is removed until that has as many as
// expected, and answers the probe as H2O's probe server does.
type node struct {
	ip      string
	service string // whose endpoints it looks up
	count   int
	dns     *endpoints
	peers   *nodes
	// turned is called when its answer to the probe, and so its readiness, turns.
	turned func(ready bool)

	found    []string
	follows  atomic.Bool
	cloud    atomic.Int64 // how many nodes its cloud has, 0 before it has one
	answered atomic.Int64
	stop     context.CancelFunc
	done     chan struct{}
}

// run lives until the context ends.
func (n *node) run(ctx context.Context) error {
	if !sleep(ctx, javaStarts) {
		return nil
	}
	probe, err := n.listen(ctx, policy.Defaults().APIPort)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: n, ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(probe) }() // it ends with Close
	n.turned(true)
	if !n.lookUp(ctx) || !sleep(ctx, lookupPeriod+portOpens) {
		return nil
	}
	rest, err := n.listen(ctx, policy.PortREST)
	if err != nil {
		return err
	}
	api := &http.Server{Handler: http.HandlerFunc(n.serveCloud), ReadHeaderTimeout: time.Second}
	defer func() { _ = api.Close() }()
	go func() { _ = api.Serve(rest) }() // it ends with Close
	if !sleep(ctx, cloudAgrees) {
		return nil
	}
	if n.peers.oneCloud(n.found) {
		n.cloud.Store(int64(len(n.found)))
		if n.ip != n.found[0] {
			n.follows.Store(true)
			n.turned(false)
		}
	}
	<-ctx.Done()
	return nil
}

func (n *node) listen(ctx context.Context, port int32) (net.Listener, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", net.JoinHostPort(n.ip, strconv.Itoa(int(port))))
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("the stand-in for H2O cannot listen: %w", err)
	}
	return l, errors.Join(err, ctx.Err())
}

// lookUp finds as many nodes as are expected. It never gives up.
func (n *node) lookUp(ctx context.Context) bool {
	for {
		for _, ip := range n.dns.of(n.service) {
			if !slices.Contains(n.found, ip) {
				n.found = append(n.found, ip)
			}
		}
		if len(n.found) == n.count {
			slices.Sort(n.found)
			return true
		}
		if !sleep(ctx, lookupPeriod) {
			return false
		}
	}
}

// ServeHTTP answers GET /kubernetes/isLeaderNode.
// Source: water.k8s.api.KubernetesRestApi.
func (n *node) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n.answered.Add(1)
	if n.follows.Load() {
		w.WriteHeader(http.StatusNotFound)
	}
}

// serveCloud answers GET /3/Cloud with what is looked at of it: a node that has
// not agreed with others is a cloud of one.
func (n *node) serveCloud(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"cloud_size":%d,"consensus":true}`, max(1, n.cloud.Load()))
}

// sleep waits and says whether the context still goes on: what takes H2O time
// takes the stand-in as long.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// nodes are all that run, by address.
type nodes struct {
	lock sync.Mutex
	byIP map[string]*node
}

func (n *nodes) add(one *node) {
	n.lock.Lock()
	defer n.lock.Unlock()
	n.byIP[one.ip] = one
}

func (n *nodes) remove(ip string) {
	n.lock.Lock()
	defer n.lock.Unlock()
	delete(n.byIP, ip)
}

// oneCloud says whether nodes that found each other all run. With an address of
// one that does not, each stays a cloud of its own.
func (n *nodes) oneCloud(found []string) bool {
	n.lock.Lock()
	defer n.lock.Unlock()
	return !slices.ContainsFunc(found, func(ip string) bool { return n.byIP[ip] == nil })
}

// answered says how many probes were answered in all, and by the one node that
// answered most since the counts before.
func (n *nodes) answered(before map[string]int64) (now map[string]int64, all, most int64) {
	n.lock.Lock()
	defer n.lock.Unlock()
	now = make(map[string]int64, len(n.byIP))
	for ip, one := range n.byIP {
		now[ip] = one.answered.Load()
		since := now[ip] - before[ip]
		all, most = all+since, max(most, since)
	}
	return now, all, most
}
