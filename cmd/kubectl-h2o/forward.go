package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/forward"
	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/observe"
	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

type forwarding struct {
	*connection
	streams genericiooptions.IOStreams
	address string
	port    uint16
}

func newForward(streams genericiooptions.IOStreams) *cobra.Command {
	f := &forwarding{streams: streams}
	cmd := &cobra.Command{
		Use:   "forward NAME",
		Short: "Lead a port of this machine to a cluster's leader",
		Long: `Lead a port of this machine to a cluster's leader.

The port stays when the cluster restarts: connections wait up to a minute for the
new leader, which the status names, and go there. What the cluster had in its memory
is gone then. Ctrl-C ends it.

Exit codes: 0 after Ctrl-C, 1 it is no H2O cluster or the port is taken, 2 the
API server does not answer or refuses, there is no StatefulSet of that name, or
the command line is wrong.`,
		Example: `  # http://127.0.0.1:54321
  kubectl h2o forward my-cluster

  # Any free port, which is printed
  kubectl h2o forward my-cluster --port 0`,
		RunE: func(cmd *cobra.Command, args []string) error { return unreachable(f.run(cmd, args)) },
	}
	f.connection = newConnection(cmd)
	cmd.Flags().StringVar(&f.address, "address", "127.0.0.1", "IP address of this machine to listen on")
	cmd.Flags().Uint16Var(&f.port, "port", uint16(policy.PortREST), "TCP port to listen on; 0 for any that is free")
	return cmd
}

func (f *forwarding) run(cmd *cobra.Command, args []string) error {
	ip := net.ParseIP(f.address)
	switch {
	case len(args) != 1:
		return usagef("forward takes the name of one cluster: kubectl h2o status lists them")
	case ip == nil:
		return usagef("--address %q is no IP address", f.address)
	}
	reader, config, namespace, err := f.open()
	if err != nil {
		return err
	}
	reader.Notice = f.say
	ctx, stop := interruptible(cmd)
	defer stop()
	dial, err := forward.Tunnels(config, namespace, policy.PortREST)
	if err != nil {
		return err
	}
	if _, err := reader.Set(ctx, namespace, args[0]); err != nil {
		return err
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", net.JoinHostPort(f.address, strconv.Itoa(int(f.port))))
	if err != nil {
		return &exitError{exitBad, fmt.Errorf("cannot listen, choose another port with --port, 0 for any: %w", err)}
	}
	defer listener.Close()
	f.introduce(args[0], ip, listener.Addr())
	return f.serve(ctx, reader, forward.New(dial, f.say), listener, namespace, args[0])
}

func (f *forwarding) say(line string) { fmt.Fprintln(f.streams.ErrOut, line) }

// introduce prints how the port is used.
func (f *forwarding) introduce(name string, ip net.IP, address net.Addr) {
	host := ip.String()
	if ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if !ip.IsLoopback() {
		f.say("whoever reaches this machine at " + address.String() + " can use the cluster while this runs")
	}
	_, port, _ := net.SplitHostPort(address.String()) // a listener's address is well formed
	url := "http://" + net.JoinHostPort(host, port)
	fmt.Fprintf(f.streams.Out, `Cluster %s is at %s until Ctrl-C.
  Python:   import h2o; h2o.connect(url="%s")
  R:        library(h2o); h2o.init(ip = "%s", port = %s, startH2O = FALSE)
  Browser:  %s
`, name, url, url, host, port, url)
}

// serve follows the leader and leads to it, until Ctrl-C or until the API server
// refuses to go on.
func (f *forwarding) serve(ctx context.Context, reader *observe.Reader, forwarder *forward.Forwarder, listener net.Listener, namespace, name string) error {
	ctx, fail := context.WithCancelCause(ctx)
	served := make(chan error, 1)
	go func() {
		err := forwarder.Serve(ctx, listener)
		fail(err)
		served <- err
	}()
	said := ""
	err := reader.FollowOne(ctx, namespace, name, func(changed []report.ClusterStatus) (bool, error) {
		for i := range changed {
			c := &changed[i]
			if c.NotManaged != nil {
				return true, &exitError{exitBad, fmt.Errorf("%s is no H2O cluster: %s", name, c.NotManaged.Message)}
			}
			forwarder.Lead(forward.Leader{Pod: c.Leader, UID: c.LeaderUID})
			if what := c.Leader + string(c.LeaderUID) + string(c.Phase); what != said {
				said = what
				f.say(leads(c))
			}
		}
		return false, nil
	})
	fail(err)
	return errors.Join(err, <-served)
}

// leads says where connections go now.
func leads(c *report.ClusterStatus) string {
	if c.Leader != "" {
		return "connections go to pod " + c.Leader
	}
	return "there is no leader, connections wait for one: " + report.Step(c)
}
