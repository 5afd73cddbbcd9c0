package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

const dnsImage = "localhost/coredns:1"

// addons are the objects that every cluster with nodes has.
//
//go:embed addons.yaml
var addons string

// ownImages makes the images of the programs that the cluster itself runs in pods.
func (c *cluster) ownImages() ([]string, error) {
	var paths []string
	for _, i := range []struct{ program, image string }{{"pause", pauseImage}, {"coredns", dnsImage}} {
		path := filepath.Join(c.dir, "images", i.program+".tar")
		if err := (image{i.image, c.program(i.program)}).write(path, i.program); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// ctr runs containerd's client against a node.
func ctr(ctx context.Context, program, socket string, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, program, append([]string{"--address", socket, "--namespace", "k8s.io"}, args...)...)
	var problems strings.Builder
	cmd.Stdout, cmd.Stderr = out, &problems
	if err := cmd.Run(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, tail(problems.String(), 5)))
	}
	return nil
}

func importImage(ctx context.Context, program, socket, path string) error {
	if err := ctr(ctx, program, socket, io.Discard, "images", "import", path); err != nil {
		return fmt.Errorf("cannot import %s: %w", path, err)
	}
	return nil
}

// kubectl runs it as the administrator.
func (c *cluster) kubectl(ctx context.Context, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.binaries["kubectl"], args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.file("kubeconfig"))
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = errors.Join(ctx.Err(), fmt.Errorf("kubectl %s: %w: %s", args[0], err, tail(string(output), 5)))
	}
	return string(output), err
}

// addonsOf fills in what differs between clusters: a name server for each node.
func addonsOf(domain string, nodes int) string {
	return strings.NewReplacer("$DOMAIN", domain, "$ADDRESS", dnsService, "$IMAGE", dnsImage, "$REPLICAS", strconv.Itoa(nodes), "$KUBELET_CLIENT", kubeletClient).Replace(addons)
}

func (c *cluster) installDNS(ctx context.Context) error {
	if _, err := c.writeKubeconfig(""); err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, addonsOf(c.domain, len(c.nodeList)), "apply", "--server-side", "-f", "-"); err != nil {
		return fmt.Errorf("cannot install the name server: %w", err)
	}
	return nil
}

// waitForNodes waits until pods can run and names be found.
func (c *cluster) waitForNodes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- c.watch(ctx)
		cancel() // what it waits for will not come
	}()
	err := c.untilReady(ctx)
	if err == nil {
		return nil
	}
	cancel()
	if died := <-ended; died != nil {
		return died
	}
	pods, _ := c.kubectl(context.WithoutCancel(ctx), "", "get", "nodes,pods,events", "-A", "--request-timeout=5s")
	return fmt.Errorf("the nodes are not ready: %w\n%s\nthe kubelet's log:\n%s", err, pods, c.logTail("kubelet"))
}

func (c *cluster) untilReady(ctx context.Context) error {
	for _, n := range c.nodeList {
		// The node's object comes from its kubelet, so it is waited for too.
		if _, err := c.kubectl(ctx, "", "wait", "--for=create", "node/"+n.Name, "--timeout=-1s"); err != nil {
			return err
		}
		if _, err := c.kubectl(ctx, "", "wait", "--for=condition=Ready", "node/"+n.Name, "--timeout=-1s"); err != nil {
			return err
		}
	}
	_, err := c.kubectl(ctx, "", "rollout", "status", "deployment/coredns", "--namespace=kube-system")
	return err
}

// logTail gives the end of what a program of the first node wrote.
func (c *cluster) logTail(name string) string {
	text, err := os.ReadFile(c.nodeList[0].file(name + ".log"))
	if err != nil {
		return err.Error()
	}
	return tail(string(text), 20)
}
