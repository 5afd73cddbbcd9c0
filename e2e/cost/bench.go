package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/client-go/rest"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// bench measures one webhook.
type bench struct {
	clusters clusters
	server   rest.Interface // the API server, for its metrics
	webhook  *harness.Webhook
	report   report
}

// measure does all of it and prints the figures.
func (b *bench) measure(ctx context.Context, o options) error {
	for _, step := range []struct {
		title string
		do    func(context.Context, options) error
	}{
		{"the webhook alone", b.measureIdle},
		{"clusters form", b.measureForming},
		{"all are formed, nothing happens", b.measureSteady},
		{"the webhook is restarted", b.measureRestart},
		{"clusters form first, beside all the others", b.measureFirst},
		{"clusters lose a member", b.measureLosses},
	} {
		fmt.Printf("\n── %s\n", step.title)
		if err := step.do(ctx, o); err != nil {
			return err
		}
	}
	b.report.print()
	return nil
}

func (b *bench) usage(ctx context.Context) (usage, error) {
	return readUsage(ctx, b.webhook.PID(), b.webhook.Metrics)
}

func (b *bench) measureIdle(ctx context.Context, _ options) error {
	u, err := b.usage(ctx)
	b.report.idle = u
	fmt.Println(u)
	return err
}

func (b *bench) measureForming(ctx context.Context, o options) error {
	start := time.Now()
	inner, stop := context.WithCancel(ctx)
	defer stop()
	go b.sayProgress(inner, start)
	if _, err := b.clusters.form(ctx, names("h2o", o.clusters), o.atOnce); err != nil {
		return err
	}
	u, err := b.usage(ctx)
	b.report.forming, b.report.formed = u, time.Since(start)
	fmt.Printf("%d clusters formed after %.0f s\n%s\n", o.clusters, time.Since(start).Seconds(), u)
	return err
}

func (b *bench) sayProgress(ctx context.Context, start time.Time) {
	for sleep(ctx, 10*time.Second) {
		if u, err := b.usage(ctx); err == nil {
			fmt.Printf("%4.0f s: %.0f clusters are formed; %s\n", time.Since(start).Seconds(), u.formed, u)
		}
	}
}

// measureSteady waits until nobody writes any more, then watches.
func (b *bench) measureSteady(ctx context.Context, o options) error {
	if err := b.waitQuiet(ctx); err != nil {
		return err
	}
	uids := b.clusters.witness.podUIDs()
	wrote, err := serverWrites(ctx, b.server)
	if err != nil {
		return err
	}
	counts, _, _ := b.clusters.kubelet.peers.answered(nil)
	before, err := b.usage(ctx)
	if err != nil {
		return err
	}
	if err := resetPeak(b.webhook.PID()); err != nil {
		return err
	}
	if !sleep(ctx, o.steady) {
		return ctx.Err()
	}
	after, err := b.usage(ctx)
	if err != nil {
		return err
	}
	_, all, most := b.clusters.kubelet.peers.answered(counts)
	writes, err := b.writesSince(ctx, wrote)
	b.report.steady = steady{before: before, after: after, writes: writes, nodes: len(counts), probes: all, most: most, same: slices.Equal(uids, b.clusters.witness.podUIDs())}
	fmt.Println(after)
	return err
}

// quietFor is how long nobody may have written for the state to be steady: the
// recorder of Events writes its last ones long after.
const quietFor = 20 * time.Second

func (b *bench) waitQuiet(ctx context.Context) error {
	before := map[string]float64{}
	since := time.Now()
	return harness.Poll(ctx, 10*time.Minute, func(ctx context.Context) error {
		now, err := serverWrites(ctx, b.server)
		if err != nil {
			return err
		}
		if !maps.Equal(before, now) {
			before, since = now, time.Now()
		}
		if time.Since(since) < quietFor {
			sleep(ctx, time.Second)
			return fmt.Errorf("somebody still writes: %v", now)
		}
		return nil
	})
}

func (b *bench) writesSince(ctx context.Context, before map[string]float64) (map[string]float64, error) {
	now, err := serverWrites(ctx, b.server)
	if err != nil {
		return nil, err
	}
	writes := map[string]float64{}
	for what, n := range now {
		if n > before[what] {
			writes[what] = n - before[what]
		}
	}
	return writes, nil
}

// measureRestart stops the webhook, starts it again, and waits until it has
// looked at all clusters.
func (b *bench) measureRestart(ctx context.Context, o options) error {
	uids := b.clusters.witness.podUIDs()
	wrote, err := serverWrites(ctx, b.server)
	if err != nil {
		return err
	}
	b.webhook.Stop()
	start := time.Now()
	if err := b.webhook.Start(ctx); err != nil {
		return err
	}
	b.report.restart.ready = time.Since(start)
	err = harness.Poll(ctx, formLimit, func(ctx context.Context) error {
		u, err := b.usage(ctx)
		if err == nil && u.formed < float64(o.clusters) {
			err = fmt.Errorf("it has seen %.0f formed clusters of %d", u.formed, o.clusters)
		}
		return err
	})
	if err != nil {
		return err
	}
	b.report.restart.looked = time.Since(start)
	if b.report.restart.usage, err = b.usage(ctx); err != nil {
		return err
	}
	fmt.Println(b.report.restart.usage)
	// A whole period of probes: whatever it may do wrong it does by then.
	if !sleep(ctx, time.Minute) {
		return ctx.Err()
	}
	writes, err := b.writesSince(ctx, wrote)
	delete(writes, "POST statefulsets") // the harness tries out whether it is called
	b.report.restart.writes = writes
	b.report.restart.same = slices.Equal(uids, b.clusters.witness.podUIDs())
	return err
}

// lossesAtOnce is how many clusters lose a member at the same time.
const lossesAtOnce = 5

func (b *bench) measureFirst(ctx context.Context, _ options) error {
	took, err := b.clusters.form(ctx, names("first", 2*lossesAtOnce), lossesAtOnce)
	b.report.first = took
	return err
}

func (b *bench) measureLosses(ctx context.Context, o options) error {
	losses, err := b.clusters.lose(ctx, names("h2o", min(o.losses, o.clusters)), lossesAtOnce)
	b.report.losses = losses
	return err
}

func names(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s-%d", prefix, i)
	}
	return all
}
