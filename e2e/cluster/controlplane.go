package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
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

// controlPlane is etcd, the API server and the controller manager.
type controlPlane struct {
	dir       string
	binaries  map[string]string
	starter   *starter
	processes []*process
	ca        *authority
	admin     pair
	ports     ports
}

type ports struct{ etcd, etcdPeer, apiserver, controllerManager int }

// upControlPlane runs a control plane until the context ends or a part of it
// does, and leaves nothing behind.
func upControlPlane(ctx context.Context, binaries map[string]string, kubeconfig string, ready func(started) error) (err error) {
	dir, err := newRunDir(ctx, os.TempDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dir.remove()) }()
	c := &controlPlane{dir: dir.path, binaries: binaries, starter: newStarter()}
	defer c.stop()
	start := time.Now()
	if err := c.startWithRetries(ctx); err != nil {
		return err
	}
	own := filepath.Join(c.dir, "kubeconfig")
	for _, path := range []string{own, kubeconfig} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, c.kubeconfig("admin", c.admin), 0o600); err != nil {
			return fmt.Errorf("cannot write the kubeconfig: %w", err)
		}
		defer os.Remove(path)
	}
	fmt.Fprintf(os.Stderr, "control plane ready after %.1f s\n", time.Since(start).Seconds())
	if err := ready(started{Kubeconfig: own, Kubectl: binaries["kubectl"], Server: c.server()}); err != nil {
		return err
	}
	return c.watch(ctx)
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

func (c *controlPlane) server() string {
	return "https://127.0.0.1:" + strconv.Itoa(c.ports.apiserver)
}

func (c *controlPlane) start(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
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

// prepare finds free ports and writes keys, certificates and kubeconfigs.
func (c *controlPlane) prepare(ctx context.Context) error {
	free, err := freePorts(ctx, 4)
	if err != nil {
		return err
	}
	c.ports = ports{free[0], free[1], free[2], free[3]}
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	serving, err := c.ca.issue("kube-apiserver", nil, "127.0.0.1", "localhost", "10.96.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return err
	}
	accounts, err := c.ca.issue("service-accounts", nil)
	if err != nil {
		return err
	}
	manager, err := c.ca.issue("system:kube-controller-manager", nil)
	if err != nil {
		return err
	}
	if c.admin, err = c.ca.issue("admin", []string{"system:masters"}); err != nil {
		return err
	}
	if err := errors.Join(serving.write(c.dir, "apiserver"), accounts.write(c.dir, "accounts")); err != nil {
		return err
	}
	for name, text := range map[string][]byte{"ca.crt": c.ca.pem, "manager.kubeconfig": c.kubeconfig("manager", manager)} {
		if err := os.WriteFile(filepath.Join(c.dir, name), text, 0o600); err != nil {
			return fmt.Errorf("cannot prepare the control plane: %w", err)
		}
	}
	return nil
}

func (c *controlPlane) file(name string) string { return filepath.Join(c.dir, name) }

func (c *controlPlane) apiserverFlags(etcd string) []string {
	return []string{
		"--etcd-servers=" + etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.apiserver),
		"--endpoint-reconciler-type=none", // a loopback address is no endpoint
		"--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--service-cluster-ip-range=10.96.0.0/16",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.file("accounts.key"), "--service-account-signing-key-file=" + c.file("accounts.key"),
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
		"--shutdown-delay-duration=0s",
	}
}

func (c *controlPlane) managerFlags() []string {
	return []string{
		"--kubeconfig=" + c.file("manager.kubeconfig"), "--leader-elect=false", "--use-service-account-credentials=true",
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.controllerManager),
		"--service-account-private-key-file=" + c.file("accounts.key"), "--root-ca-file=" + c.file("ca.crt"),
	}
}

// kubeconfig is JSON, which is YAML too.
func (c *controlPlane) kubeconfig(user string, credentials pair) []byte {
	encoded := base64.StdEncoding.EncodeToString
	text, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []any{map[string]any{"name": "cluster", "cluster": map[string]any{"server": c.server(), "certificate-authority-data": encoded(c.ca.pem)}}},
		"contexts": []any{map[string]any{"name": "cluster", "context": map[string]any{"cluster": "cluster", "user": user}}},
		"users":    []any{map[string]any{"name": user, "user": map[string]any{"client-certificate-data": encoded(credentials.cert), "client-key-data": encoded(credentials.key)}}},
	}, "", "  ")
	if err != nil {
		panic(err) // strings only
	}
	return text
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
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server()+path, nil)
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

// watch waits for the end of the context, or of a part, which is an error.
func (c *controlPlane) watch(ctx context.Context) error {
	ended := make(chan *process, len(c.processes))
	for _, p := range c.processes {
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
