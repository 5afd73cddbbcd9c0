package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/observe"
	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/report"
)

const statusHelp = `Show how H2O clusters are, and what to do about one.

Without a name: a row for every StatefulSet with label h2o.ai/cluster. NODES are
those that are still in the cluster that formed last, of those wanted. OUTDATED
counts the fields that the next rollout would inject otherwise; nothing restarts
for them. With a name: everything about one, also why it is not managed.

With -w it is followed: rows are printed again when they change; of one cluster,
each step of its formation, until it is formed.

Output:
  wide       rows with more columns
  json|yaml  {"apiVersion":"h2o.ai/v1alpha1","kind":"ClusterStatusList","items":[...]};
             with a name, one ClusterStatus. docs/kubectl-h2o.md lists the fields.

Exit codes:
  0  all clusters, or the one named, are formed (and when there are none)
  1  not all are; one that is stopped, or not managed and named, is not formed
  2  the API server does not answer or refuses, there is no StatefulSet of that
     name, or the command line is wrong`

// Formats of status.
const (
	outputTable = ""
	outputWide  = "wide"
	outputJSON  = "json"
	outputYAML  = "yaml"
)

type status struct {
	*connection
	streams genericiooptions.IOStreams
	all     bool
	watch   bool
	output  string
}

func newStatus(streams genericiooptions.IOStreams) *cobra.Command {
	s := &status{streams: streams}
	cmd := &cobra.Command{
		Use:   "status [NAME]",
		Short: "Show how H2O clusters are, and what to do about one",
		Long:  statusHelp,
		Example: `  # All clusters of the namespace; of all namespaces
  kubectl h2o status
  kubectl h2o status -A -o wide

  # Everything about one
  kubectl h2o status my-cluster

  # Wait in a script until it is formed
  timeout 5m kubectl h2o status my-cluster -w

  # The leaders of all clusters
  kubectl h2o status -A -o json | jq -r '.items[] | .name + " " + .leader'`,
		RunE: func(cmd *cobra.Command, args []string) error { return unreachable(s.run(cmd, args)) },
	}
	s.connection = newConnection(cmd)
	cmd.Flags().BoolVarP(&s.all, "all-namespaces", "A", false, "show the clusters of all namespaces")
	cmd.Flags().BoolVarP(&s.watch, "watch", "w", false, "follow changes; of one cluster, until it is formed")
	cmd.Flags().StringVarP(&s.output, "output", "o", outputTable, "what to print: wide, json or yaml")
	return cmd
}

func (s *status) run(cmd *cobra.Command, args []string) error {
	if err := s.check(args); err != nil {
		return err
	}
	reader, _, namespace, err := s.open()
	if err != nil {
		return err
	}
	reader.Notice = func(line string) { fmt.Fprintln(s.streams.ErrOut, line) }
	if s.all {
		namespace = ""
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	p := newPrinter(s.streams.Out, s.output, s.all)
	switch {
	case len(args) == 1 && s.watch:
		return s.followOne(ctx, reader, p, namespace, args[0])
	case len(args) == 1:
		return s.showOne(ctx, reader, p, namespace, args[0])
	case s.watch:
		return s.followAll(ctx, reader, p, namespace)
	default:
		return s.showAll(ctx, reader, p, namespace)
	}
}

func (s *status) check(args []string) error {
	switch {
	case len(args) > 1:
		return usagef("status takes one name at most, got %s", strings.Join(args, " "))
	case len(args) == 1 && s.all:
		return usagef("status takes a name or -A, not both: names are known in one namespace")
	}
	switch s.output {
	case outputTable, outputWide, outputJSON, outputYAML:
		return nil
	}
	return usagef("-o %s is unknown: want wide, json or yaml", s.output)
}

// formed ends with the exit code that says whether clusters are.
func formed(clusters ...report.ClusterStatus) error {
	for i := range clusters {
		c := &clusters[i]
		other := c.NotManaged != nil && c.NotManaged.Reason == report.ReasonOtherValue
		if !c.Formed && (c.Details != nil || !other) { // a list shows what is no cluster, but does not count it
			return &exitError{code: exitNotFormed}
		}
	}
	return nil
}

func (s *status) showAll(ctx context.Context, reader *observe.Reader, p *printer, namespace string) error {
	clusters, err := reader.List(ctx, namespace)
	if err != nil {
		return err
	}
	if len(clusters) == 0 {
		s.sayNone(namespace)
		if s.output == outputTable || s.output == outputWide {
			return nil
		}
	}
	if err := p.all(clusters); err != nil {
		return err
	}
	return formed(clusters...)
}

func (s *status) sayNone(namespace string) {
	if namespace == "" {
		fmt.Fprintln(s.streams.ErrOut, "No H2O clusters")
		return
	}
	fmt.Fprintf(s.streams.ErrOut, "No H2O clusters in namespace %s\n", namespace)
}

func (s *status) showOne(ctx context.Context, reader *observe.Reader, p *printer, namespace, name string) error {
	cluster, err := reader.One(ctx, namespace, name)
	if err != nil {
		return err
	}
	if err := p.one(&cluster, time.Now()); err != nil {
		return err
	}
	return formed(cluster)
}
