// Command standin is a stand-in for H2O where many clusters are needed at once:
// it looks its peers up, forms clouds and answers probes as H2O does, and does
// nothing else. It is for tests alone, and is itself compared with real H2O
// (TestStandin in e2e/h2o). What it leaves out: jobs and data, so its clouds are never
// locked; clients; the check for another jar.
//
// It is configured as H2O is, by H2O_KUBERNETES_SERVICE_DNS, H2O_NODE_EXPECTED_COUNT,
// H2O_NODE_LOOKUP_TIMEOUT, H2O_KUBERNETES_API_PORT and -Dai.h2o.name in
// JAVA_TOOL_OPTIONS. STANDIN_REVISION is only reported.
//
// Called as `standin slow SECONDS SUFFIX` it waits if the host's name ends so: a
// preStop hook that makes one pod of a set slow to end.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What a JVM needs, measured with H2O 3.46.0.12 on 2 cores.
const (
	// untilProbe is from the start to the probe server: 2.7 s there, sooner on a
	// faster machine.
	untilProbe       = 2200 * time.Millisecond
	untilProbeSpread = 800 * time.Millisecond
	// untilSignals is from the start until it takes signals. As the first process
	// of its container it never sees an earlier one.
	untilSignals = time.Second
	// untilOpen is from the end of the lookup until port 54321 is open.
	untilOpen = 500 * time.Millisecond
	// untilStarting is from there until it calls itself the leader no more, and
	// untilCloud from there to its cloud of one.
	untilStarting    = 100 * time.Millisecond
	untilCloud       = 300 * time.Millisecond
	untilCloudSpread = 1200 * time.Millisecond
)

// What a JVM exits with that was asked to end, and one that was killed.
const (
	exitTerminated = 143
	exitKilled     = 137
)

func main() {
	if len(os.Args) > 1 {
		if err := slow(os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "error: %v\n", err)
			os.Exit(1)
		}
		return
	}
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	started := time.Now()
	takeSignals()
	s, err := readSettings(os.Getenv)
	if err != nil {
		return err
	}
	// It stands for the work of a JVM, which gives no sign of its end.
	time.Sleep(untilProbe + rand.N(untilProbeSpread))
	n, err := newNode(ctx, s, started)
	if err != nil {
		return err
	}
	if err := n.serveProbe(ctx); err != nil {
		return err
	}
	n.lookUp(ctx)
	time.Sleep(untilOpen)
	return n.join(ctx)
}

// takeSignals ends the process on SIGTERM as a JVM does, and not before it would.
func takeSignals() {
	signal.Ignore(syscall.SIGTERM)
	time.AfterFunc(untilSignals, func() {
		terms := make(chan os.Signal, 1)
		signal.Notify(terms, syscall.SIGTERM)
		<-terms
		os.Exit(exitTerminated)
	})
}

func slow(args []string) error {
	if len(args) != 3 || args[0] != "slow" {
		return errors.New("want: standin slow SECONDS SUFFIX")
	}
	seconds, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("cannot read the time: %w", err)
	}
	host, err := os.Hostname()
	if err == nil && strings.HasSuffix(host, args[2]) {
		time.Sleep(time.Duration(seconds) * time.Second) // to be slow is the purpose
	}
	return err
}
