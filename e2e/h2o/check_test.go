//go:build h2o

package h2o

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// soon is how long what follows from a formation may take: kubelets probe every
// 5 s, and DNS servers remember what was not there for up to 30 s.
const soon = time.Minute

// isCluster proves that a set's pods are one whole cluster of H2O, by H2O's own
// words, the kubelet's and the DNS'; port is the probe server's.
func isCluster(e *h2otest.Test, set string, size, port int) {
	e.Helper()
	cloud := e.Cloud(set)
	if cloud.Size != size || !cloud.Healthy || !cloud.Consensus || cloud.BadNodes != 0 {
		e.Errorf("want a healthy cloud of %d in consensus, got %+v", size, cloud)
	}
	if want := e.Space.Namespace + "-" + set; cloud.Name != want {
		e.Errorf("want a cloud named %s, got %s", want, cloud.Name)
	}
	hasOwnMembers(e, set, cloud)
	refusesAtFollowers(e, cloud)
	leader := leads(e, set, size, port)
	e.Eventually("exactly the leader "+leader+" is ready", soon, func(context.Context) error {
		var ready []string
		pods := e.Pods(set)
		for i := range pods {
			if h2otest.Ready(&pods[i]) {
				ready = append(ready, pods[i].Name)
			}
		}
		if !slices.Equal(ready, []string{leader}) {
			return fmt.Errorf("ready are %q", ready)
		}
		return nil
	})
}

// hasOwnMembers proves that a cloud's members are the pods of the set, all of
// them and nobody else.
func hasOwnMembers(e *h2otest.Test, set string, cloud *h2otest.Cloud) {
	e.Helper()
	var members, addresses []string
	for _, node := range cloud.Nodes {
		members = append(members, node.Address)
	}
	pods := e.Pods(set)
	for i := range pods {
		addresses = append(addresses, h2otest.RESTAddress(&pods[i]))
		for _, status := range pods[i].Status.ContainerStatuses {
			if status.RestartCount != 0 {
				e.Errorf("container %s of %s was restarted", status.Name, pods[i].Name)
			}
		}
	}
	slices.Sort(members)
	slices.Sort(addresses)
	if !slices.Equal(members, addresses) {
		e.Errorf("members of the cloud are %v, the set's pods %v", members, addresses)
	}
}

// refusesAtFollowers is H2O's own acceptance test: over every address that the
// cloud lists, as many answers 403 as it has followers.
func refusesAtFollowers(e *h2otest.Test, cloud *h2otest.Cloud) {
	e.Helper()
	counts := map[int]int{}
	for _, node := range cloud.Nodes {
		status, _, err := e.Space.Fetch(e.Context(), "http://"+node.Address+"/3/Cloud")
		if err != nil {
			e.Errorf("node %s: %v", node.Address, err)
		}
		counts[status]++
	}
	if want := map[int]int{http.StatusOK: 1, http.StatusForbidden: cloud.Size - 1}; counts[http.StatusOK] != 1 || counts[http.StatusForbidden] != cloud.Size-1 {
		e.Errorf("want answers %v over all nodes, got %v", want, counts)
	}
}

// leads finds the one pod whose probe server says that it leads.
func leads(e *h2otest.Test, set string, size, port int) string {
	e.Helper()
	answers := e.Space.ProbeAnswers(e.Context(), e.Pods(set), port)
	var leaders []string
	followers := 0
	for _, pod := range slices.Sorted(maps.Keys(answers)) {
		switch answers[pod] {
		case http.StatusOK:
			leaders = append(leaders, pod)
		case http.StatusNotFound:
			followers++
		}
	}
	if len(leaders) != 1 || followers != size-1 {
		e.Fatalf("want one 200 and %d times 404 from the probe servers, got %v", size-1, answers)
	}
	return leaders[0]
}

// isListed proves that the DNS of a headless Service lists all pods of a set.
func isListed(e *h2otest.Test, service, set string) {
	e.Helper()
	name, err := e.Space.FullName(e.Context(), service)
	if err != nil {
		e.Fatal(err)
	}
	var addresses []string
	pods := e.Pods(set)
	for i := range pods {
		addresses = append(addresses, pods[i].Status.PodIP)
	}
	slices.Sort(addresses)
	e.Eventually("addresses of "+name, soon, func(ctx context.Context) error {
		got, err := e.Space.Dig(ctx, "A", name)
		if err == nil && !slices.Equal(got, addresses) {
			err = fmt.Errorf("it lists %v, want %v", got, addresses)
		}
		return err
	})
	e.Eventually("SRV records of "+name, soon, func(ctx context.Context) error {
		got, err := e.Space.Dig(ctx, "SRV", name)
		if err != nil {
			return err
		}
		for i := range pods {
			target := fmt.Sprintf(" %d %s.%s.", h2otest.PortREST, pods[i].Name, name)
			if len(got) != len(pods) || !slices.ContainsFunc(got, func(record string) bool { return strings.HasSuffix(record, target) }) {
				return fmt.Errorf("%s is not one of %d in %q", target, len(pods), got)
			}
		}
		return nil
	})
}

// hadRestarts proves how often a set's cluster was restarted as a whole.
func hadRestarts(e *h2otest.Test, set string, want int) {
	e.Helper()
	if got := status(e, set); got.Restarts != want {
		e.Errorf("want %d restarts of the whole cluster, got %d, the last for %s", want, got.Restarts, got.LastCause)
	}
}

// status reads what the product keeps of a cluster's life.
func status(e *h2otest.Test, set string) life.Status {
	e.Helper()
	object, err := e.Space.Set(e.Context(), set)
	if err != nil {
		e.Fatal(err)
	}
	return life.Read(object)
}

// warnedOf proves that a warning with a text was given.
func warnedOf(e *h2otest.Test, warnings []string, text string) {
	e.Helper()
	if !slices.ContainsFunc(warnings, func(w string) bool { return strings.Contains(w, text) }) {
		e.Errorf("want a warning that says %q, got %q", text, warnings)
	}
}

// read reads the line of JSON that a script printed among others.
func read(e *h2otest.Test, output string, into any) {
	e.Helper()
	for line := range strings.Lines(output) {
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), into); err != nil {
				e.Fatalf("cannot read what the script printed: %v\n%s", err, output)
			}
			return
		}
	}
	e.Fatalf("the script printed no JSON:\n%s", output)
}
