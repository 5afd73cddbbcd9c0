// Package h2otest runs real H2O clusters on a real Kubernetes, through the
// product as it ships, for end-to-end tests and benchmarks. It starts a cluster
// of e2e/cluster with the images of e2e/images, or takes the one that KUBECONFIG
// names; it asks H2O from inside, as its users do, and knows nothing of what the
// answers should be.
package h2otest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// Options say where H2O is tried and with what.
type Options struct {
	// Kubeconfig names a cluster of somebody else's; empty for one of our own,
	// as Nodes says.
	Kubeconfig string
	harness.Nodes
	// Install the webhook; else it is there already. Args are arguments of the
	// webhook beside those that config/default gives to it.
	Install bool
	Args    []string
	// H2O, Webhook and Client are names of images.
	H2O, Webhook, Client string
}

// The names of the images that e2e/images builds.
const (
	imageH2O     = "h2o:3.46.0.12"
	imageWebhook = "h2o-webhook:dev"
	imageClient  = "h2o-client:dev"
)

// FromEnvironment reads KUBECONFIG, INSTALL, H2O_IMAGE, WEBHOOK_IMAGE and
// CLIENT_IMAGE, and without the first CLUSTER, NODES and KEEP.
func FromEnvironment() (Options, error) {
	o := Options{
		Kubeconfig: os.Getenv("KUBECONFIG"), Install: os.Getenv("INSTALL") != "0",
		H2O: variable("H2O_IMAGE", imageH2O), Webhook: variable("WEBHOOK_IMAGE", imageWebhook), Client: variable("CLIENT_IMAGE", imageClient),
		Nodes: harness.Nodes{Name: os.Getenv("CLUSTER"), Keep: os.Getenv("KEEP") == "1"},
	}
	var err error
	if o.Number, err = strconv.Atoi(variable("NODES", "1")); err != nil {
		return o, fmt.Errorf("cannot read NODES: %w", err)
	}
	return o, nil
}

func variable(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

// Cluster is a Kubernetes with the webhook, and a pod to ask from.
type Cluster struct {
	*harness.Cluster
	options Options
	out     io.Writer
	client  *Space // where the client pod is
	undo    []func(context.Context) error
	// newImages: others than before were loaded.
	newImages bool
}

// Start gives a cluster on which H2O can be run; out gets the progress. It ends
// with Stop.
func Start(ctx context.Context, out io.Writer, options Options) (*Cluster, error) {
	log.SetLogger(logr.Discard()) // of the client library, which else complains of having none
	c := &Cluster{options: options, out: out}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	var err error
	if c.options.Kubeconfig != "" {
		c.Cluster, err = harness.Open(c.options.Kubeconfig)
	} else {
		c.Cluster, err = harness.StartNodes(ctx, c.out, c.options.Nodes)
	}
	if err != nil {
		return err
	}
	if c.options.Kubeconfig == "" {
		if err := c.loadImages(ctx); err != nil {
			return err
		}
	}
	if c.options.Install {
		if err := c.install(ctx); err != nil {
			return err
		}
	}
	return c.startClient(ctx)
}

// Stop takes away what was made here: the client, the webhook unless it was
// there before, and a cluster of our own unless it was there or is to be kept.
func (c *Cluster) Stop(ctx context.Context) error {
	var err error
	for i := range c.undo {
		err = errors.Join(err, c.undo[len(c.undo)-1-i](ctx))
	}
	if c.Cluster != nil {
		err = errors.Join(err, c.Cluster.Stop())
	}
	return err
}

// ClusterDomain is the suffix of the cluster's names.
func (c *Cluster) ClusterDomain(ctx context.Context) (string, error) {
	if c.Domain != "" {
		return c.Domain, nil
	}
	text, _, err := c.Exec(ctx, "", "cat", "/etc/resolv.conf")
	if err != nil {
		return "", err
	}
	for word := range strings.FieldsSeq(text) {
		if domain, found := strings.CutPrefix(word, "svc."); found {
			c.Domain = domain
			return domain, nil
		}
	}
	return "", fmt.Errorf("cannot find the cluster domain in %q", text)
}

// config is the folder of what is installed.
func config() (string, error) {
	root, err := harness.Repository()
	return filepath.Join(root, "config", "default"), err
}
