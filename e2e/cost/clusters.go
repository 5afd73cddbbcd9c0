package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

const (
	sample        = "config/samples/plain.yaml"
	namespace     = "default"
	machine       = "stand-in"
	containerName = "h2o"
	// formLimit is how long a cluster may take to form among many that do.
	formLimit = 3 * time.Minute
)

// clusters makes clusters and waits for them.
type clusters struct {
	client  client.Client
	witness *witness
	kubelet *kubelet
	sample  appsv1.StatefulSet
}

func (c *clusters) readSample() error {
	text, err := os.ReadFile(sample)
	if err != nil {
		return fmt.Errorf("cannot read the sample: %w", err)
	}
	if err := yaml.UnmarshalStrict(text, &c.sample); err != nil {
		return fmt.Errorf("cannot read the sample: %w", err)
	}
	return nil
}

// create makes one cluster as kubectl apply does.
func (c *clusters) create(ctx context.Context, name string) error {
	set := c.sample.DeepCopy()
	set.Name, set.Namespace = name, namespace
	set.Spec.Selector.MatchLabels = map[string]string{"app": name}
	set.Spec.Template.Labels = map[string]string{"app": name}
	set.Spec.Template.Spec.NodeName = machine // there is no scheduler
	text, err := json.Marshal(set)
	if err != nil {
		return fmt.Errorf("cannot render a cluster: %w", err)
	}
	metav1.SetMetaDataAnnotation(&set.ObjectMeta, corev1.LastAppliedConfigAnnotation, string(text))
	if err := c.client.Create(ctx, set); err != nil {
		return fmt.Errorf("cannot create cluster %s: %w", name, err)
	}
	return nil
}

// form makes clusters, a number of them at a time, and gives how long each took
// from its creation to the formed phase.
func (c *clusters) form(ctx context.Context, names []string, atOnce int) ([]time.Duration, error) {
	took := make([]time.Duration, len(names))
	err := each(ctx, len(names), atOnce, func(ctx context.Context, i int) error {
		start := time.Now()
		if err := c.create(ctx, names[i]); err != nil {
			return err
		}
		formed, err := c.waitFormed(ctx, names[i], start)
		took[i] = formed.Sub(start)
		return err
	})
	return took, err
}

// waitFormed waits until a cluster has turned formed after a time.
func (c *clusters) waitFormed(ctx context.Context, name string, after time.Time) (formed time.Time, err error) {
	err = harness.Poll(ctx, formLimit, func(context.Context) error {
		at, ok := c.witness.formedAfter(name, after)
		if !ok {
			return fmt.Errorf("cluster %s is not formed", name)
		}
		formed = at
		return nil
	})
	return formed, err
}

// each does something n times, some at a time; it stops at the first error.
func each(ctx context.Context, n, atOnce int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			defer func() { <-slots }()
			if err := do(ctx, i); err != nil {
				cancel(err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// startMachine makes the node object on which all pods are, and keeps it alive
// until the context ends: the node controller would take the pods away.
func startMachine(ctx context.Context, c client.Client) error {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: machine}}
	if err := c.Create(ctx, node); err != nil {
		return fmt.Errorf("cannot make the machine: %w", err)
	}
	node.Status.Conditions = []corev1.NodeCondition{{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "StandIn",
		LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}}
	if err := c.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("cannot make the machine ready: %w", err)
	}
	if err := beat(ctx, c); err != nil {
		return err
	}
	go func() {
		for sleep(ctx, 10*time.Second) {
			if err := beat(ctx, c); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "%v\n", err)
			}
		}
	}()
	return nil
}

// beat renews the machine's lease.
func beat(ctx context.Context, c client.Client) error {
	holder, seconds, now := machine, int32(40), metav1.NowMicro()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: machine}}
	err := c.Get(ctx, client.ObjectKeyFromObject(lease), lease)
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(ctx, lease)
	case err == nil:
		err = c.Update(ctx, lease)
	}
	if err != nil {
		return fmt.Errorf("cannot renew the machine's lease: %w", err)
	}
	return nil
}
