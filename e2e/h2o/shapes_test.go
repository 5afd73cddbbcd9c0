//go:build h2o

package h2o

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

func TestSizes(t *testing.T) {
	for name, size := range map[string]int{"one node": 1, "five nodes": 5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := cluster.Test(t)
			e.Apply(strings.ReplaceAll(cluster.Plain("demo", size), "memory: 1Gi", "memory: 768Mi"))
			e.Formed("demo", h2otest.FormLimit)
			isCluster(e, "demo", size, h2otest.PortProbe)
			isListed(e, "demo", "demo")
			hadRestarts(e, "demo", 0)
		})
	}
}

func TestAPIPort(t *testing.T) {
	t.Parallel()
	e := cluster.Test(t)
	e.Apply(strings.Replace(cluster.Plain("demo", 2), "  labels: {h2o", "  annotations: {h2o.ai/api-port: \"8080\"}\n  labels: {h2o", 1))
	e.Formed("demo", h2otest.FormLimit)
	isCluster(e, "demo", 2, 8080)
	if answers := e.Space.ProbeAnswers(t.Context(), e.Pods("demo"), h2otest.PortProbe); answers["demo-0"] != 0 || answers["demo-1"] != 0 {
		t.Errorf("want nobody on the port that it would have else, got %v", answers)
	}
}

// TestSideBySide has clusters of the same image that must never see each other:
// two in one namespace, and one of the same name in another.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	here, there := cluster.Test(t), cluster.Test(t)
	here.Apply(cluster.Plain("demo", 2) + "---\n" + cluster.Plain("other", 2))
	there.Apply(cluster.Plain("demo", 2))
	for _, set := range []struct {
		e    *h2otest.Test
		name string
	}{{here, "demo"}, {here, "other"}, {there, "demo"}} {
		set.e.Formed(set.name, h2otest.FormLimit)
		isCluster(set.e, set.name, 2, h2otest.PortProbe)
		isListed(set.e, set.name, set.name)
		hadRestarts(set.e, set.name, 0)
	}
	// All have been there for a while now, and have had time to meet.
	names := []string{here.Cloud("demo").Name, here.Cloud("other").Name, there.Cloud("demo").Name}
	slices.Sort(names)
	if len(slices.Compact(names)) != 3 {
		t.Errorf("want three clouds with names of their own, got %q", names)
	}
	status, _, err := here.Space.Fetch(t.Context(), here.LeaderURL("other")+"/3/Cloud")
	if err != nil || status != http.StatusOK {
		t.Errorf("the second cluster answers %d (%v)", status, err)
	}
}
