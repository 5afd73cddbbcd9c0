package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// TestWebhookAway proves what goes on while the webhook is down.
func TestWebhookAway(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: held"), "apply", "-f", "-")
	e.kubectl("", "patch", "statefulset", "held", "--type=merge", "-p", `{"metadata":{"finalizers":["example.org/hold"]}}`)
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner", Namespace: e.namespace}}
	if err := cluster.Client.Create(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	owned := strings.ReplaceAll(managed, "name: demo", "name: owned\n  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: owner, uid: "+string(owner.UID)+"}]")
	e.kubectl(owned, "apply", "-f", "-")
	server.Stop()
	defer e.back()

	t.Run("a managed set is refused, and the error says by whom", func(t *testing.T) {
		_, _, err := e.tryKubectl(strings.ReplaceAll(managed, "name: demo", "name: new"), "create", "-f", "-")
		if err == nil || !strings.Contains(err.Error(), `failed calling webhook "statefulsets.h2o.ai"`) {
			t.Errorf("want a refusal that names the webhook, got %v", err)
		}
	})
	t.Run("unmanaged sets go on", func(*testing.T) {
		other := strings.ReplaceAll(unmanaged, "name: demo", "name: other")
		e.kubectl(other, "apply", "-f", "-")
		e.kubectl("", "scale", "statefulset", "other", "--replicas=1")
		e.kubectl("", "set", "env", "statefulset/other", "A=B")
		e.kubectl("", "delete", "statefulset", "other")
	})
	t.Run("scaling a managed set goes on", func(t *testing.T) {
		start := time.Now()
		e.kubectl("", "scale", "statefulset", "demo", "--replicas=2")
		e.kubectl("", append([]string{"scale", "statefulset", "demo", "--replicas=4"}, asAutoscaler...)...)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	t.Run("the controller goes on writing its status", func(*testing.T) {
		e.settled("demo")
	})
	t.Run("a finalizer comes off a set that is being deleted", func(*testing.T) {
		e.kubectl("", "delete", "statefulset", "held", "--wait=false")
		e.kubectl("", "patch", "statefulset", "held", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
		e.gone("held")
	})
	t.Run("the garbage collector takes a managed set off its dead owner", func(*testing.T) {
		e.kubectl("", "delete", "configmap", "owner", "--cascade=orphan")
		e.eventually("the owner reference goes", func(ctx context.Context) error {
			set := &appsv1.StatefulSet{}
			if err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: "owned"}, set); err != nil {
				return err
			}
			if len(set.OwnerReferences) > 0 {
				return fmt.Errorf("it is %v", set.OwnerReferences)
			}
			return nil
		})
	})
	t.Run("deletion and garbage collection go on", func(*testing.T) {
		e.kubectl("", "delete", "statefulset", "demo", "--cascade=foreground")
		e.gone("demo")
		e.hasNoService("demo")
		e.hasNoService("demo-leader")
	})
}

// back starts the webhook again for the tests that follow.
func (e *test) back() {
	e.Helper()
	if err := server.Start(e.Context()); err != nil {
		e.Fatal(err)
	}
}

// uninstall stops the webhook and takes its configuration away, so that nobody
// asks for it. It returns the address for install.
func (e *test) uninstall() string {
	e.Helper()
	server.Stop()
	configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
	if err := cluster.Client.Get(e.Context(), client.ObjectKey{Name: harness.Configuration}, configuration); err != nil {
		e.Fatal(err)
	}
	if err := cluster.Unregister(e.Context()); err != nil {
		e.Fatal(err)
	}
	return strings.TrimSuffix(*configuration.Webhooks[0].ClientConfig.URL, "/mutate-statefulset")
}

// install is the opposite of uninstall. It does nothing where that is done.
func (e *test) install(url string, args ...string) {
	e.Helper()
	if server.Running() {
		return
	}
	if err := cluster.Register(e.Context(), url); err != nil {
		e.Fatal(err)
	}
	if err := server.Start(e.Context(), args...); err != nil {
		e.Fatal(err)
	}
}

// TestBackfill proves that sets written while the product was not installed are
// found, and that those injected before are not touched by a webhook with other
// defaults.
func TestBackfill(t *testing.T) {
	e := newTest(t)
	e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: before"), "apply", "-f", "-")
	before := e.settled("before")
	url := e.uninstall()
	e.eventually("a managed set is let through uninjected", func(context.Context) error {
		_, _, err := e.tryKubectl(managed, "apply", "-f", "-")
		return err
	})
	if inject.Injected(e.set("demo")) {
		t.Fatal("nobody was there, and yet it is injected")
	}
	bad := strings.Replace(strings.ReplaceAll(managed, "name: demo", "name: bad"), "labels:", "annotations: {h2o.ai/oops: x}\n  labels:", 1)
	e.kubectl(bad, "apply", "-f", "-")
	e.install(url, "--cluster-domain", "corp.example")
	e.eventually("the set is injected", func(context.Context) error {
		if !inject.Injected(e.set("demo")) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	set := e.set("demo")
	want := e.injectedEnv("3")
	want["H2O_KUBERNETES_SERVICE_DNS"] = "demo." + e.namespace + ".svc.corp.example"
	e.wantEnv(set, want)
	e.hasServices(set)
	e.hasEvent("demo", "Injected", "changes made this StatefulSet an H2O cluster")
	e.hasEvent("bad", "CannotInject", "annotation h2o.ai/oops is unknown")
	for i := range 5 {
		e.kubectl("", "patch", "statefulset", "bad", "--subresource=status", "--type=merge", "-p", fmt.Sprintf(`{"status":{"collisionCount":%d}}`, i))
	}
	e.kubectl("", "label", "statefulset", "before", "touched=true")
	e.unmoved(before)
	e.stir("demo", 1) // the reconciler has seen the status too
	if got := e.events("bad", "CannotInject"); got != 1 {
		t.Errorf("want the rejection said once, got %d events", got)
	}
	server.Stop()
	e.back()
	e.unmoved(before)
	e.settled("demo")
}
