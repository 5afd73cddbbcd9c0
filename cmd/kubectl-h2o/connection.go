package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/observe"
)

// connection is what the commands that ask a server have in common: kubectl's
// own flags, which say which server and as whom.
type connection struct {
	flags *genericclioptions.ConfigFlags
}

func newConnection(cmd *cobra.Command) *connection {
	c := &connection{flags: genericclioptions.NewConfigFlags(true)}
	c.flags.AddFlags(cmd.Flags())
	cmd.ValidArgsFunction = c.complete
	return c
}

// open gives a reader, the settings that it was made from, and the namespace
// that kubectl would use.
func (c *connection) open() (reader *observe.Reader, config *rest.Config, namespace string, err error) {
	klog.SetLogger(logr.Discard()) // what a library logs is said as a notice, where it matters
	if namespace, _, err = c.flags.ToRawKubeConfigLoader().Namespace(); err != nil {
		return nil, nil, "", err
	}
	if config, err = c.flags.ToRESTConfig(); err != nil {
		return nil, nil, "", err
	}
	reader, err = observe.New(config)
	return reader, config, namespace, err
}

// complete offers the clusters of the namespace.
func (c *connection) complete(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	reader, _, namespace, err := c.open()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := reader.Names(cmd.Context(), namespace)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var fitting []string
	for _, name := range names {
		if strings.HasPrefix(name, begun) {
			fitting = append(fitting, name)
		}
	}
	return fitting, cobra.ShellCompDirectiveNoFileComp
}

// interruptible gives a context that Ctrl-C ends; a second one ends the program.
func interruptible(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// unreachable gives errors of the server's their exit code.
func unreachable(err error) error {
	_, usage := errors.AsType[*usageError](err)
	_, coded := errors.AsType[*exitError](err)
	if err == nil || usage || coded {
		return err
	}
	return &exitError{exitUnreachable, err}
}
