package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// part is one program of the cluster and where it comes from.
type part struct {
	name   string
	module string        // folder below parts/; none for a program of this module
	pkg    string        // the main package
	of     string        // the module whose version it carries
	about  time.Duration // a cold build on 2 cores, parts of its module built before
}

const (
	kubernetes = "k8s.io/kubernetes"
	etcd       = "go.etcd.io/etcd/server/v3"
	containerd = "github.com/containerd/containerd/v2"
	cni        = "github.com/containernetworking/plugins"
	coredns    = "github.com/coredns/coredns"
)

// parts are in the order in which they are built. Their times were measured on
// a machine with 2 cores; they are only ever shown as an estimate.
var parts = []part{
	{"etcd", "etcd", etcd, etcd, 60 * time.Second},
	{"kube-apiserver", "kubernetes", kubernetes + "/cmd/kube-apiserver", kubernetes, 240 * time.Second},
	{"kube-controller-manager", "kubernetes", kubernetes + "/cmd/kube-controller-manager", kubernetes, 80 * time.Second},
	{"kubectl", "kubernetes", kubernetes + "/cmd/kubectl", kubernetes, 30 * time.Second},
	{"kube-scheduler", "kubernetes", kubernetes + "/cmd/kube-scheduler", kubernetes, 15 * time.Second},
	{"kubelet", "kubernetes", kubernetes + "/cmd/kubelet", kubernetes, 35 * time.Second},
	{"kube-proxy", "kubernetes", kubernetes + "/cmd/kube-proxy", kubernetes, 12 * time.Second},
	{"containerd", "containerd", containerd + "/cmd/containerd", containerd, 130 * time.Second},
	{"containerd-shim-runc-v2", "containerd", containerd + "/cmd/containerd-shim-runc-v2", containerd, 3 * time.Second},
	{"ctr", "containerd", containerd + "/cmd/ctr", containerd, 4 * time.Second},
	{"bridge", "cni", cni + "/plugins/main/bridge", cni, 6 * time.Second},
	{"loopback", "cni", cni + "/plugins/main/loopback", cni, 1 * time.Second},
	{"host-local", "cni", cni + "/plugins/ipam/host-local", cni, 1 * time.Second},
	{"portmap", "cni", cni + "/plugins/meta/portmap", cni, 1 * time.Second},
	{"coredns", "coredns", coredns, coredns, 110 * time.Second},
	{"pause", "", "./pause", "", 1 * time.Second},
}

// controlPlaneParts are what a control plane needs; a client is one of them.
var controlPlaneParts = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

// nodeParts are what a cluster with nodes needs besides.
var nodeParts = []string{
	"kube-scheduler", "kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr",
	"bridge", "loopback", "host-local", "portmap", "coredns", "pause",
}

// own tells a program whose source is in this module.
func (p part) own() bool { return p.module == "" }

func partNames() []string {
	names := make([]string, 0, len(parts))
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func partNamed(name string) (part, error) {
	for _, p := range parts {
		if p.name == name {
			return p, nil
		}
	}
	return part{}, usageError{fmt.Errorf("unknown part %q: want %s", name, strings.Join(partNames(), ", "))}
}

// versionIn finds the version that a go.mod requires of a module.
func versionIn(gomod, module string) (string, error) {
	lines := bufio.NewScanner(strings.NewReader(gomod))
	for lines.Scan() {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(lines.Text()), "require "))
		if len(words) >= 2 && words[0] == module && strings.HasPrefix(words[1], "v") {
			return words[1], nil
		}
	}
	return "", fmt.Errorf("go.mod requires no version of %s", module)
}

// binaryName names a built program after everything that it was built from, so
// that another version never stands in for it.
func binaryName(name, version string, sources ...[]byte) string {
	sum := sha256.New()
	for _, s := range sources {
		sum.Write(s)
	}
	return fmt.Sprintf("%s-%s-%s-%s-%s-%s", name, version, runtime.GOOS, runtime.GOARCH, runtime.Version(), hex.EncodeToString(sum.Sum(nil))[:12])
}

// linkFlags make a program say its own version, as its release build does.
func linkFlags(p part, version string) string {
	flags := "-s -w"
	if p.of != kubernetes {
		return flags
	}
	numbers := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	const at = " -X k8s.io/component-base/version."
	return flags + at + "gitVersion=" + version + at + "gitMajor=" + numbers[0] + at + "gitMinor=" + numbers[1]
}

// sourceDir finds the folder of this module, where parts/ is. The program is
// always run by `go run` or built from a checkout.
func sourceDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	dir := filepath.Dir(file)
	if ok && exists(filepath.Join(dir, "parts")) {
		return dir, nil
	}
	dir, err := os.Getwd()
	if err == nil && exists(filepath.Join(dir, "parts")) {
		return dir, nil
	}
	return "", fmt.Errorf("cannot find the folder parts: run this program in the folder of its sources")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
