// Command cluster runs a real Kubernetes for tests and demonstrations. Every
// part of it is compiled from its Go module, at the versions that the modules
// below parts/ pin; nothing is downloaded as a binary.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
)

const usage = `A real Kubernetes, compiled from Go modules.

  cluster build [-nodes] [PART ...]   build what is missing into the cache folder
  cluster up [flags]                  start a control plane and keep it until Ctrl-C
  cluster image NAME PROGRAM FILE     write an image of one static program, for load
  cluster versions                    print what is built

Flags of up:
  -kubeconfig FILE   also write the kubeconfig there; removed at the end
  -hold-stdin        end as well when standard input is closed, so that the
                     cluster goes with the process that started it
  -nodes N           with 1 or 2 nodes that run pods, in networks of their own
                     that nothing leaves; needs Linux and root
  -cluster-domain D  with nodes: the domain of the cluster's names (cluster.local)
  -detach            with nodes: end when everything answers, and leave it running

up prints one line of JSON when everything answers: kubeconfig, kubectl, server,
and with nodes what else there is to know.

For the cluster with nodes that runs:
  cluster status [-json]                say what runs; -json: in the line that up prints
  cluster load IMAGE.tar ...            import images into every node
  cluster link NODE up|down             take a node off the network, or back
  cluster exec [-node N] -- COMMAND ... run a command in a node's network
  cluster down                          stop it, and clear up after a killed one

CLUSTER=NAME in the environment of all of these, and of up, is for a cluster
with nodes beside the one without a name.

Where KUBEBUILDER_ASSETS names a folder, a program that is there is used and not built.
Parts: `

// errSaid is a failure that the user has read of already.
var errSaid = errors.New("said already")

// init keeps this goroutine on the first thread, which can never end: the ones
// that enter namespaces must be others.
func init() { runtime.LockOSThread() }

// usageError is a wrong call of the program.
type usageError struct{ error }

func main() { os.Exit(exitCode(os.Args[1:])) }

func exitCode(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, args)
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "error: %v\n\n%s%s\n", err, usage, strings.Join(partNames(), ", "))
		return 2
	case !errors.Is(err, errSaid):
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
	}
	return 1
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usageError{errors.New("no command given")}
	}
	switch command, rest := args[0], args[1:]; command {
	case "build":
		return runBuild(ctx, rest)
	case "up":
		return runUp(ctx, rest)
	case "down", "exec", "link", "load", "status":
		return runNodesCommand(ctx, command, rest)
	case "image":
		return runImage(rest)
	case "versions":
		return printVersions(os.Stdout)
	case "help", "-h", "-help", "--help":
		fmt.Print(usage, strings.Join(partNames(), ", "), "\n")
		return nil
	default:
		return usageError{fmt.Errorf("unknown command %q", command)}
	}
}

func runBuild(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	nodes := flags.Bool("nodes", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	names := flags.Args()
	if *nodes {
		names = slices.Concat(names, controlPlaneParts, nodeParts)
	}
	if len(names) == 0 {
		names = controlPlaneParts
	}
	b, err := newBuilder(os.Stderr)
	if err != nil {
		return err
	}
	_, err = b.build(ctx, names)
	return err
}

func printVersions(out io.Writer) error {
	b, err := newBuilder(os.Stderr)
	if err != nil {
		return err
	}
	for _, p := range parts {
		version, err := b.version(p)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %s\n", p.name, version)
	}
	return nil
}
