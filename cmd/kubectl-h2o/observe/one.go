package observe

import (
	"context"
	"fmt"
	"sync"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// Names that the install manifests give.
const (
	webhookName      = "statefulsets.h2o.ai"
	defaultNamespace = "h2o-webhook-system"
	secretName       = "h2o-webhook-tls" //nolint:gosec // the name of a Secret, not what is in it
)

// maxEvents bounds how many warnings of a namespace are looked through.
const maxEvents = 1000

// One reports everything about one StatefulSet, managed or not. A
// *NotFoundError says that there is none.
func (r *Reader) One(ctx context.Context, namespace, name string) (report.ClusterStatus, error) {
	set, err := r.Set(ctx, namespace, name)
	if err != nil {
		return report.ClusterStatus{}, err
	}
	g := &gatherer{Reader: r, facts: report.Facts{
		Now: time.Now(), Set: set,
		More: &report.More{Services: map[string]*corev1.Service{}, Slices: map[string][]discoveryv1.EndpointSlice{}, Unknown: map[string]string{}},
	}}
	g.gather(ctx)
	return report.Build(g.facts), nil
}

// gatherer gathers the facts about one set.
type gatherer struct {
	*Reader
	lock  sync.Mutex
	facts report.Facts
}

// gather asks for everything at once. What cannot be had is noted as unknown.
func (g *gatherer) gather(ctx context.Context) {
	set := g.facts.Set
	var asked sync.WaitGroup
	for what, ask := range map[string]func(context.Context) error{
		report.UnknownNamespace: g.namespace,
		report.UnknownPods:      g.podsAndProbes,
		report.UnknownEvents:    g.events,
		report.UnknownWebhook:   g.webhook,
	} {
		asked.Go(func() { g.note(what, ask(ctx)) })
	}
	for _, service := range []string{inject.DiscoveryServiceName(set), inject.LeaderServiceName(set)} {
		asked.Go(func() { g.note(report.UnknownServices, g.service(ctx, service)) })
		asked.Go(func() { g.note(report.UnknownSlices, g.slices(ctx, service)) })
	}
	asked.Wait()
}

func (g *gatherer) note(what string, err error) {
	if err == nil {
		return
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	g.facts.More.Unknown[what] = err.Error()
	if refused(err) {
		g.facts.More.Unknown[what] = report.NotAllowed
	}
}

func (g *gatherer) namespace(ctx context.Context) error {
	namespace, err := g.kube.CoreV1().Namespaces().Get(ctx, g.facts.Set.Namespace, metav1.GetOptions{})
	if err == nil {
		g.facts.More.Namespace = namespace
	}
	return err
}

func (g *gatherer) podsAndProbes(ctx context.Context) error {
	pods, err := g.podsOf(ctx, g.facts.Set)
	if err != nil {
		return err
	}
	_, port := inject.Node(g.facts.Set)
	g.facts.More.Probes = g.probe(ctx, pods, port)
	g.facts.Pods, g.facts.PodsKnown = pods, true
	return nil
}

func (r *Reader) podsOf(ctx context.Context, set *appsv1.StatefulSet) ([]corev1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(set.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("cannot read the selector: %w", err)
	}
	pods, err := r.pods(ctx, set.Namespace, selector.String())
	return report.Controlled(pods, set), err
}

func (g *gatherer) events(ctx context.Context) error {
	options := metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning, Limit: maxEvents}
	events, err := g.kube.EventsV1().Events(g.facts.Set.Namespace).List(ctx, options)
	if err == nil {
		g.facts.More.Events = events.Items
	}
	return err
}

func (g *gatherer) service(ctx context.Context, name string) error {
	service, err := g.kube.CoreV1().Services(g.facts.Set.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	g.facts.More.Services[name] = service
	return nil
}

func (g *gatherer) slices(ctx context.Context, service string) error {
	options := metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + service}
	slices, err := g.kube.DiscoveryV1().EndpointSlices(g.facts.Set.Namespace).List(ctx, options)
	if err != nil {
		return err
	}
	g.lock.Lock()
	defer g.lock.Unlock()
	g.facts.More.Slices[service] = slices.Items
	return nil
}

// webhook finds the product's registration by what it is called in it, since
// installations may give the object another name, and then its Secret.
func (g *gatherer) webhook(ctx context.Context) error {
	all, err := g.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{})
	if err != nil {
		g.note(report.UnknownSecret, g.secret(ctx, defaultNamespace))
		return err
	}
	for i := range all.Items {
		for j := range all.Items[i].Webhooks {
			if w := &all.Items[i].Webhooks[j]; w.Name == webhookName {
				g.facts.More.Webhook = &all.Items[i]
				g.note(report.UnknownSecret, g.secret(ctx, namespaceOf(w)))
				return nil
			}
		}
	}
	return nil
}

func namespaceOf(w *admissionregistrationv1.MutatingWebhook) string {
	if w.ClientConfig.Service == nil {
		return defaultNamespace
	}
	return w.ClientConfig.Service.Namespace
}

func (g *gatherer) secret(ctx context.Context, namespace string) error {
	secret, err := g.kube.CoreV1().Secrets(namespace).Get(ctx, secretName, metav1.GetOptions{})
	if err == nil {
		g.facts.More.Secret = secret
	}
	return err
}
