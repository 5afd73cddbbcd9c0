package main

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// network carries heartbeats between nodes of one process, as TCP does between pods.
type network map[string]*node

func (w network) start(address string, flatfile ...string) *node {
	n := &node{settings: settings{name: "one"}, address: address, seen: map[string]time.Time{}, cloud: []string{address}, stage: clouded}
	n.proposed = map[string]heartbeat{address: {}}
	for _, a := range flatfile {
		n.seen[a] = time.Time{}
	}
	n.tellSelf()
	w[address] = n
	return n
}

// beat has every node tell all others some times, those with the highest
// addresses first; who is not there hears nothing.
func (w network) beat() {
	addresses := slices.Sorted(maps.Keys(w))
	slices.Reverse(addresses)
	for range 10 {
		for _, from := range addresses {
			n := w[from]
			for _, to := range n.peers() {
				if other := w[to]; other != nil {
					other.heard(from, n.proposed[from])
				}
			}
		}
	}
}

func (w network) clouds() map[string]int {
	sizes := map[string]int{}
	for address, n := range w {
		sizes[address] = len(n.cloud)
	}
	return sizes
}

func TestClouds(t *testing.T) {
	const a, b, c, d = "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"
	for name, test := range map[string]struct {
		happens func(network)
		sizes   map[string]int
		leaders []string
	}{
		"three that know each other": {func(w network) {
			w.start(a, a, b, c)
			w.start(b, a, b, c)
			w.start(c, a, b, c)
			w.beat()
		}, map[string]int{a: 3, b: 3, c: 3}, []string{a}},
		"one that comes late and knows all, though they do not know it": {func(w network) {
			w.start(a, a, b)
			w.start(b, a, b)
			w.beat()
			w.start(c, a, b, c)
			w.beat()
		}, map[string]int{a: 3, b: 3, c: 3}, []string{a}},
		"a dead address in the flatfile is nobody": {func(w network) {
			w.start(a, a, b, d)
			w.start(b, a, b, d)
			w.beat()
		}, map[string]int{a: 2, b: 2}, []string{a}},
		"an old node in the flatfile keeps the new ones apart, also when it is gone": {func(w network) {
			w.start(d, b, c, d) // of an old cloud whose others are gone
			w[d].proposed[c], w[d].cloud = heartbeat{Hash: 1}, []string{b, c, d}
			w.start(a, a, b, d)
			w.start(b, a, b, d)
			w.beat()
			delete(w, d)
			w.start(c, a, b, c)
			w.beat()
		}, map[string]int{a: 1, b: 1, c: 1}, []string{a, b, c}},
		"a replaced one is alone, and the others keep the dead": {func(w network) {
			w.start(a, a, b, c)
			w.start(b, a, b, c)
			w.start(c, a, b, c)
			w.beat()
			delete(w, c)
			w.start(d, a, b, d)
			w.beat()
		}, map[string]int{a: 3, b: 3, d: 1}, []string{a, d}},
		"one that restarts at its address is let in again": {func(w network) {
			w.start(a, a, b, c)
			w.start(b, a, b, c)
			w.start(c, a, b, c)
			w.beat()
			w.start(b, a, b, c)
			w.beat()
		}, map[string]int{a: 3, b: 3, c: 3}, []string{a}},
		"nodes of another cloud name are strangers": {func(w network) {
			w.start(a, a, b)
			w.start(b, a, b).settings.name = "other"
			w[b].tellSelf()
			w.beat()
		}, map[string]int{a: 1, b: 1}, []string{a, b}},
	} {
		t.Run(name, func(t *testing.T) {
			w := network{}
			test.happens(w)
			sizes := w.clouds()
			var leaders []string
			for address, n := range w {
				if sizes[address] != test.sizes[address] {
					t.Errorf("%s is in a cloud of %d, want %d", address, sizes[address], test.sizes[address])
				}
				if n.leads() {
					leaders = append(leaders, address)
				}
			}
			slices.Sort(leaders)
			if !slices.Equal(leaders, test.leaders) {
				t.Errorf("%v lead, want %v", leaders, test.leaders)
			}
		})
	}
}

func TestProbeAnswersByStage(t *testing.T) {
	n := network{}.start("10.0.0.2")
	n.cloud = []string{"10.0.0.1", "10.0.0.2"}
	for s, want := range map[stage]bool{looking: true, starting: false, clouded: false} {
		if n.enter(s); n.leads() != want {
			t.Errorf("stage %d: leads %t, want %t", s, n.leads(), want)
		}
	}
}

func TestSettings(t *testing.T) {
	env := map[string]string{
		"H2O_KUBERNETES_SERVICE_DNS": "h2o.ns.svc.cluster.local", "H2O_NODE_EXPECTED_COUNT": "3", "H2O_KUBERNETES_API_PORT": "8081",
		"JAVA_TOOL_OPTIONS": "-Xmx1g -Dai.h2o.name=ns-h2o",
	}
	get := func(name string) string { return env[name] }
	want := settings{service: "h2o.ns.svc.cluster.local", count: 3, apiPort: 8081, name: "ns-h2o"}
	if got, err := readSettings(get); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	delete(env, "H2O_NODE_EXPECTED_COUNT")
	if got, _ := readSettings(get); got.timeout != defaultTimeout {
		t.Errorf("without any end the lookup ends after %s, want %s", got.timeout, defaultTimeout)
	}
	env["H2O_KUBERNETES_API_PORT"] = "tcp://10.0.0.1:8080"
	if _, err := readSettings(get); err == nil {
		t.Error("a port that is no number is taken")
	}
}
