// Command formation times how long a cloud of three takes to form, from `kubectl
// apply` on: ours, H2O's documented example, the official Helm chart, and the
// floor, which is three bare JVMs that are told of each other. They alternate on
// the same cluster, so that the ratios mean something where the times do not.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each way is timed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *rounds)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int) (err error) {
	options, err := h2otest.FromEnvironment()
	if err != nil {
		return err
	}
	cluster, err := h2otest.Start(ctx, os.Stderr, options)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, cluster.Stop(ctx))
	}()
	ways, err := allWays(cluster)
	if err != nil {
		return err
	}
	times := map[string][]time.Duration{}
	for round := range rounds {
		for _, w := range ways {
			took, err := w.time(ctx, fmt.Sprintf("%s-%d", w.name, round+1))
			if err != nil {
				return fmt.Errorf("cannot time %s: %w", w.name, err)
			}
			times[w.name] = append(times[w.name], took)
			fmt.Fprintf(os.Stderr, "round %d of %d: %-10s %5.1f s\n", round+1, rounds, w.name, took.Seconds())
		}
	}
	report(ways, times)
	return nil
}

// report prints the medians and, last, the ratios of ours to the others.
func report(ways []way, times map[string][]time.Duration) {
	for _, w := range ways {
		slices.Sort(times[w.name])
		all := times[w.name]
		fmt.Printf("%-10s median %5.1f s of %d (%.1f to %.1f): %s\n", w.name, median(all).Seconds(), len(all), all[0].Seconds(), all[len(all)-1].Seconds(), w.what)
	}
	for _, w := range ways[1:] {
		fmt.Printf("ratio %s %.2f\n", w.name, median(times[ways[0].name]).Seconds()/median(times[w.name]).Seconds())
	}
}

// median of sorted times.
func median(sorted []time.Duration) time.Duration {
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
