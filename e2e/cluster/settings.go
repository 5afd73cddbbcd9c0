package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

const (
	loopback      = "127.0.0.1"
	defaultDomain = "cluster.local"
	serviceRange  = "10.96.0.0/16"
	// firstService is the API server's own, dnsService the name server's.
	firstService = "10.96.0.1"
	dnsService   = "10.96.0.10"
	// kubeletClient is the API server's name when it calls a kubelet.
	kubeletClient = "kube-apiserver-kubelet-client"
)

func (c *controlPlane) file(name string) string { return filepath.Join(c.dir, name) }

// client is a program that talks to the API server.
type client struct{ file, user, group string }

// prepare writes keys, certificates and kubeconfigs.
func (c *controlPlane) prepare() error {
	var err error
	if c.ca, err = newAuthority(); err != nil {
		return err
	}
	if err := os.WriteFile(c.file("ca.crt"), c.ca.pem, 0o600); err != nil {
		return fmt.Errorf("cannot prepare the control plane: %w", err)
	}
	serving, err := c.ca.issue("kube-apiserver", nil, loopback, "localhost", c.address, firstService,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc."+c.domain)
	if err != nil {
		return err
	}
	accounts, err := c.ca.issue("service-accounts", nil)
	if err != nil {
		return err
	}
	toKubelets, err := c.ca.issue(kubeletClient, nil)
	if err != nil {
		return err
	}
	if c.admin, err = c.ca.issue("admin", []string{"system:masters"}); err != nil {
		return err
	}
	return errors.Join(
		serving.write(c.dir, "apiserver"), accounts.write(c.dir, "accounts"), toKubelets.write(c.dir, "apiserver-kubelet"),
		c.admit(client{"manager", "system:kube-controller-manager", ""}), c.admit(client{"scheduler", "system:kube-scheduler", ""}),
	)
}

// admit writes a kubeconfig with a client's own certificate.
func (c *controlPlane) admit(who client) error {
	var groups []string
	if who.group != "" {
		groups = []string{who.group}
	}
	credentials, err := c.ca.issue(who.user, groups)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file(who.file+".kubeconfig"), c.kubeconfig(c.server(), who.user, credentials), 0o600); err != nil {
		return fmt.Errorf("cannot write the kubeconfig of %s: %w", who.user, err)
	}
	return nil
}

func (c *controlPlane) apiserverFlags(etcd string) []string {
	flags := []string{
		"--etcd-servers=" + etcd,
		"--advertise-address=" + c.address, "--secure-port=" + strconv.Itoa(c.ports.apiserver),
		"--tls-cert-file=" + c.file("apiserver.crt"), "--tls-private-key-file=" + c.file("apiserver.key"),
		"--client-ca-file=" + c.file("ca.crt"),
		"--service-cluster-ip-range=" + serviceRange,
		"--service-account-issuer=https://kubernetes.default.svc." + c.domain,
		"--service-account-key-file=" + c.file("accounts.key"), "--service-account-signing-key-file=" + c.file("accounts.key"),
		"--authorization-mode=Node,RBAC", "--allow-privileged=true",
		"--shutdown-delay-duration=0s",
	}
	if !c.nodes {
		return append(flags, "--bind-address="+c.address, "--endpoint-reconciler-type=none") // a loopback address is no endpoint
	}
	return append(flags, "--bind-address=0.0.0.0", "--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate="+c.file("apiserver-kubelet.crt"), "--kubelet-client-key="+c.file("apiserver-kubelet.key"),
		"--kubelet-certificate-authority="+c.file("ca.crt"),
		"--kubelet-preferred-address-types=InternalIP") // nobody can look up the nodes' names
}

func (c *controlPlane) managerFlags() []string {
	return []string{
		"--kubeconfig=" + c.file("manager.kubeconfig"), "--leader-elect=false", "--use-service-account-credentials=true",
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.controllerManager),
		"--service-account-private-key-file=" + c.file("accounts.key"), "--root-ca-file=" + c.file("ca.crt"),
		"--kube-api-qps=200", "--kube-api-burst=400", // with its default it would need 5 s to start its controllers
	}
}

func (c *controlPlane) schedulerFlags() []string {
	return []string{
		"--kubeconfig=" + c.file("scheduler.kubeconfig"), "--leader-elect=false",
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(c.ports.scheduler),
	}
}

// kubeconfig is JSON, which is YAML too.
func (c *controlPlane) kubeconfig(server, user string, credentials pair) []byte {
	encoded := base64.StdEncoding.EncodeToString
	text, err := json.MarshalIndent(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "cluster",
		"clusters": []any{map[string]any{"name": "cluster", "cluster": map[string]any{"server": server, "certificate-authority-data": encoded(c.ca.pem)}}},
		"contexts": []any{map[string]any{"name": "cluster", "context": map[string]any{"cluster": "cluster", "user": user}}},
		"users":    []any{map[string]any{"name": user, "user": map[string]any{"client-certificate-data": encoded(credentials.cert), "client-key-data": encoded(credentials.key)}}},
	}, "", "  ")
	if err != nil {
		panic(err) // strings only
	}
	return text
}
