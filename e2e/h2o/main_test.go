//go:build h2o

package h2o

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/e2e/h2otest"
)

var cluster *h2otest.Cluster

// testArgs are the webhook's arguments here: a restart soon after a formation
// waits for DNS caches, and those of our own cluster keep answers for 5 s.
var testArgs = []string{"--dns-ttl=5s"}

func TestMain(m *testing.M) {
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func runAll(m *testing.M) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	options, err := h2otest.FromEnvironment()
	if err != nil {
		return 1, err
	}
	options.Args = append(options.Args, testArgs...)
	if cluster, err = h2otest.Start(ctx, os.Stderr, options); err != nil {
		return 1, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, cluster.Stop(ctx))
	}()
	stop() // from here on Ctrl-C ends this process, and the cluster with it
	return m.Run(), nil
}
