package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Nodes says which cluster with nodes is wanted.
type Nodes struct {
	// Name sets it apart from others on this machine; empty is one too.
	Name string
	// Number is of its nodes, 1 or 2.
	Number int
	// Domain is the suffix of its names; empty for cluster.local.
	Domain string
	// Keep leaves it running.
	Keep bool
}

// StartNodes starts a cluster whose nodes run pods, or takes the one of that
// name that runs already. One that was started here ends with Stop, and also
// with this process, however that ends; unless it is to be kept.
func StartNodes(ctx context.Context, out io.Writer, wanted Nodes) (*Cluster, error) {
	c, err := prepare(ctx, out)
	if err != nil {
		return nil, err
	}
	c.env = []string{"CLUSTER=" + wanted.Name}
	if err := c.startNodes(ctx, out, wanted); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) startNodes(ctx context.Context, out io.Writer, wanted Nodes) error {
	if line, err := c.command(ctx, io.Discard, "status", "-json").Output(); err == nil {
		fmt.Fprintf(out, "taking the cluster that runs already\n")
		return c.read(line)
	}
	args := []string{"up", "-nodes", strconv.Itoa(wanted.Number)}
	if wanted.Domain != "" {
		args = append(args, "-cluster-domain", wanted.Domain)
	}
	if !wanted.Keep {
		// The kernel must not kill it with us: it could not clean up.
		return c.up(ctx, out, &syscall.SysProcAttr{Setpgid: true}, append(args, "-hold-stdin")...)
	}
	line, err := c.command(ctx, out, append(args, "-detach")...).Output()
	if err != nil {
		return fmt.Errorf("the cluster did not start: %w", err)
	}
	return c.read(line)
}

// Command runs a command of e2e/cluster for this cluster, such as load or link,
// and returns what it printed on standard output. Progress goes to out.
func (c *Cluster) Command(ctx context.Context, out io.Writer, args ...string) (string, error) {
	var problems bytes.Buffer
	output, err := c.command(ctx, io.MultiWriter(out, &problems), args...).Output()
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w: %s", args[0], err, bytes.TrimSpace(problems.Bytes()))
	}
	return string(output), nil
}

// Open takes a cluster of somebody else's. kubectl is looked up in PATH unless
// KUBECTL names it.
func Open(kubeconfig string) (*Cluster, error) {
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	c := &Cluster{root: root, Kubeconfig: kubeconfig, Kubectl: os.Getenv("KUBECTL")}
	if c.Kubectl == "" {
		if c.Kubectl, err = exec.LookPath("kubectl"); err != nil {
			return nil, fmt.Errorf("cannot find kubectl (KUBECTL can name it): %w", err)
		}
	}
	return c, c.connect()
}
