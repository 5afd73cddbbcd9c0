package observe

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// pageSize is how many objects are asked for at once.
const pageSize = 500

// Reader reads clusters from an API server.
type Reader struct {
	// Notice gets a line when something goes wrong that is tried again.
	Notice func(string)

	kube kubernetes.Interface
	http *http.Client
}

// New makes a reader.
func New(config *rest.Config) (*Reader, error) {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = 50, 100
	config.WarningHandlerWithContext = rest.NoWarnings{}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	kube, err := kubernetes.NewForConfigAndClient(config, client)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a pod's word leads nowhere
	return &Reader{kube: kube, http: client, Notice: func(string) {}}, nil
}

// NotFoundError says that there is no StatefulSet of a name, and which
// clusters there are instead.
type NotFoundError struct {
	Namespace, Name string
	Others          []string
}

// Error names the clusters that are there.
func (e *NotFoundError) Error() string {
	text := fmt.Sprintf("there is no StatefulSet %s in namespace %s", e.Name, e.Namespace)
	if len(e.Others) == 0 {
		return text + ", and no H2O cluster either"
	}
	return text + "; its H2O clusters are " + strings.Join(e.Others, ", ")
}

// List reports on all StatefulSets of a namespace, or of all where it is empty,
// that have the label, whatever its value.
func (r *Reader) List(ctx context.Context, namespace string) ([]report.ClusterStatus, error) {
	sets, err := r.sets(ctx, namespace)
	if err != nil || len(sets) == 0 {
		return nil, err
	}
	pods, err := r.pods(ctx, namespace, inject.LabelClusterName)
	known := err == nil // who may not see pods is shown what the sets say
	if err != nil && !refused(err) {
		return nil, err
	}
	byNamespace := map[string][]corev1.Pod{}
	for i := range pods {
		byNamespace[pods[i].Namespace] = append(byNamespace[pods[i].Namespace], pods[i])
	}
	clusters := make([]report.ClusterStatus, 0, len(sets))
	for i := range sets {
		set := &sets[i]
		facts := report.Facts{Now: time.Now(), Set: set, Pods: report.Controlled(byNamespace[set.Namespace], set), PodsKnown: known}
		clusters = append(clusters, report.Build(facts))
	}
	report.Sort(clusters)
	return clusters, nil
}

// Names lists the managed StatefulSets of a namespace.
func (r *Reader) Names(ctx context.Context, namespace string) ([]string, error) {
	sets, err := r.sets(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range sets {
		if inject.Managed(&sets[i]) {
			names = append(names, sets[i].Name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Set reads one StatefulSet. A *NotFoundError says that there is none.
func (r *Reader) Set(ctx context.Context, namespace, name string) (*appsv1.StatefulSet, error) {
	set, err := r.kube.AppsV1().StatefulSets(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		others, _ := r.Names(ctx, namespace) // they only help
		return nil, &NotFoundError{namespace, name, others}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the StatefulSet: %w", err)
	}
	return set, nil
}

func (r *Reader) sets(ctx context.Context, namespace string) ([]appsv1.StatefulSet, error) {
	var all []appsv1.StatefulSet
	options := metav1.ListOptions{LabelSelector: inject.LabelCluster, Limit: pageSize}
	for {
		page, err := r.kube.AppsV1().StatefulSets(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("cannot list StatefulSets: %w", err)
		}
		all = append(all, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

func (r *Reader) pods(ctx context.Context, namespace, selector string) ([]corev1.Pod, error) {
	var all []corev1.Pod
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		page, err := r.kube.CoreV1().Pods(namespace).List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("cannot list pods: %w", err)
		}
		all = append(all, page.Items...)
		if options.Continue = page.Continue; options.Continue == "" {
			return all, nil
		}
	}
}

// refused says whether the API server does not allow something.
func refused(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }
