//go:build h2o

package h2o

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

//go:embed testdata/asker.py
var askerScript string

// asker is a client who asks for the cloud through the leader Service, once a
// second.
type asker struct {
	*lived
	stop string // a file in the client pod
	done chan struct{}
	out  string
	err  error
	// formed are the addresses of each formed cluster that there was.
	formed []string
}

// ask begins to ask.
func (l *lived) ask() *asker {
	l.Helper()
	a := &asker{lived: l, stop: "/tmp/stop-" + l.Space.Namespace, done: make(chan struct{})}
	url := l.LeaderURL(l.name)
	go func() {
		defer close(a.done)
		a.out, a.err = cluster.Python(l.Context(), askerScript, url, a.stop)
	}()
	return a
}

// meets says that the cluster is formed now, and stays so for some answers.
func (a *asker) meets() {
	a.Helper()
	var addresses []string
	for _, pod := range a.Pods(a.name) {
		addresses = append(addresses, pod.Status.PodIP)
	}
	slices.Sort(addresses)
	a.formed = append(a.formed, strings.Join(addresses, " "))
}

// end proves that each answer came from one of the formed clusters, and that
// each of them answered.
func (a *asker) end() {
	a.Helper()
	if _, _, err := cluster.Exec(a.Context(), "", "touch", a.stop); err != nil {
		a.Fatal(err)
	}
	select {
	case <-a.done:
	case <-time.After(time.Minute):
		a.Fatal("the client does not end")
	}
	if a.err != nil {
		a.Fatal(a.err)
	}
	asked, wrong := 0, 0
	answered := map[string]int{}
	for line := range strings.Lines(a.out) {
		asked++
		if strings.TrimSpace(line) == "" {
			continue
		}
		var nodes []string
		if err := json.Unmarshal([]byte(line), &nodes); err != nil {
			a.Fatalf("the client printed %q: %v", line, err)
		}
		slices.Sort(nodes)
		cloud := strings.Join(nodes, " ")
		if !slices.Contains(a.formed, cloud) {
			wrong++
			a.Errorf("an answer from a cloud of %d that never was the formed cluster: %s", len(nodes), cloud)
		}
		answered[cloud]++
	}
	for _, cloud := range a.formed {
		if answered[cloud] == 0 {
			a.Errorf("no answer of %s was heard", cloud)
		}
	}
	a.Logf("asked %d times through %d formed clusters: %d answers, %d wrong", asked, len(a.formed), sum(answered), wrong)
}

func sum(counts map[string]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}
