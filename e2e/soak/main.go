// Command soak restarts many clusters of stand-ins at once, by random causes, and
// checks all the time what must never happen. The webhook is installed as it
// ships; what the stand-ins do is in e2e/standin. Progress goes to standard error.
// The last line says what was counted:
//
//	soak: N restarts, M mixed, P partial, H hung, X needless
//
// mixed: a node whose lookup saw an address that is not of its own generation.
// partial: a cluster that was called Formed and was not one cloud of all nodes.
// hung: a cluster that was not formed long after the last event. needless: a
// restart that no event of ours explains. It exits with 1 unless all but N are 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

// plan is what a run does.
type plan struct {
	restarts, clusters int
	seed               uint64
	bound              time.Duration // from an event to a formed cluster
	limit              time.Duration // of the whole run
	quiet              bool          // no faults of the webhook and of DNS
}

// cleanLimit bounds the clean-up.
const cleanLimit = time.Minute

func main() {
	p := plan{}
	flag.IntVar(&p.restarts, "restarts", 300, "end after so many restarts of whole clusters")
	flag.IntVar(&p.clusters, "clusters", 20, "clusters at once")
	flag.Uint64Var(&p.seed, "seed", 0, "of the random causes; 0 for a new one")
	flag.DurationVar(&p.bound, "bound", 5*time.Minute, "a cluster that is not formed so long after the last event hangs")
	flag.DurationVar(&p.limit, "limit", 40*time.Minute, "end then, however far it is")
	flag.BoolVar(&p.quiet, "quiet", false, "leave the webhook and the name server alone")
	flag.Parse()
	if p.seed == 0 {
		p.seed = rand.Uint64N(1_000_000) + 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	score, err := run(ctx, p)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
	}
	if score == nil {
		os.Exit(1)
	}
	fmt.Println(score)
	if err != nil || score.failed() {
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan) (counted *score, err error) {
	options, err := h2otest.FromEnvironment()
	if err != nil {
		return nil, err
	}
	// Storms are wanted here, and this cluster's DNS answers hold for 5 s.
	options.Args = []string{"--dns-ttl=5s", "--restart-backoff=100ms"}
	cluster, err := h2otest.Start(ctx, os.Stderr, options)
	if err != nil {
		return nil, err
	}
	clean := func(work func(context.Context) error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
		defer cancel()
		err = errors.Join(err, work(ctx))
	}
	defer clean(cluster.Stop)
	if err := cluster.LoadStandin(ctx); err != nil {
		return nil, err
	}
	space, err := cluster.NewSpace(ctx, "soak-")
	if err != nil {
		return nil, err
	}
	defer clean(space.Delete)
	fmt.Fprintf(os.Stderr, "soak: %d restarts of %d clusters in namespace %s; to repeat the causes: -seed %d\n", p.restarts, p.clusters, space.Namespace, p.seed)
	return soak(ctx, space, p)
}

// soak runs all clusters until there were enough restarts.
func soak(ctx context.Context, space *h2otest.Space, p plan) (*score, error) {
	ctx, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	s := &score{wanted: p.restarts, start: time.Now(), enough: make(chan struct{})}
	w, err := watch(ctx, space, s)
	if err != nil {
		return nil, err
	}
	var all sync.WaitGroup
	problems := make(chan error, p.clusters)
	for i := range p.clusters {
		t := &target{space: space, ask: w.client, seen: w.cluster(fmt.Sprintf("h2o-%02d", i)), score: s, plan: p, random: rand.New(rand.NewPCG(p.seed, uint64(i)))}
		all.Go(func() { problems <- t.run(ctx) })
	}
	background, stop := context.WithCancel(ctx)
	defer stop()
	if !p.quiet {
		go faults(background, space, rand.New(rand.NewPCG(p.seed, 1<<32)))
	}
	go w.check(background)
	go s.show(background, w)
	all.Wait()
	close(problems)
	err = nil
	for problem := range problems {
		err = errors.Join(err, problem)
	}
	if s.restarts() < p.restarts {
		err = errors.Join(err, fmt.Errorf("only %d of %d restarts in %s", s.restarts(), p.restarts, time.Since(s.start).Round(time.Second)))
	}
	return s, err
}
