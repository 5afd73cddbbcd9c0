//go:build h2o

package h2o

import (
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

func TestPlain(t *testing.T) {
	e := cluster.Test(t)
	e.Apply(cluster.Plain("demo", 3))
	e.Formed("demo", h2otest.FormLimit)
	if cloud := e.Cloud("demo"); cloud.Size != 3 || !cloud.Healthy || !cloud.Consensus {
		t.Errorf("want a healthy cloud of 3 in consensus, got %+v", cloud)
	}
}
