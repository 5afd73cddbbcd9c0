// Command cost measures what the reconcilers cost while they look after many
// clusters, on a real control plane, and how fast they act on a loss. H2O and
// the kubelets are stand-ins in this process; the API server, the controllers and
// the webhook, with the rights of its own service account, are real.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// options are how much is measured.
type options struct {
	clusters, atOnce, losses int
	steady                   time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.clusters, "clusters", 1000, "how many clusters there are")
	flag.IntVar(&o.atOnce, "at-once", 50, "how many of them form at a time")
	flag.DurationVar(&o.steady, "steady", 2*time.Minute, "how long the steady state is watched")
	flag.IntVar(&o.losses, "losses", 50, "how many clusters lose a member")
	flag.Parse()
	inside, err := inOwnNetwork()
	if err == nil && inside {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		err = run(ctx, o)
		stop()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	log.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	ctx, abort := context.WithCancelCause(ctx)
	defer abort(nil)
	control, err := harness.Start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	defer func() {
		abort(nil) // the stand-ins end before what they talk to
		err = errors.Join(err, control.Stop())
	}()
	b, err := prepare(ctx, control, abort)
	if err != nil {
		return err
	}
	defer b.webhook.Stop()
	if err := b.measure(ctx, o); err != nil {
		return fmt.Errorf("%w\nthe webhook's log:\n%s", errors.Join(err, context.Cause(ctx)), b.webhook.LogTail())
	}
	return nil
}

// prepare starts the stand-ins and the webhook.
func prepare(ctx context.Context, control *harness.Cluster, abort context.CancelCauseFunc) (*bench, error) {
	if err := startMachine(ctx, control.Client); err != nil {
		return nil, err
	}
	dns := &endpoints{slices: map[string]map[string][]string{}}
	k := newKubelet(control.Client, dns, abort)
	w := newWitness(k, dns)
	if err := w.watch(ctx, control.Config, cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}}); err != nil {
		return nil, err
	}
	b := &bench{clusters: clusters{client: control.Client, witness: w, kubelet: k}}
	if err := b.clusters.readSample(); err != nil {
		return nil, err
	}
	var err error
	if b.server, err = serverMetrics(control.Config); err != nil {
		return nil, err
	}
	if b.webhook, err = control.Install(ctx, os.Stderr); err != nil {
		return nil, err
	}
	return b, b.webhook.Start(ctx)
}
