package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

const (
	lookEvery = 200 * time.Millisecond
	// settledFor is how long a cluster must have been formed to be settled.
	settledFor = 3 * time.Second
	// maxPause is between a settled cluster and its next event, maxHurry between
	// two events that the cluster does not get over between.
	maxPause, maxHurry = 4 * time.Second, 8 * time.Second
)

// target is one cluster that things are done to.
type target struct {
	space    *h2otest.Space
	ask      kubernetes.Interface
	seen     *cluster
	score    *score
	plan     plan
	random   *rand.Rand
	revision int
}

// run makes the cluster and does things to it until there were enough restarts.
func (t *target) run(ctx context.Context) error {
	manifest := t.manifest()
	err := harness.Poll(ctx, actLimit, func(ctx context.Context) error {
		_, err := t.space.Apply(ctx, manifest)
		return err
	})
	if err != nil {
		return err
	}
	t.note("made")
	for {
		if !t.settle(ctx) {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), fmt.Errorf("%s: not done", t.seen.name))
		case <-t.score.enough:
			return nil
		case <-time.After(lookEvery + time.Duration(t.random.Int64N(int64(maxPause)))):
		}
		for more := true; more; more = t.random.IntN(3) == 0 {
			if err := t.act(ctx); err != nil {
				return err
			}
			if err := pause(ctx, time.Duration(t.random.Int64N(int64(maxHurry)))); err != nil {
				return err
			}
		}
	}
}

// note writes down that something is about to be done.
func (t *target) note(what string) {
	t.seen.lock.Lock()
	defer t.seen.lock.Unlock()
	t.seen.calm = false
	t.seen.events++
	t.seen.lastEvent = time.Now()
	t.seen.say("we: %s", what)
}

// settle waits until the cluster is formed after the last event, and says false
// when there is no use in going on.
func (t *target) settle(ctx context.Context) bool {
	deadline := time.Now().Add(t.plan.bound)
	var since time.Time
	for {
		switch {
		case !t.seen.settled():
			since = time.Time{}
		case since.IsZero():
			since = time.Now()
		case time.Since(since) >= settledFor:
			t.seen.close()
			return true
		}
		if time.Now().After(deadline) {
			t.seen.hung(t.plan.bound)
			return false
		}
		if pause(ctx, lookEvery) != nil {
			return false
		}
	}
}

// settled: formed, of just the pods that are there and that are wanted.
func (c *cluster) settled() bool {
	c.lock.Lock()
	defer c.lock.Unlock()
	if c.set == nil || c.set.Spec.Replicas == nil || c.set.Status.ObservedGeneration < c.set.Generation {
		return false
	}
	g, pods := c.status.Generation, c.present()
	if c.status.Phase != life.PhaseFormed || g == nil || c.status.Restart != nil || g.Revision != c.set.Status.UpdateRevision || time.Since(c.lastEvent) < settledFor {
		return false
	}
	for _, p := range pods {
		if m, member := g.Members[p.name]; !member || !p.alive() || m.UID != p.uid || m.Restarts != p.restarts || p.restarts < p.dies {
			return false
		}
	}
	return len(pods) == len(g.Members) && len(pods) == int(*c.set.Spec.Replicas)
}

// close ends the time after the last events: they must explain the restarts.
func (c *cluster) close() {
	c.lock.Lock()
	defer c.lock.Unlock()
	if began := c.status.Restarts - c.restarts; began > c.events {
		c.score.count(needless, c.name, "%d restarts after %d events\n%s", began, c.events, c.story())
	}
	c.restarts, c.events, c.calm = c.status.Restarts, 0, true
	c.say("settled")
}

func (c *cluster) hung(bound time.Duration) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.score.count(hung, c.name, "not formed %s after the last event\n%s", bound, c.story())
}

func pause(ctx context.Context, long time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(long):
		return nil
	}
}
