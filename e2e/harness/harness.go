// Package harness runs the product on a real control plane, for the tests and
// for the demonstration: etcd, API server and controller manager from
// e2e/cluster, and the webhook's own binary with the rights of its own service
// account. Clusters with nodes are started here too; what runs on them is the
// business of package h2otest.
package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Cluster is a running control plane, with nodes or without.
type Cluster struct {
	// Kubeconfig is a file with an administrator's rights.
	Kubeconfig string `json:"kubeconfig"`
	// Kubectl is the path of a kubectl of the same version.
	Kubectl string `json:"kubectl"`
	// Domain is the suffix of the cluster's names, Folder all that it has on disk
	// and Shared a folder for hostPath volumes, the same on all nodes; only of
	// clusters with nodes that were started here.
	Domain string `json:"clusterDomain"`
	Folder string `json:"folder"`
	Shared string `json:"shared"`
	// Config and Client are an administrator's.
	Config *rest.Config  `json:"-"`
	Client client.Client `json:"-"`

	root    string
	dir     string
	env     []string // of the cluster command, beside this process's own
	stdin   io.Closer
	process *exec.Cmd
}

// Start builds what is missing of a control plane and starts it; out gets the
// progress. It ends with Stop, and also with the process that called Start.
func Start(ctx context.Context, out io.Writer) (*Cluster, error) {
	c, err := prepare(ctx, out)
	if err != nil {
		return nil, err
	}
	if err := c.up(ctx, out, dieWithParent(), "up", "-hold-stdin"); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// prepare builds the cluster command.
func prepare(ctx context.Context, out io.Writer) (*Cluster, error) {
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "h2o-webhook-run-")
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder: %w", err)
	}
	c := &Cluster{root: root, dir: dir}
	if err := goBuild(ctx, out, filepath.Join(c.root, "e2e", "cluster"), c.program(), "."); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// program is the path of the cluster command.
func (c *Cluster) program() string { return filepath.Join(c.dir, "cluster") }

// command is a call of the cluster command.
func (c *Cluster) command(ctx context.Context, out io.Writer, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program(), args...)
	cmd.Dir = filepath.Join(c.root, "e2e", "cluster")
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stderr = out
	return cmd
}

// up starts a cluster that goes with this process.
func (c *Cluster) up(ctx context.Context, out io.Writer, attributes *syscall.SysProcAttr, args ...string) error {
	c.process = c.command(context.WithoutCancel(ctx), out, args...) // it is stopped through its standard input
	c.process.SysProcAttr = attributes
	stdin, err := c.process.StdinPipe()
	if err != nil {
		return fmt.Errorf("cannot start the cluster: %w", err)
	}
	stdout, err := c.process.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot start the cluster: %w", err)
	}
	if err := startChild(c.process); err != nil {
		c.process = nil
		return fmt.Errorf("cannot start the cluster: %w", err)
	}
	c.stdin = stdin
	stop := context.AfterFunc(ctx, func() { _ = stdin.Close() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	stop()
	if err != nil {
		return fmt.Errorf("the cluster did not start: %w", errors.Join(ctx.Err(), c.process.Wait()))
	}
	return c.read(line)
}

// read takes what the cluster command says of a cluster.
func (c *Cluster) read(line []byte) error {
	if err := json.Unmarshal(line, c); err != nil {
		return fmt.Errorf("cannot read what the cluster said: %w", err)
	}
	return c.connect()
}

func (c *Cluster) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig)
	if err != nil {
		return fmt.Errorf("cannot read the cluster's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.WarningHandlerWithContext = rest.NoWarnings{} // kubectl shows them where they matter
	c.Config = config
	c.Client, err = client.New(config, client.Options{})
	if err != nil {
		return fmt.Errorf("cannot make a client: %w", err)
	}
	return nil
}

// BuildPlugin builds the kubectl plugin and gives its path.
func (c *Cluster) BuildPlugin(ctx context.Context, out io.Writer) (string, error) {
	program := filepath.Join(c.dir, "kubectl-h2o")
	return program, goBuild(ctx, out, c.root, program, "./cmd/kubectl-h2o")
}

// Stop ends the control plane and removes what was made for it.
func (c *Cluster) Stop() error {
	var err error
	if c.process != nil {
		_ = c.stdin.Close()
		err = c.process.Wait()
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// RunKubectl runs kubectl as the administrator and returns what it printed on
// standard output and, apart, on standard error.
func (c *Cluster) RunKubectl(ctx context.Context, stdin string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, c.Kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problems.String()))
	}
	return out.String(), problems.String(), err
}

// Poll tries a condition until it holds; the last reason why it did not is in
// the error.
func Poll(ctx context.Context, limit time.Duration, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := condition(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not after %s: %w", limit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// goBuild compiles a program, and says so when that takes a while.
func goBuild(ctx context.Context, out io.Writer, dir, program, pkg string) error {
	start := time.Now()
	done := make(chan struct{})
	defer close(done)
	go func() {
		for wait := 2 * time.Second; ; wait = 15 * time.Second {
			select {
			case <-done:
				return
			case <-time.After(wait):
				fmt.Fprintf(out, "building %s: %s so far\n", filepath.Base(program), time.Since(start).Round(time.Second))
			}
		}
	}()
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", filepath.Base(program), err, output)
	}
	return nil
}

// startChild starts a process from a thread that lives as long as this process,
// since the kernel ends a child with the thread that started it.
func startChild(cmd *exec.Cmd) error {
	failed := make(chan error)
	childThread <- func() { failed <- cmd.Start() }
	return <-failed
}

var childThread = func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
}()

// Repository finds the top folder of this checkout.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "e2e", "cluster", "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("cannot find the repository: run this inside a checkout")
		}
		dir = parent
	}
}
