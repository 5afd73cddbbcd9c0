package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helperMode makes this test binary behave as a program of the cluster.
const helperMode = "CLUSTER_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(helperMode) {
	case "stubborn": // ends only when it is killed
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		for range asked {
		}
	case "fails":
		fmt.Println("line one\nthe reason")
		os.Exit(3)
	}
	os.Exit(m.Run())
}

func TestVersionIn(t *testing.T) {
	const gomod = "module x\n\nrequire go.etcd.io/etcd/server/v3 v3.7.3\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n\tk8s.io/kubernetes/x v9.9.9 // indirect\n)\n"
	for module, want := range map[string]string{"go.etcd.io/etcd/server/v3": "v3.7.3", "k8s.io/kubernetes": "v1.37.2"} {
		if got, err := versionIn(gomod, module); err != nil || got != want {
			t.Errorf("%s: want %s, got %s (%v)", module, want, got, err)
		}
	}
	if _, err := versionIn(gomod, "example.org/none"); err == nil {
		t.Error("a version of nothing")
	}
}

func TestBinaryNameTellsWhatItWasBuiltFrom(t *testing.T) {
	name := binaryName("etcd", "v1", []byte("a"), []byte("b"))
	for _, other := range []string{binaryName("etcd", "v2", []byte("a"), []byte("b")), binaryName("etcd", "v1", []byte("a"), []byte("c"))} {
		if name == other {
			t.Errorf("%s stands for two builds", name)
		}
	}
}

func TestLinkFlags(t *testing.T) {
	p, err := partNamed("kube-apiserver")
	if err != nil {
		t.Fatal(err)
	}
	flags := linkFlags(p, "v1.37.2")
	for _, want := range []string{"gitVersion=v1.37.2", "gitMajor=1", "gitMinor=37"} {
		if !strings.Contains(flags, want) {
			t.Errorf("want %s in %s", want, flags)
		}
	}
}

func TestUnknownPart(t *testing.T) {
	_, err := partNamed("kube-apiservr")
	if _, wrong := errors.AsType[usageError](err); !wrong || !strings.Contains(err.Error(), "kube-apiserver") {
		t.Errorf("want a usage error that names the parts, got %v", err)
	}
}

func TestAssetsAreUsedAndNotBuilt(t *testing.T) {
	b, err := newBuilder(t.Output())
	if err != nil {
		t.Fatal(err)
	}
	b.assets = t.TempDir()
	asset := filepath.Join(b.assets, "etcd")
	if err := os.WriteFile(asset, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	paths, err := b.build(t.Context(), []string{"etcd"})
	if err != nil || paths["etcd"] != asset {
		t.Errorf("want %s, got %v (%v)", asset, paths, err)
	}
}

func TestSweepTakesDeadOwnersOnly(t *testing.T) {
	parent := t.TempDir()
	alive, err := newRunDir(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := newRunDir(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	dead.unlock() // as the kernel does when its owner is killed
	strange := filepath.Join(parent, "somebody-elses")
	if err := os.Mkdir(strange, 0o755); err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	if !exists(alive.path) || !exists(strange) {
		t.Error("something that is in use was removed")
	}
	if exists(dead.path) {
		t.Error("the folder of a dead owner is left")
	}
	if err := alive.remove(); err != nil || exists(alive.path) {
		t.Errorf("the own folder is left: %v", err)
	}
}

func helper(t *testing.T, mode string) *process {
	t.Helper()
	t.Setenv(helperMode, mode)
	p, err := newStarter().start(t.TempDir(), mode, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStopEndsAProcess(t *testing.T) {
	p := helper(t, "stubborn")
	pid := p.cmd.Process.Pid
	p.stop(10 * time.Millisecond)
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is left: %v", pid, err)
	}
}

func TestWaitTellsWhyAProcessEnded(t *testing.T) {
	p := helper(t, "fails")
	never := func(context.Context) error { return errors.New("not yet") }
	err := p.wait(t.Context(), "helper ready", time.Minute, never)
	if err == nil || !strings.Contains(err.Error(), "fails ended: exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("want the exit code and the end of the log, got %v", err)
	}
}

func TestWaitIsBounded(t *testing.T) {
	p := helper(t, "stubborn")
	defer p.stop(0)
	err := p.wait(t.Context(), "helper ready", 20*time.Millisecond, func(context.Context) error { return errors.New("the last answer") })
	if err == nil || !strings.Contains(err.Error(), "the last answer") {
		t.Errorf("want the last answer in the error, got %v", err)
	}
}

func TestIssuedCertificatesVerify(t *testing.T) {
	ca, err := newAuthority()
	if err != nil {
		t.Fatal(err)
	}
	served, err := ca.issue("kube-apiserver", nil, "127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tls.X509KeyPair(served.cert, served.key); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(served.cert)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestTail(t *testing.T) {
	if got := tail("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("got %q", got)
	}
	if got := tail("a", 5); got != "a" {
		t.Errorf("got %q", got)
	}
}
