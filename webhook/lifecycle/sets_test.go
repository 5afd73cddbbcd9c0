package lifecycle

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
)

// TestSetsNeverWait proves that nobody waits for a cache which cannot be filled:
// before it starts, and while it runs without an API server to ask.
func TestSetsNeverWait(t *testing.T) {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(statefulSetKind, meta.RESTScopeNamespace)
	nowhere := &rest.Config{Host: "https://127.0.0.1:1"}
	cached, err := cache.New(nowhere, cache.Options{Scheme: clientgoscheme.Scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	find, err := Sets(t.Context(), cached)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(when string) {
		t.Helper()
		start := time.Now()
		if set := find("science", "demo"); set != nil {
			t.Errorf("%s: found %v", when, set)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: it took %s", when, took)
		}
	}
	ask("before the start")
	ended := make(chan error, 1)
	go func() { ended <- cached.Start(t.Context()) }()
	ask("after the start")
	select {
	case err := <-ended:
		t.Fatalf("the cache ended: %v", err)
	default:
	}
}
