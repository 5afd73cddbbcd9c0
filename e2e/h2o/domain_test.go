//go:build h2o

package h2o

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

// TestClusterDomain runs in a Kubernetes of its own whose names do not end in
// cluster.local. Nobody tells the webhook: it finds out.
func TestClusterDomain(t *testing.T) {
	options, err := h2otest.FromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if options.Kubeconfig != "" {
		t.Skip("the domain of a cluster that KUBECONFIG names is what it is")
	}
	options.Domain, options.Keep, options.Number = "h2o.test", false, 1
	options.Name = strings.TrimPrefix(options.Name+"-domain", "-")
	other, err := h2otest.Start(t.Context(), os.Stderr, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := other.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	e := other.Test(t)
	warnings := e.Apply(documented(t))
	warnedOf(e, warnings, ".svc.h2o.test")
	e.Formed("h2o-stateful-set", h2otest.FormLimit)
	isCluster(e, "h2o-stateful-set", 3, h2otest.PortProbe)
	hadRestarts(e, "h2o-stateful-set", 0)
}
