//go:build nodes

// Package proof shows on a real machine that a cluster with nodes does what a
// Kubernetes does, and that nothing of it is left whichever way it ends. Its
// tests need Linux, root and some minutes; `make test-cluster` runs them.
package proof

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is the cluster command.
var program string

const (
	// name sets the cluster of these tests apart from the developer's own.
	name   = "proof"
	group  = "h2o-webhook-nodes-" + name
	folder = "/var/tmp/" + group
	// limit is how long anything may take.
	limit = 2 * time.Minute
)

// askAnonymously makes this test binary ask a URL without credentials.
const askAnonymously = "PROOF_ASK"

func TestMain(m *testing.M) {
	if url := os.Getenv(askAnonymously); url != "" {
		ask(url)
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		code = 1
	}
	os.Exit(code)
}

func ask(url string) {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	response, err := (&http.Client{Transport: transport, Timeout: limit}).Do(request)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_ = response.Body.Close()
	fmt.Println(response.StatusCode)
	os.Exit(0)
}

func runAll(m *testing.M) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir, err := os.MkdirTemp("", "h2o-webhook-proof-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("CLUSTER", name); err != nil {
		return 1, err
	}
	program = filepath.Join(dir, "cluster")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", program, "..")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("cannot build the cluster command: %w\n%s", err, output)
	}
	// After Ctrl-C no test cleans up.
	context.AfterFunc(ctx, func() { _, _ = try(context.Background(), "down") })
	return m.Run(), nil
}

// cluster is what up says of a running one.
type cluster struct {
	*testing.T
	Kubeconfig string `json:"kubeconfig"`
	Kubectl    string `json:"kubectl"`
	Folder     string `json:"folder"`
	Domain     string `json:"clusterDomain"`
	PID        int    `json:"pid"`
	Nodes      []struct {
		Name    string `json:"name"`
		Address string `json:"address"`
	} `json:"nodes"`
}

// up starts a cluster; it is down again at the end of the test, and nothing left.
func up(t *testing.T, args ...string) *cluster {
	t.Helper()
	before := machine(t)
	t.Cleanup(func() {
		if t.Failed() {
			printWhy(t)
		}
		command(t, "down")
		nothingLeft(t, before)
	})
	return start(t, args...)
}

func start(t *testing.T, args ...string) *cluster {
	t.Helper()
	began := time.Now()
	line := command(t, append([]string{"up", "-detach"}, args...)...)
	t.Logf("up %v: %.1f s", args, time.Since(began).Seconds())
	c := &cluster{T: t}
	if err := json.Unmarshal([]byte(line), c); err != nil {
		t.Fatalf("cannot read what up said: %v\n%s", err, line)
	}
	return c
}

// command runs the cluster command and gives what it printed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	output, err := try(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func try(ctx context.Context, args ...string) (string, error) {
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx) // at the end of a test
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var output, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &problems
	if err := cmd.Run(); err != nil {
		return output.String(), fmt.Errorf("cluster %s: %w\n%s", strings.Join(args, " "), err, problems.String())
	}
	return output.String(), nil
}

// kubectl runs it on the host, as the administrator.
func (c *cluster) kubectl(stdin string, args ...string) string {
	c.Helper()
	output, err := c.tryKubectl(stdin, args...)
	if err != nil {
		c.Fatal(err)
	}
	return output
}

func (c *cluster) tryKubectl(stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(c.Context(), c.Kubectl, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	cmd.Stdin = strings.NewReader(stdin)
	output, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output)), err
}

// eventually waits for a condition; the last reason against it fails the test.
func eventually(t *testing.T, what string, limit time.Duration, condition func() error) {
	t.Helper()
	began := time.Now()
	var last error
	for {
		err := condition()
		if err == nil {
			t.Logf("%s after %.1f s; before: %v", what, time.Since(began).Seconds(), last)
			return
		}
		last = err
		if time.Since(began) > limit {
			t.Fatalf("%s: not after %s: %v", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// printWhy prints what a person needs when a test failed.
func printWhy(t *testing.T) {
	status, err := try(t.Context(), "status")
	t.Logf("status (%v): %s", err, status)
	var logs []string
	for _, dir := range []string{"", "node-1", "node-2"} {
		more, _ := filepath.Glob(filepath.Join(folder, dir, "*.log"))
		logs = append(logs, more...)
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		t.Logf("%s (%v):\n%s", path, err, strings.Join(lines[max(0, len(lines)-10):], "\n"))
	}
}
