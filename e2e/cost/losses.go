package main

import (
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// loss is what followed the loss of a member. All times count from just before
// the API server was told of it.
type loss struct {
	fence  time.Duration // until the discovery Service selects nobody
	delete time.Duration // until all other pods are being deleted; a JVM that just started goes later
	formed time.Duration // until a new cluster is formed
}

// lose takes a member from each cluster, some at a time: by turns a pod is
// deleted, and H2O is restarted in place.
func (c *clusters) lose(ctx context.Context, names []string, atOnce int) ([]loss, error) {
	losses := make([]loss, len(names))
	err := each(ctx, len(names), atOnce, func(ctx context.Context, i int) error {
		l, err := c.loseOne(ctx, names[i], i)
		losses[i] = l
		return err
	})
	return losses, err
}

func (c *clusters) loseOne(ctx context.Context, name string, turn int) (loss, error) {
	pods := c.witness.podsOf(name)
	lost := fmt.Sprintf("%s-%d", name, turn/2%len(pods))
	start := time.Now()
	if err := c.takeAway(ctx, lost, pods[lost], turn%2 == 0); err != nil {
		return loss{}, err
	}
	formed, err := c.waitFormed(ctx, name, start)
	if err != nil {
		return loss{}, err
	}
	delete(pods, lost)
	fenced, deleted, err := c.witness.reaction(name, start, pods)
	if err != nil {
		return loss{}, err
	}
	return loss{fence: fenced.Sub(start), delete: deleted.Sub(start), formed: formed.Sub(start)}, nil
}

func (c *clusters) takeAway(ctx context.Context, name string, uid types.UID, deleted bool) error {
	if !deleted {
		return c.kubelet.restart(ctx, uid)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := c.client.Delete(ctx, pod, client.Preconditions{UID: &uid}); err != nil {
		return fmt.Errorf("cannot delete pod %s: %w", name, err)
	}
	return nil
}

// podsOf gives the pods of a cluster by name.
func (w *witness) podsOf(name string) map[string]types.UID {
	w.lock.Lock()
	defer w.lock.Unlock()
	return maps.Clone(w.of(name).pods)
}

// reaction says when a cluster's fence went up after a loss, and when the last of
// its other pods was being deleted.
func (w *witness) reaction(name string, after time.Time, pods map[string]types.UID) (fenced, deleted time.Time, err error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	c := w.of(name)
	if !c.fenced.After(after) {
		return fenced, deleted, fmt.Errorf("cluster %s formed again without a fence", name)
	}
	for pod, uid := range pods {
		at, going := c.going[uid]
		if !going {
			return fenced, deleted, fmt.Errorf("pod %s of the old cluster was never deleted", pod)
		}
		if at.After(deleted) {
			deleted = at
		}
	}
	return c.fenced, deleted, nil
}
