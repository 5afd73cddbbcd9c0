package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

const (
	programsGroup = "programs"       // of control groups: what is no pod
	upAbout       = 10 * time.Second // from nothing to ready
)

// cluster is a control plane with nodes. The first node's network namespace
// holds the control plane too.
type cluster struct {
	controlPlane
	nodeList  []*node
	group     *cgroup
	forwarder net.Listener
}

// upNodes runs a cluster with nodes until the context ends or a part of it does,
// and leaves nothing behind.
func upNodes(ctx context.Context, binaries map[string]string, wanted upOptions, ready func(started) error) (err error) {
	name, err := nodesName()
	if err != nil {
		return err
	}
	dir, err := claimDir(nodesDir(name))
	if errors.Is(err, errInUse) {
		return errors.New("this cluster with nodes runs already (`cluster status`): use it, stop it with `cluster down`, or set CLUSTER to the name of another")
	}
	if err != nil {
		return err
	}
	if err := clearRemains(dir.path, name, os.Stderr); err != nil {
		dir.unlock()
		return err
	}
	c := &cluster{controlPlane: controlPlane{
		dir: dir.path, binaries: binaries, nodes: true, address: hostAddress(1), domain: wanted.domain,
		ports: ports{etcd: 2379, etcdPeer: 2380, apiserver: 6443, controllerManager: 10257, scheduler: 10259},
	}}
	wasReady := false
	defer func() {
		stopped := errors.Join(c.stop(), restoreTunables(dir.path))
		switch {
		case stopped == nil && (err == nil || !wasReady || !wanted.detached):
			err = errors.Join(err, dir.remove())
		default: // for `status` and `down`
			err = c.keepWhy(errors.Join(err, stopped))
			dir.unlock()
		}
	}()
	if err := c.bringUp(ctx, wanted.nodes); err != nil {
		return err
	}
	remove, err := c.writeKubeconfig(wanted.kubeconfig)
	defer remove()
	if err != nil {
		return err
	}
	state := c.state()
	if err := errors.Join(state.write(c.dir), ready(state)); err != nil {
		return err
	}
	wasReady = true
	if wanted.detached {
		if err := letGo(c.file("supervisor.log")); err != nil {
			return err
		}
	}
	return c.watch(ctx)
}

// bringUp starts everything, saying how far it is.
func (c *cluster) bringUp(ctx context.Context, nodes int) error {
	shown := progress{out: os.Stderr, start: time.Now(), about: upAbout}
	steps := []struct {
		what string
		do   func() error
	}{
		{"networks and certificates", func() error { return c.prepareNodes(ctx, nodes) }},
		{"control plane and container runtimes", func() error { return c.startAll(ctx) }},
		{"nodes and name server", func() error { return c.waitForNodes(ctx) }},
	}
	for i, step := range steps {
		shown.what = fmt.Sprintf("%d/%d %s", i+1, len(steps), step.what)
		if err := shown.during(step.do); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "cluster with %d node(s) ready after %.1f s\n", nodes, time.Since(shown.start).Seconds())
	return nil
}

func (c *cluster) prepareNodes(ctx context.Context, nodes int) error {
	var err error
	if c.group, err = openCgroup(filepath.Base(c.dir)); err != nil {
		return err
	}
	if err := saveTunables(c.dir); err != nil {
		return err
	}
	if err := placePrograms(c.file("bin"), c.binaries); err != nil {
		return err
	}
	for _, folder := range []string{"shared", "images"} {
		if err := os.MkdirAll(c.file(folder), 0o755); err != nil {
			return fmt.Errorf("cannot make a folder of the cluster: %w", err)
		}
	}
	if err := os.Chmod(c.file("shared"), 0o777); err != nil { // pods run as anybody
		return fmt.Errorf("cannot make a folder of the cluster: %w", err)
	}
	for number := range nodes {
		n, err := newNode(number+1, c.dir, c.group)
		if err != nil {
			return err
		}
		c.nodeList = append(c.nodeList, n)
		if err := n.network(c.nodeList[0]); err != nil {
			return err
		}
	}
	c.starter = c.nodeList[0].starter
	if err := c.openDoor(ctx); err != nil {
		return err
	}
	if err := errors.Join(c.prepare(), c.admit(client{"proxy", "system:kube-proxy", ""})); err != nil {
		return err
	}
	for _, n := range c.nodeList {
		if err := n.configure(&c.controlPlane); err != nil {
			return err
		}
	}
	return nil
}

// openDoor lets clients on this machine reach the API server.
func (c *cluster) openDoor(ctx context.Context) error {
	address := net.JoinHostPort(c.address, strconv.Itoa(c.ports.apiserver))
	var err error
	c.forwarder, err = forward(ctx, func() (connection net.Conn, err error) {
		err = c.starter.do(func() error { // its thread is inside
			connection, err = (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", address)
			return err
		})
		return connection, err
	})
	if err == nil {
		c.outside = "https://" + c.forwarder.Addr().String()
	}
	return err
}

// startAll starts the control plane and, while it comes up, container runtimes
// with the images that the cluster itself needs.
func (c *cluster) startAll(ctx context.Context) error {
	runtimes := make(chan error, 1)
	go func() { runtimes <- c.startRuntimes(ctx) }()
	err := c.launch(ctx)
	if err := errors.Join(err, <-runtimes); err != nil {
		return err
	}
	for _, n := range c.nodeList {
		if _, err := n.run("kubelet", c.program("kubelet"), "--config="+n.file("kubelet.yaml"), "--kubeconfig="+c.file(n.Name+".kubeconfig"),
			"--hostname-override="+n.Name, "--node-ip="+n.Address); err != nil {
			return err
		}
		if _, err := n.run("kube-proxy", c.program("kube-proxy"), "--config="+n.file("proxy.yaml")); err != nil {
			return err
		}
	}
	return c.installDNS(ctx)
}

func (c *cluster) startRuntimes(ctx context.Context) error {
	images, err := c.ownImages()
	if err != nil {
		return err
	}
	for _, n := range c.nodeList {
		p, err := n.run("containerd", c.program("containerd"), "-c", n.file("containerd.toml"))
		if err != nil {
			return err
		}
		ping := func(ctx context.Context) error { return ctr(ctx, c.program("ctr"), n.Container, io.Discard, "version") }
		if err := p.wait(ctx, "containerd ready", readyLimit, ping); err != nil {
			return err
		}
		for _, path := range images {
			if err := importImage(ctx, c.program("ctr"), n.Container, path); err != nil {
				return err
			}
		}
	}
	return nil
}

// program is the path of one that the nodes can run: under its plain name, and
// not in a folder that they have their own of.
func (c *cluster) program(name string) string { return filepath.Join(c.dir, "bin", name) }

func (c *cluster) state() started {
	s := started{
		Kubeconfig: c.file("kubeconfig"), Kubectl: c.binaries["kubectl"], Server: c.outside,
		Folder: c.dir, Shared: c.file("shared"), Domain: c.domain, DNS: dnsService, PID: os.Getpid(),
	}
	for _, n := range c.nodeList {
		s.Nodes = append(s.Nodes, n.nodeState)
	}
	return s
}

// watch waits for the end of the context, or of a part, which is an error.
func (c *cluster) watch(ctx context.Context) error {
	return watch(ctx, c.all())
}

func (c *cluster) all() []*process {
	all := slices.Clone(c.processes)
	for _, n := range c.nodeList {
		all = append(all, n.processes...)
	}
	return all
}

// stop ends everything at once, programs, shims and containers: nothing in the
// cluster outlives it, so nothing has to end in order.
func (c *cluster) stop() error {
	if c.forwarder != nil {
		_ = c.forwarder.Close()
	}
	for _, n := range c.nodeList {
		n.starter.close() // its thread is a member of the group
	}
	var err error
	if c.group != nil {
		err = c.group.remove(patience)
	}
	for _, p := range c.all() {
		p.stop(patience)
	}
	return err
}

// keepWhy writes down why a cluster ended that nobody may have been looking at.
func (c *cluster) keepWhy(reason error) error {
	_ = os.Remove(c.file(stateFile))
	return errors.Join(reason, os.WriteFile(c.file(endedFile), []byte(reason.Error()+"\n"), 0o600))
}
