//go:build h2o

package h2o

import (
	_ "embed"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

// TestPlain is the product's main promise: a plain set and one label.
func TestPlain(t *testing.T) {
	e := cluster.Test(t)
	if warnings := e.Apply(cluster.Plain("demo", 3)); len(warnings) > 0 {
		t.Errorf("a plain set needs no warnings, got %q", warnings)
	}
	e.Formed("demo", h2otest.FormLimit)
	isCluster(e, "demo", 3, h2otest.PortProbe)
	isListed(e, "demo", "demo")
	if e.Cloud("demo").Locked {
		t.Error("the cloud is locked although nobody has used it")
	}
	usesIt(e, "demo")
	isCluster(e, "demo", 3, h2otest.PortProbe)
	hadRestarts(e, "demo", 0)
}

//go:embed testdata/client.py
var clientScript string

// usesIt has H2O's own Python package load data and train models.
func usesIt(e *h2otest.Test, set string) {
	e.Helper()
	output, err := e.Space.Python(e.Context(), clientScript, e.LeaderURL(set))
	if err != nil {
		e.Fatal(err)
	}
	var did struct {
		Bytes, Rows, Predictions int
		AUC, R2                  float64
		Nodes                    map[string]int // rows of the frame by node
	}
	read(e, output, &did)
	e.Logf("a client uploaded %d bytes, and the frame's rows are %v", did.Bytes, did.Nodes)
	if did.Bytes < 12<<20 || did.Predictions != did.Rows {
		e.Errorf("want some MB loaded and a prediction for each row, got %+v", did)
	}
	// What the script has to learn has little noise in it.
	if did.AUC < 0.9 || did.R2 < 0.9 {
		e.Errorf("want models that have learned, got AUC %f and R² %f", did.AUC, did.R2)
	}
	rows := 0
	for node, here := range did.Nodes {
		rows += here
		if here == 0 {
			e.Errorf("node %s has no part of the frame", node)
		}
	}
	if pods := e.Pods(set); len(did.Nodes) != len(pods) || rows != did.Rows {
		e.Errorf("want %d rows spread over %d nodes, got %v", did.Rows, len(pods), did.Nodes)
	}
}
