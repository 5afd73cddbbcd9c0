package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// events counts the Events about a set by reason.
func (e *test) events(name, reason string) int {
	e.Helper()
	var events eventsv1.EventList
	if err := cluster.Client.List(e.Context(), &events, client.InNamespace(e.namespace)); err != nil {
		e.Fatal(err)
	}
	count := 0
	for i := range events.Items {
		if events.Items[i].Regarding.Name == name && events.Items[i].Reason == reason {
			count++
		}
	}
	return count
}

// stir has the reconciler look at an injected set again, with a new resource
// version each time. A leader Service that comes back, and the Event that says
// so, show that it did.
func (e *test) stir(name string, times int) {
	e.Helper()
	leader := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name + "-leader"}}
	e.eventually("the leader service", func(ctx context.Context) error {
		return cluster.Client.Get(ctx, client.ObjectKeyFromObject(leader), leader)
	})
	for i := range times {
		e.kubectl("", "annotate", "--overwrite", "statefulset", name, fmt.Sprintf("example.org/touched=%d", i))
		before := leader.UID
		if err := cluster.Client.Delete(e.Context(), leader); err != nil {
			e.Fatal(err)
		}
		e.eventually("the leader service again", func(ctx context.Context) error {
			if err := cluster.Client.Get(ctx, client.ObjectKeyFromObject(leader), leader); err != nil {
				return err
			}
			if leader.UID == before {
				return fmt.Errorf("it is the former one")
			}
			return nil
		})
	}
	e.eventually("its events", func(context.Context) error {
		if got := e.events(name, "ServiceCreated"); got <= times {
			return fmt.Errorf("%d ServiceCreated", got)
		}
		return nil
	})
}

// TestWarnedOnce proves that what stands in the way is not said again at every
// look: the status of a set that starts is written once for each of its pods.
func TestWarnedOnce(t *testing.T) {
	const foreign = `{apiVersion: v1, kind: Service, metadata: {name: demo}, spec: {selector: {app: other}, ports: [{port: 80}]}}`
	const invalid = "1demo"
	t.Run("a foreign service", func(t *testing.T) {
		e := newTest(t)
		e.kubectl(foreign, "apply", "-f", "-")
		e.kubectl(managed, "apply", "-f", "-")
		e.hasEvent("demo", "ForeignService", "is not headless")
		e.stir("demo", 5)
		if got := e.events("demo", "ForeignService"); got != 1 {
			t.Errorf("want it said once, got %d events", got)
		}
		// What was solved and is there again is news.
		e.kubectl("", "delete", "service", "demo")
		e.kubectl("", "annotate", "statefulset", "demo", "example.org/looked=again")
		e.hasServices(e.set("demo"))
		e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
		e.hasNoService("demo")
		e.kubectl(foreign, "apply", "-f", "-")
		e.kubectl("", "label", "statefulset", "demo", managedLabelArgument)
		e.eventually("a second event", func(context.Context) error {
			if got := e.events("demo", "ForeignService"); got != 2 {
				return fmt.Errorf("%d events", got)
			}
			return nil
		})
	})
	t.Run("a service name that is none", func(t *testing.T) {
		e := newTest(t)
		e.kubectl(strings.Replace(managed, "replicas: 3", "replicas: 3\n  serviceName: "+invalid, 1), "apply", "-f", "-")
		e.hasEvent("demo", "InvalidServiceName", "no valid name of a Service")
		e.stir("demo", 5)
		if got := e.events("demo", "InvalidServiceName"); got != 1 {
			t.Errorf("want it said once, got %d events", got)
		}
		e.hasNoService(invalid)
	})
}

// TestReleasedWhileAway proves that all of ours goes also when the label went
// while nobody was there to see it.
func TestReleasedWhileAway(t *testing.T) {
	e := newTest(t)
	for _, name := range []string{"demo", "other"} {
		e.kubectl(strings.ReplaceAll(managed, "name: demo", "name: "+name), "apply", "-f", "-")
		e.hasServices(e.set(name))
	}
	url := e.uninstall()
	defer e.install(url)
	e.eventually("the label goes", func(context.Context) error {
		_, _, err := e.tryKubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
		return err
	})
	e.kubectl("", "label", "--overwrite", "statefulset", "other", "h2o.ai/cluster=false")
	for _, name := range []string{"demo", "demo-leader", "other", "other-leader"} {
		e.get(&corev1.Service{}, name)
	}
	e.install(url)
	for _, name := range []string{"demo", "demo-leader", "other", "other-leader"} {
		e.hasNoService(name)
	}
	e.hasEvent("demo", "ServiceRemoved", "")
	e.hasEvent("demo", "Uninjected", "changes taken back")
	for _, name := range []string{"demo", "other"} {
		set := e.set(name)
		if inject.Injected(set) {
			t.Errorf("set %s is still injected", name)
		}
		e.wantEnv(set, map[string]string{"MINE": "1"})
	}
}

func TestOtherLabelValue(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	e.kubectl("", "label", "--overwrite", "statefulset", "demo", "h2o.ai/cluster=false")
	e.hasNoService("demo")
	e.hasNoService("demo-leader")
	if inject.Injected(e.set("demo")) {
		t.Error("it is still injected")
	}
}

// TestMadeAnew proves that a set gets Services of its own where those of a
// former set of the same name are not collected yet.
func TestMadeAnew(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	former := e.set("demo")
	e.hasServices(former)
	e.kubectl("", "delete", "statefulset", "demo", "--cascade=background")
	e.eventually("made anew", func(context.Context) error {
		_, _, err := e.tryKubectl(managed, "create", "-f", "-")
		return err
	})
	set := e.set("demo")
	if set.UID == former.UID {
		t.Fatal("it is the former set")
	}
	e.hasServices(set)
}

// TestControlledByTheSet proves that a Service which somebody else made for the
// set, as its controller even, is left as it is.
func TestControlledByTheSet(t *testing.T) {
	e := newTest(t)
	e.kubectl(unmanaged, "apply", "-f", "-")
	set := e.set("demo")
	before := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "demo-leader"},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
	if err := controllerutil.SetControllerReference(set, before, cluster.Client.Scheme()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Client.Create(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	e.kubectl("", "label", "statefulset", "demo", managedLabelArgument)
	e.hasEvent("demo", "ForeignService", "demo-leader")
	after := &corev1.Service{}
	e.get(after, "demo-leader")
	if diff := cmp.Diff(before.ObjectMeta, after.ObjectMeta); diff != "" {
		t.Errorf("the service of somebody else was touched:\n%s", diff)
	}
}

// TestRenderedIsAdopted proves that Services from `kubectl h2o inject`, which
// have no owner, are taken over and repaired, headless or not.
func TestRenderedIsAdopted(t *testing.T) {
	e := newTest(t)
	rendered := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "demo"}}
	discovery := inject.DiscoveryService(rendered)
	discovery.Spec.ClusterIP = "" // an old form, say
	leader := inject.LeaderService(rendered)
	leader.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: e.configMap("x")}}
	for _, service := range []*corev1.Service{discovery, leader} {
		service.Spec.Selector = map[string]string{"old": "form"}
		if err := cluster.Client.Create(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	after := &corev1.Service{}
	e.get(after, "demo-leader")
	if after.UID != leader.UID || len(after.OwnerReferences) != 2 {
		t.Errorf("want the rendered service with its own owner beside the set, got %v", after.OwnerReferences)
	}
}

func (e *test) configMap(name string) types.UID {
	e.Helper()
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: e.namespace}}
	if err := cluster.Client.Create(e.Context(), object); err != nil {
		e.Fatal(err)
	}
	return object.UID
}

// TestOwnership proves that a Service of ours gets its owner back, once.
func TestOwnership(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	set := e.set("demo")
	e.hasServices(set)
	for name, change := range map[string]func(*corev1.Service){
		"taken off": func(s *corev1.Service) { s.OwnerReferences = nil },
		"no longer the controller": func(s *corev1.Service) {
			no := false
			s.OwnerReferences[0].Controller = &no
		},
	} {
		t.Run(name, func(t *testing.T) {
			e.edit("demo", change)
			e.hasServices(set)
			service := &corev1.Service{}
			e.get(service, "demo")
			if len(service.OwnerReferences) != 1 {
				t.Errorf("want one owner, got %v", service.OwnerReferences)
			}
		})
	}
}

// TestHeldService proves that a Service which somebody else's finalizer holds
// is deleted once, and made again when it is gone.
func TestHeldService(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.hasServices(e.set("demo"))
	hold := func(s *corev1.Service) { s.Finalizers = append(s.Finalizers, "example.org/hold") }
	let := func(s *corev1.Service) { s.Finalizers = nil }
	t.Run("one that is wanted", func(*testing.T) {
		e.edit("demo", hold)
		e.kubectl("", "delete", "service", "demo", "--wait=false")
		e.stir("demo", 2)
		e.edit("demo", let)
		e.hasServices(e.set("demo"))
	})
	t.Run("one that has to go", func(t *testing.T) {
		e.edit("demo", hold)
		e.kubectl("", "label", "statefulset", "demo", "h2o.ai/cluster-")
		e.hasNoService("demo-leader")
		e.eventually("it is going", func(ctx context.Context) error {
			service := &corev1.Service{}
			if err := cluster.Client.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: "demo"}, service); err != nil {
				return err
			}
			if service.DeletionTimestamp == nil {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		for i := range 5 {
			e.edit("demo", func(s *corev1.Service) { metav1.SetMetaDataAnnotation(&s.ObjectMeta, "a", fmt.Sprint(i)) })
		}
		e.edit("demo", let)
		e.hasNoService("demo")
		if got := e.events("demo", "ServiceRemoved"); got != 2 {
			t.Errorf("want one event for each of the two services, got %d", got)
		}
	})
	if err := cluster.Client.Get(t.Context(), client.ObjectKey{Namespace: e.namespace, Name: "demo"}, &corev1.Service{}); !apierrors.IsNotFound(err) {
		t.Errorf("want no service, got %v", err)
	}
}
