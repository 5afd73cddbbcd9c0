package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"
)

const (
	portREST     = 54321
	portInternal = 54322
	// beatEvery is how often a node tells all others that it is there.
	beatEvery = time.Second
	// within is how long one talk between nodes may take.
	within = time.Second
	// untilDead leaves time for an answer.
	untilDead = 100 * time.Millisecond
)

// Report is what the stand-in tells of itself beside what H2O does, for checkers.
type Report struct {
	Host     string               `json:"host"`
	Address  string               `json:"address"`
	Started  time.Time            `json:"started"`
	Revision string               `json:"revision"`
	Expected int                  `json:"expected"`
	Seen     map[string]time.Time `json:"seen"`  // every address that the lookup ever saw
	Ended    string               `json:"ended"` // why the lookup ended, empty before
	Cloud    []string             `json:"cloud"` // addresses, the leader's first
	Common   bool                 `json:"common"`
	Since    time.Time            `json:"since"`
}

func (n *node) report() Report {
	n.lock.Lock()
	defer n.lock.Unlock()
	return Report{
		Host: n.host, Address: n.address, Started: n.started, Revision: n.settings.revision, Expected: n.settings.count,
		Seen: maps.Clone(n.seen), Ended: n.ended, Cloud: slices.Clone(n.cloud), Common: n.common, Since: n.since,
	}
}

// serveProbe answers the leader probe from before the lookup on, and the checker.
// Source: water.k8s.api.KubernetesRestApi.
func (n *node) serveProbe(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kubernetes/isLeaderNode", func(w http.ResponseWriter, _ *http.Request) {
		if !n.leads() {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	mux.HandleFunc("GET /standin", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, n.report()) })
	mux.HandleFunc("POST /standin/die", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, "as you wish")
		time.AfterFunc(untilDead, func() { os.Exit(exitKilled) })
	})
	return serve(ctx, n.settings.apiPort, mux)
}

// join opens H2O's ports and becomes a member of whatever cloud comes about.
func (n *node) join(ctx context.Context) error {
	internal, err := listen(ctx, portInternal)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /3/Cloud", n.serveCloud)
	if err := serve(ctx, portREST, mux); err != nil {
		return err
	}
	time.Sleep(untilStarting)
	n.enter(starting)
	time.Sleep(untilCloud + rand.N(untilCloudSpread))
	n.enter(clouded)
	go n.listenToOthers(internal)
	for {
		for _, peer := range n.peers() {
			go n.beat(ctx, peer)
		}
		time.Sleep(beatEvery)
	}
}

// serveCloud answers on the leader only.
func (n *node) serveCloud(w http.ResponseWriter, _ *http.Request) {
	if !n.leads() {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	r := n.report()
	nodes := make([]map[string]any, 0, len(r.Cloud))
	for _, address := range r.Cloud {
		nodes = append(nodes, map[string]any{"ip_port": net.JoinHostPort(address, strconv.Itoa(portREST))})
	}
	writeJSON(w, map[string]any{
		"cloud_name": n.settings.name, "cloud_size": len(r.Cloud), "cloud_healthy": true, "consensus": r.Common, "locked": false, "nodes": nodes,
	})
}

// peers are whom to tell: those of the lookup, and all who ever told us.
func (n *node) peers() []string {
	n.lock.Lock()
	defer n.lock.Unlock()
	var all []string
	for address := range n.seen {
		all = append(all, address)
	}
	for address := range n.proposed {
		if _, has := n.seen[address]; !has {
			all = append(all, address)
		}
	}
	return slices.DeleteFunc(all, func(address string) bool { return address == n.address })
}

// beat tells one other node that we are there. One that is not is nothing to say.
func (n *node) beat(ctx context.Context, peer string) {
	dialer := net.Dialer{Timeout: within}
	connection, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort(peer, strconv.Itoa(portInternal)))
	if err != nil {
		return
	}
	defer connection.Close()
	n.lock.Lock()
	own := n.proposed[n.address]
	n.lock.Unlock()
	_ = connection.SetDeadline(time.Now().Add(within))
	_ = json.NewEncoder(connection).Encode(own) // the next one follows in a second
}

// listenToOthers takes heartbeats. The sender is known by its socket's address.
func (n *node) listenToOthers(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Printf("cloud: %v\n", err)
			return
		}
		go func() {
			defer connection.Close()
			_ = connection.SetDeadline(time.Now().Add(within))
			var h heartbeat
			if err := json.NewDecoder(connection).Decode(&h); err != nil {
				return // a probe of the port
			}
			if from, _, err := net.SplitHostPort(connection.RemoteAddr().String()); err == nil {
				n.heard(from, h)
			}
		}()
	}
}

func listen(ctx context.Context, port int) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("cannot listen: %w", err)
	}
	return listener, nil
}

func serve(ctx context.Context, port int, handler http.Handler) error {
	listener, err := listen(ctx, port)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: within}
	go func() { fmt.Printf("port %d: %v\n", port, server.Serve(listener)) }()
	return nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who does not wait for the answer has none
}
