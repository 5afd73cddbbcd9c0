package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
)

// upOptions are what the user wants of up.
type upOptions struct {
	nodes      int
	domain     string
	kubeconfig string
	hold       bool
	detach     bool // start the cluster and leave it
	detached   bool // be the cluster that was started so
}

func parseUp(args []string) (upOptions, error) {
	var o upOptions
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "")
	flags.BoolVar(&o.hold, "hold-stdin", false, "")
	flags.IntVar(&o.nodes, "nodes", 0, "")
	flags.StringVar(&o.domain, "cluster-domain", defaultDomain, "")
	flags.BoolVar(&o.detach, "detach", false, "")
	flags.BoolVar(&o.detached, "detached", false, "")
	if err := flags.Parse(args); err != nil {
		return o, usageError{err}
	}
	switch {
	case flags.NArg() > 0:
		return o, usageError{fmt.Errorf("unknown argument %q", flags.Arg(0))}
	case o.nodes < 0 || o.nodes > 2:
		return o, usageError{fmt.Errorf("cannot have %d nodes: want 0, 1 or 2", o.nodes)}
	case !domainName.MatchString(o.domain):
		return o, usageError{fmt.Errorf("%q is no domain name", o.domain)}
	case o.nodes == 0 && (o.detach || o.domain != defaultDomain):
		return o, usageError{errors.New("-detach and -cluster-domain are for clusters with nodes")}
	case o.detach && o.hold:
		return o, usageError{errors.New("-detach and -hold-stdin exclude each other")}
	}
	o.detach = o.detach && !o.detached // or it would start itself for ever
	return o, nil
}

var domainName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

func runUp(ctx context.Context, args []string) error {
	wanted, err := parseUp(args)
	if err != nil {
		return err
	}
	if wanted.hold {
		ctx = untilClosed(ctx, os.Stdin)
	}
	names := controlPlaneParts
	if wanted.nodes > 0 {
		if err := checkMachine(); err != nil {
			return err
		}
		names = slices.Concat(controlPlaneParts, nodeParts)
	}
	b, err := newBuilder(os.Stderr)
	if err != nil {
		return err
	}
	binaries, err := b.build(ctx, names)
	if err != nil {
		return err
	}
	say := func(s started) error { return json.NewEncoder(os.Stdout).Encode(s) }
	switch {
	case wanted.nodes == 0:
		return upControlPlane(ctx, binaries, wanted.kubeconfig, say)
	case wanted.detach:
		return upDetached(ctx, args)
	default:
		return upNodes(ctx, binaries, wanted, say)
	}
}

// untilClosed ends the context when the reader does.
func untilClosed(ctx context.Context, r io.Reader) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, r) // an error is an end too
	}()
	return ctx
}
