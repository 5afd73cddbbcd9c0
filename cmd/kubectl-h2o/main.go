// Command kubectl-h2o is what a user of H2O on Kubernetes runs as `kubectl h2o`.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Exit codes. A command line that is wrong is 2 everywhere.
const (
	exitOK          = 0
	exitBad         = 1 // the input is broken or refused, or something failed
	exitNotFormed   = 1 // of status: not all clusters are formed
	exitUsage       = 2 // the command line is wrong
	exitUnreachable = 2 // of status and forward: the API server does not answer or refuses
)

func main() {
	os.Exit(run(os.Args[1:], genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}))
}

// run runs a command line and gives its exit code. What goes wrong is one line.
func run(args []string, streams genericiooptions.IOStreams) int {
	root := newRoot(streams)
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if !cmd.HasParent() && len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			return unknownCommand(cmd, args) // whose flags cannot be known
		}
		return &usageError{err}
	})
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	code := exitBad
	if e, ok := errors.AsType[*exitError](err); ok {
		if code = e.code; e.err == nil {
			return code
		}
	}
	fmt.Fprintf(streams.ErrOut, "error: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return code
}

// exitError ends the program with a code of its own; without an error nothing
// is said, since the output said it.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command line is wrong.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-h2o",
		Short: "Make H2O clusters out of StatefulSets",
		Long: `Make H2O clusters out of StatefulSets.

Label a StatefulSet h2o.ai/cluster=true and it becomes a correct H2O cluster:
in the cluster by the webhook, in files by inject, in the same way. status says
how clusters are and what to do, forward leads to one from this machine.`,
		Example: `  # All clusters of the namespace, and everything about one
  kubectl h2o status
  kubectl h2o status my-cluster

  # Use a cluster from here: http://127.0.0.1:54321
  kubectl h2o forward my-cluster

  # What a manifest becomes
  kubectl h2o inject -f cluster.yaml -o diff`,
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl h2o"},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args:              unknownCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.AddCommand(newInject(streams), newUninject(streams), newStatus(streams), newForward(streams))
	return root
}

// unknownCommand refuses words that are no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown command %q for %q, see %s --help", args[0], cmd.DisplayName(), cmd.DisplayName())
	}
	return nil
}

// noArgs refuses words that are no flags: a forgotten -f, mostly.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q: name files with -f", cmd.CommandPath(), args[0])
	}
	return nil
}
