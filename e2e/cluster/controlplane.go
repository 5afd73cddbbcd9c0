package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// patience is how long a program may take to end by itself; readyLimit how long
// the control plane may take to answer, on a machine that is busy with builds.
const (
	patience   = 5 * time.Second
	readyLimit = 2 * time.Minute
)

// controlPlane is etcd, the API server, the controller manager and, where there
// are nodes, the scheduler.
type controlPlane struct {
	dir       string
	binaries  map[string]string
	starter   *starter
	processes []*process
	ca        *authority
	admin     pair
	ports     ports
	address   string // where the API server listens
	domain    string // of the cluster's names
	nodes     bool
	outside   string // the API server's URL for clients on this machine
}

type ports struct{ etcd, etcdPeer, apiserver, controllerManager, scheduler int }

// upControlPlane runs a control plane until the context ends or a part of it
// does, and leaves nothing behind.
func upControlPlane(ctx context.Context, binaries map[string]string, kubeconfig string, ready func(started) error) (err error) {
	dir, err := newRunDir(ctx, os.TempDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.remove()) }()
	c := &controlPlane{dir: dir.path, binaries: binaries, starter: newStarter(), address: loopback, domain: defaultDomain}
	defer c.stop()
	start := time.Now()
	if err := c.startWithRetries(ctx); err != nil {
		return err
	}
	remove, err := c.writeKubeconfig(kubeconfig)
	defer remove()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "control plane ready after %.1f s\n", time.Since(start).Seconds())
	if err := ready(started{Kubeconfig: c.file("kubeconfig"), Kubectl: binaries["kubectl"], Server: c.outside}); err != nil {
		return err
	}
	return watch(ctx, c.processes)
}

// writeKubeconfig writes the administrator's, and once more where it is wished.
func (c *controlPlane) writeKubeconfig(wished string) (remove func(), err error) {
	remove = func() {}
	for _, path := range []string{c.file("kubeconfig"), wished} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, c.kubeconfig(c.outside, "admin", c.admin), 0o600); err != nil {
			return remove, fmt.Errorf("cannot write the kubeconfig: %w", err)
		}
		if path == wished {
			remove = func() { _ = os.Remove(path) }
		}
	}
	return remove, nil
}

// startWithRetries starts anew on other ports when somebody took one of ours
// between our finding it free and its program's listening on it.
func (c *controlPlane) startWithRetries(ctx context.Context) error {
	var err error
	for range 3 {
		if err = c.start(ctx); err == nil || !strings.Contains(err.Error(), "address already in use") {
			return err
		}
		c.stop()
		_ = os.RemoveAll(filepath.Join(c.dir, "etcd"))
	}
	return err
}

// server is the API server's URL for the cluster's own programs.
func (c *controlPlane) server() string {
	return "https://" + net.JoinHostPort(c.address, strconv.Itoa(c.ports.apiserver))
}

func (c *controlPlane) start(ctx context.Context) error {
	free, err := freePorts(ctx, 4)
	if err != nil {
		return err
	}
	c.ports = ports{etcd: free[0], etcdPeer: free[1], apiserver: free[2], controllerManager: free[3]}
	c.outside = c.server()
	if err := c.prepare(); err != nil {
		return err
	}
	return c.launch(ctx)
}

// launch starts the programs and waits until the control plane does its work.
func (c *controlPlane) launch(ctx context.Context) error {
	etcd := "http://127.0.0.1:" + strconv.Itoa(c.ports.etcd)
	peer := "http://127.0.0.1:" + strconv.Itoa(c.ports.etcdPeer)
	// Nothing here outlives the process, so nothing need reach the disk.
	if _, err := c.run("etcd", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls="+etcd, "--advertise-client-urls="+etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer); err != nil {
		return err
	}
	apiserver, err := c.run("kube-apiserver", c.apiserverFlags(etcd)...)
	if err != nil {
		return err
	}
	if err := apiserver.wait(ctx, "API server ready", readyLimit, c.answers("/readyz", "")); err != nil {
		return c.cause(err)
	}
	manager, err := c.run("kube-controller-manager", c.managerFlags()...)
	if err != nil {
		return err
	}
	if c.nodes {
		if _, err := c.run("kube-scheduler", c.schedulerFlags()...); err != nil {
			return err
		}
	}
	// Pods can be made as soon as their namespace has its service account.
	return c.cause(manager.wait(ctx, "controller manager ready", readyLimit, c.answers("/api/v1/namespaces/default/serviceaccounts/default", `"name":"default"`)))
}

// cause prefers the failure of a part that ended over that of one waiting for it.
func (c *controlPlane) cause(err error) error {
	if err == nil {
		return nil
	}
	for _, p := range c.processes {
		select {
		case <-p.exited:
			return p.failure()
		default:
		}
	}
	return err
}

func (c *controlPlane) run(name string, args ...string) (*process, error) {
	p, err := c.starter.start(c.dir, name, c.binaries[name], args...)
	if err == nil {
		c.processes = append(c.processes, p)
	}
	return p, err
}

// answers checks that the API server answers a path with 200 and holds a text.
func (c *controlPlane) answers(path, text string) func(context.Context) error {
	return func(ctx context.Context) error {
		certificate, err := tls.X509KeyPair(c.admin.cert, c.admin.key)
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AddCert(c.ca.cert)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.outside+path, nil)
		if err != nil {
			return err
		}
		response, err := (&http.Client{Transport: transport}).Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return err
		}
		if response.StatusCode != http.StatusOK || !strings.Contains(string(body), text) {
			return fmt.Errorf("%s answers %s", path, response.Status)
		}
		return nil
	}
}

// watch waits for the end of the context, or of a process, which is an error.
func watch(ctx context.Context, processes []*process) error {
	ended := make(chan *process, len(processes))
	for _, p := range processes {
		go func() {
			<-p.exited
			ended <- p
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case p := <-ended:
		return p.failure()
	}
}

// stop ends all parts, the ones that need others first.
func (c *controlPlane) stop() {
	for _, p := range slices.Backward(c.processes) {
		p.stop(patience)
	}
	c.processes = nil
}

// freePorts finds TCP ports on loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var listen net.ListenConfig
	found := make([]int, 0, n)
	for range n {
		listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer listener.Close() // after the last is found, so that all differ
		found = append(found, listener.Addr().(*net.TCPAddr).Port)
	}
	return found, nil
}
