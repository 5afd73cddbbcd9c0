//go:build nodes

package proof

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// objects are a server of CoreDNS' image, which answers on port 1053, with a
// Service and a headless one, and a client on each node.
const objects = `
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  nodeSelector: {kubernetes.io/hostname: node-1}
  containers: [{name: server, image: "localhost/coredns:1", args: [-dns.port=1053], ports: [{containerPort: 1053}]}]
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec: {selector: {app: server}, ports: [{name: q, port: 53, targetPort: 1053}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: server}, ports: [{name: q, port: 1053}]}
`

const client = `
apiVersion: v1
kind: Pod
metadata: {name: client-NODE}
spec:
  nodeSelector: {kubernetes.io/hostname: NODE}
  containers: [{name: client, image: "localhost/pause:1"}]
`

// run applies the objects and waits until the pods are ready.
func (c *cluster) run() {
	c.Helper()
	text := objects
	for _, n := range c.Nodes {
		text += "---" + strings.ReplaceAll(client, "NODE", n.Name)
	}
	// The default service account is made a moment after its namespace.
	eventually(c.T, "objects applied", limit, func() error {
		_, err := c.tryKubectl(text, "apply", "-f", "-")
		return err
	})
	c.kubectl("", "wait", "--for=condition=Ready", "pods", "--all", "--timeout=60s")
}

// asks has a client pod ask, and wants a text in the answer.
func (c *cluster) asks(node, want string, words ...string) {
	c.Helper()
	what := fmt.Sprintf("%s: %s", node, strings.Join(words, " "))
	eventually(c.T, what, 30*time.Second, func() error {
		answer, err := c.tryKubectl("", append([]string{"exec", "client-" + node, "--", "/pause"}, words...)...)
		if err == nil && !strings.Contains(answer, want) {
			err = fmt.Errorf("want %q, got %q", want, answer)
		}
		return err
	})
}

func TestOneNode(t *testing.T) {
	c := up(t, "-nodes", "1", "-cluster-domain", "h2o.test")
	c.run()
	service := c.kubectl("", "get", "service", "server", "-o", "jsonpath={.spec.clusterIP}")
	pod := c.kubectl("", "get", "pod", "server", "-o", "jsonpath={.status.podIP}")

	c.asks("node-1", service+":53", "dial", "server.default.svc.h2o.test:53")
	c.asks("node-1", pod+":1053", "dial", "headless.default.svc.h2o.test.:1053")
	c.asks("node-1", ".headless.default.svc.h2o.test:1053", "srv", "headless.default.svc.h2o.test")
	c.asks("node-1", service+":53", "dial", "server:53") // by the search domains
	if answer, err := c.tryKubectl("", "exec", "client-node-1", "--", "/pause", "dial", "example.org:80"); err == nil || !strings.Contains(answer, "no such host") {
		t.Errorf("a name that is not of the cluster: want no such host at once, got %v: %s", err, answer)
	}
	if logs := c.kubectl("", "logs", "server"); !strings.Contains(logs, "CoreDNS-") {
		t.Errorf("the log of the server lacks its version: %s", logs)
	}
	c.forwards()
	c.commands(service)
	c.rights()
	if _, err := try(t.Context(), "up", "-nodes", "1"); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second cluster: want a refusal that says why, got %v", err)
	}
	end := lifeOf(c)
	command(t, "down")
	end.isOver(t)
}

// forwards proves kubectl port-forward with a query over TCP.
func (c *cluster) forwards() {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), c.Kubectl, "--kubeconfig", c.Kubeconfig, "port-forward", "pod/server", ":1053")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	port := regexp.MustCompile(`127\.0\.0\.1:(\d+)`).FindString(line)
	if err != nil || port == "" {
		c.Fatalf("port-forward says %q (%v)", line, err)
	}
	connection, err := (&net.Dialer{}).DialContext(c.Context(), "tcp", port)
	if err != nil {
		c.Fatal(err)
	}
	defer connection.Close()
	query := []byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01x\x00\x00\x01\x00\x01")
	if _, err := connection.Write(binary.BigEndian.AppendUint16(nil, uint16(len(query)))); err != nil {
		c.Fatal(err)
	}
	if _, err := connection.Write(query); err != nil {
		c.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := connection.Read(answer); err != nil || answer[3] != 7 {
		c.Errorf("want an answer to query 7 through port-forward, got % x (%v)", answer, err)
	}
}

// commands proves load, exec and status.
func (c *cluster) commands(service string) {
	c.Helper()
	command(c.T, "load", filepath.Join(c.Folder, "images", "pause.tar"))
	if out := command(c.T, "exec", "--", "ip", "-brief", "address"); !strings.Contains(out, "192.168.77.1/24") {
		c.Errorf("exec is not in the node's network: %s", out)
	}
	_, err := try(c.Context(), "exec", "--", "sh", "-c", "exit 7")
	if err == nil || !strings.Contains(err.Error(), "exit status 7") {
		c.Errorf("exec: want the command's exit code, got %v", err)
	}
	if _, err := try(c.Context(), "exec", "--", "bash", "-c", "echo >/dev/tcp/"+service+"/53"); err != nil {
		c.Errorf("the Service does not answer in the node's network: %v", err)
	}
	if out := command(c.T, "status"); !strings.Contains(out, "export KUBECONFIG="+c.Kubeconfig) {
		c.Errorf("status does not say how to use the cluster: %s", out)
	}
	for _, args := range [][]string{{"link", "node-1", "down"}, {"link", "node-9", "down"}, {"link", "node-1"}, {"exec", "-node", "node-9", "--", "true"}, {"exec"}, {"load"}, {"down", "x"}} {
		if _, err := try(c.Context(), args...); err == nil || !strings.Contains(err.Error(), "exit status 2") {
			c.Errorf("%v: want a usage error, got %v", args, err)
		}
	}
}

// rights proves that a node may do no more than its own, and that its kubelet
// wants to know who asks.
func (c *cluster) rights() {
	c.Helper()
	answer, err := try(c.Context(), "exec", "--", c.Kubectl, "--kubeconfig", filepath.Join(c.Folder, "node-1.kubeconfig"), "auth", "can-i", "list", "secrets", "-A")
	if err == nil || !strings.HasPrefix(answer, "no") {
		c.Errorf("a node can list all secrets: %s (%v)", answer, err)
	}
	c.Setenv(askAnonymously, "https://192.168.77.1:10250/pods")
	self, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	if answer := command(c.T, "exec", "--", self); strings.TrimSpace(answer) != "401" {
		c.Errorf("the kubelet answers anybody: %s", answer)
	}
	if err := os.Unsetenv(askAnonymously); err != nil {
		c.Fatal(err)
	}
}

func TestTwoNodes(t *testing.T) {
	c := up(t, "-nodes", "2")
	c.run()
	service := c.kubectl("", "get", "service", "server", "-o", "jsonpath={.spec.clusterIP}")
	pod := c.kubectl("", "get", "pod", "server", "-o", "jsonpath={.status.podIP}")
	for _, n := range c.Nodes {
		c.asks(n.Name, pod+":1053", "dial", pod+":1053")
		c.asks(n.Name, service+":53", "dial", "server.default.svc.cluster.local:53")
		if _, err := try(t.Context(), "exec", "-node", n.Name, "--", "bash", "-c", "echo >/dev/tcp/"+service+"/53"); err != nil {
			t.Errorf("the Service does not answer in the network of %s: %v", n.Name, err)
		}
	}
	ready := func(want string) func() error {
		return func() error {
			got, err := c.tryKubectl("", "get", "node", "node-2", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
			if err == nil && got != want {
				err = fmt.Errorf("node-2 is ready: %s", got)
			}
			return err
		}
	}
	command(t, "link", "node-2", "down")
	eventually(t, "node-2 is lost", limit, ready("Unknown"))
	command(t, "link", "node-2", "up")
	eventually(t, "node-2 is back", limit, ready("True"))
	c.asks("node-2", pod+":1053", "dial", pod+":1053")
	end := lifeOf(c)
	command(t, "down")
	end.isOver(t)
}

func TestKilledSupervisor(t *testing.T) {
	c := up(t, "-nodes", "1")
	c.run()
	end := lifeOf(c)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	command(t, "down")
	end.isOver(t)

	// And another one can start over the remains.
	c = start(t, "-nodes", "1")
	end = lifeOf(c)
	if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "up over the remains", limit, func() error {
		_, err := try(t.Context(), "up", "-nodes", "1", "-detach")
		return err
	})
	end.ended(t)
}

func TestPartDies(t *testing.T) {
	c := up(t, "-nodes", "1")
	end := lifeOf(c)
	if err := syscall.Kill(end.named(t, "kubelet"), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	end.isOver(t)
	_, err := try(t.Context(), "status")
	if err == nil || !strings.Contains(err.Error(), "kubelet ended: signal: killed") {
		t.Errorf("want status to say why the cluster ended, got %v", err)
	}
}

func TestInterruptedStart(t *testing.T) {
	before := machine(t)
	cmd := exec.CommandContext(t.Context(), program, "up", "-nodes", "1", "-detach")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if strings.Contains(lines.Text(), "2/3") { // processes are being started
			_ = cmd.Process.Signal(syscall.SIGINT)
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted start is a success")
	}
	nothingLeft(t, before)
}
