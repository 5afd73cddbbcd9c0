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

// Exit codes of all commands.
const (
	exitOK    = 0
	exitBad   = 1 // the input is broken or refused, or something failed
	exitUsage = 2 // the command line is wrong
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
	fmt.Fprintf(streams.ErrOut, "error: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitBad
}

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
in the cluster by the webhook, in files by these commands, in the same way.`,
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
	root.AddCommand(newInject(streams), newUninject(streams))
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
