// Package e2e proves the product on a real API server and controller manager.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// limit is how long anything may take to become true.
const limit = 30 * time.Second

var (
	cluster *harness.Cluster
	server  *harness.Webhook
	plugin  string // the path of kubectl-h2o
)

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if cluster, err = harness.Start(ctx, os.Stderr); err != nil {
		return 1, err
	}
	defer func() {
		if stopped := cluster.Stop(); err == nil {
			err = stopped
		}
	}()
	if server, err = cluster.Install(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if plugin, err = cluster.BuildPlugin(ctx, os.Stderr); err != nil {
		return 1, err
	}
	if err = server.Start(ctx); err != nil {
		return 1, err
	}
	defer server.Stop()
	return m.Run(), nil
}

// test is one test's own namespace and what it does there.
type test struct {
	*testing.T
	namespace string
}

// newTest makes a namespace. When the test fails it prints what a person needs.
func newTest(t *testing.T) *test {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := cluster.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	e := &test{T: t, namespace: namespace.Name}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if t.Failed() {
			objects, _, err := cluster.RunKubectl(ctx, "", "-n", e.namespace, "get", "statefulsets,services,events", "-o", "wide")
			t.Logf("in namespace %s (%v):\n%s\nthe webhook's log:\n%s", e.namespace, err, objects, server.LogTail())
		}
		if err := cluster.Client.Delete(ctx, namespace); err != nil {
			t.Error(err)
		}
	})
	return e
}

// kubectl runs kubectl in the test's namespace and fails the test if it fails.
func (e *test) kubectl(stdin string, args ...string) (stdout, stderr string) {
	e.Helper()
	stdout, stderr, err := e.tryKubectl(stdin, args...)
	if err != nil {
		e.Fatal(err)
	}
	return stdout, stderr
}

func (e *test) tryKubectl(stdin string, args ...string) (stdout, stderr string, err error) {
	return cluster.RunKubectl(e.Context(), stdin, append([]string{"-n", e.namespace}, args...)...)
}

func (e *test) get(object client.Object, name string) {
	e.Helper()
	if err := cluster.Client.Get(e.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, object); err != nil {
		e.Fatal(err)
	}
}

func (e *test) set(name string) *appsv1.StatefulSet {
	e.Helper()
	set := &appsv1.StatefulSet{}
	e.get(set, name)
	return set
}

// eventually waits for a condition and fails the test with its last reason.
func (e *test) eventually(what string, condition func(context.Context) error) {
	e.Helper()
	if err := harness.Poll(e.Context(), limit, condition); err != nil {
		e.Fatalf("%s: %v", what, err)
	}
}

// hasServices waits until both Services of a set are what they must be.
func (e *test) hasServices(set *appsv1.StatefulSet) {
	e.Helper()
	for _, want := range []func(*appsv1.StatefulSet) *corev1.Service{inject.DiscoveryService, inject.LeaderService} {
		e.eventually("service "+want(set).Name, func(ctx context.Context) error {
			now := &appsv1.StatefulSet{} // whom a Service selects follows from the set's status
			if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(set), now); err != nil {
				return err
			}
			service, wanted := &corev1.Service{}, want(now)
			if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(wanted), service); err != nil {
				return err
			}
			if owner := metav1.GetControllerOf(service); inject.Drifted(service, wanted) || owner == nil || owner.UID != set.UID {
				return fmt.Errorf("it is %+v, controlled by %v", service.Spec, owner)
			}
			return nil
		})
	}
}

// hasNoService waits until a Service is gone.
func (e *test) hasNoService(name string) {
	e.Helper()
	e.eventually("service "+name+" gone", func(ctx context.Context) error {
		err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: name}, &corev1.Service{})
		if err == nil {
			return fmt.Errorf("it is there")
		}
		return client.IgnoreNotFound(err)
	})
}

// hasEvent waits for an Event about a set.
func (e *test) hasEvent(name, reason, text string) {
	e.Helper()
	e.eventually("event "+reason, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := cluster.Client.List(ctx, &events, client.InNamespace(e.namespace)); err != nil {
			return err
		}
		var seen []string
		for i := range events.Items {
			event := &events.Items[i]
			if event.Regarding.Name == name && event.Reason == reason && strings.Contains(event.Note, text) {
				return nil
			}
			seen = append(seen, event.Reason+": "+event.Note)
		}
		return fmt.Errorf("seen are %q", seen)
	})
}

// manifest is what users write; LABELS stands for metadata.labels.
const manifest = `apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: demo
  labels: {LABELS}
spec:
  replicas: 3
  selector: {matchLabels: {app: h2o}}
  template:
    metadata: {labels: {app: h2o}}
    spec:
      containers:
      - name: h2o
        image: h2o:3.46.0.12
        env:
        - {name: MINE, value: "1"}
`

const managedLabel = `h2o.ai/cluster: "true"`

var (
	managed   = strings.Replace(manifest, "LABELS", managedLabel, 1)
	unmanaged = strings.Replace(manifest, "LABELS", "team: a", 1)
)
