// Command cluster runs a real Kubernetes for tests and demonstrations. Every
// part of it is compiled from its Go module, at the versions that the modules
// below parts/ pin; nothing is downloaded as a binary.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `A real Kubernetes control plane, compiled from Go modules.

  cluster build [PART ...]   build what is missing into the cache folder
  cluster up [flags]         start a control plane and keep it until Ctrl-C
  cluster versions           print what is built

Flags of up:
  -kubeconfig FILE   also write the kubeconfig there; removed at the end
  -hold-stdin        end as well when standard input is closed, so that the
                     cluster goes with the process that started it

up prints one line of JSON when everything answers: kubeconfig, kubectl, server.
Where KUBEBUILDER_ASSETS names a folder, a program that is there is used and not built.
Parts: `

// usageError is a wrong call of the program.
type usageError struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := run(ctx, os.Args[1:])
	var wrong usageError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
	case errors.As(err, &wrong):
		fmt.Fprintf(os.Stderr, "error: %v\n\n%s%s\n", err, usage, strings.Join(partNames(), ", "))
		stop()
		os.Exit(2) //nolint:gocritic // stop has been called
	default:
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
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
	case "versions":
		return printVersions(os.Stdout)
	case "help", "-h", "-help", "--help":
		fmt.Print(usage, strings.Join(partNames(), ", "), "\n")
		return nil
	default:
		return usageError{fmt.Errorf("unknown command %q", command)}
	}
}

func runBuild(ctx context.Context, names []string) error {
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

// started is the line that up prints.
type started struct {
	Kubeconfig string `json:"kubeconfig"`
	Kubectl    string `json:"kubectl"`
	Server     string `json:"server"`
}

func runUp(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	kubeconfig := flags.String("kubeconfig", "", "")
	hold := flags.Bool("hold-stdin", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unknown argument %q", flags.Arg(0))}
	}
	if *hold {
		ctx = untilClosed(ctx, os.Stdin)
	}
	b, err := newBuilder(os.Stderr)
	if err != nil {
		return err
	}
	binaries, err := b.build(ctx, controlPlaneParts)
	if err != nil {
		return err
	}
	return upControlPlane(ctx, binaries, *kubeconfig, func(s started) error {
		return json.NewEncoder(os.Stdout).Encode(s)
	})
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
