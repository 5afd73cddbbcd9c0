package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	podRange   = "10.244.0.0/16"
	pauseImage = "localhost/pause:1"
	socket     = "/run/containerd/containerd.sock" // as the node sees it
)

// node is one machine of the cluster: namespaces with containerd, kubelet and
// kube-proxy in them.
type node struct {
	nodeState
	dir       string
	cgroup    string // the kubelet's root
	starter   *starter
	processes []*process
}

// hostAddress is an address in the network that the nodes share.
func hostAddress(host int) string { return "192.168.77." + strconv.Itoa(host) }

// newNode makes a node's namespaces. Its processes join a control group that
// is not the kubelet's to clean up.
func newNode(number int, dir string, group *cgroup) (*node, error) {
	name := "node-" + strconv.Itoa(number)
	n := &node{dir: filepath.Join(dir, name), cgroup: "/" + group.name + "/" + name}
	n.nodeState = nodeState{Name: name, Address: hostAddress(number), Pods: fmt.Sprintf("10.244.%d.0/24", number), Container: filepath.Join(n.dir, socket)}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of %s: %w", name, err)
	}
	for _, child := range []string{name, programsGroup} {
		if err := group.make(child); err != nil {
			return nil, err
		}
	}
	var err error
	if n.starter, err = newSpace(n.dir, filepath.Join(dir, "bin")); err != nil {
		return nil, err
	}
	n.Network = namespace(os.Getpid(), n.starter.thread)
	return n, group.join(n.starter, programsGroup)
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

func (n *node) run(name, binary string, args ...string) (*process, error) {
	p, err := n.starter.start(n.dir, name, binary, args...)
	if err == nil {
		n.processes = append(n.processes, p)
	}
	return p, err
}

// configure writes what the node's programs read.
func (n *node) configure(c *controlPlane) error {
	serving, err := c.ca.issue(n.Name, nil, n.Address)
	if err != nil {
		return err
	}
	if err := serving.write(n.dir, "kubelet"); err != nil {
		return err
	}
	if err := c.admit(client{n.Name, "system:node:" + n.Name, "system:nodes"}); err != nil {
		return err
	}
	if err := os.MkdirAll(n.file("cni"), 0o755); err != nil {
		return fmt.Errorf("cannot configure %s: %w", n.Name, err)
	}
	for name, text := range map[string]string{
		"containerd.toml": n.containerd(filepath.Join(c.dir, "bin")),
		"cni/10.conflist": asJSON(n.podNetwork()),
		"kubelet.yaml":    asJSON(n.kubelet(c)),
		"proxy.yaml":      asJSON(n.proxy(c)),
		"resolv.conf":     "", // pods that ask the node's name servers have none
	} {
		if err := os.WriteFile(n.file(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("cannot configure %s: %w", n.Name, err)
		}
	}
	return nil
}

func (n *node) containerd(programs string) string {
	return strings.NewReplacer("PROGRAMS", programs, "CNI", n.file("cni"), "PAUSE", pauseImage).Replace(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri"]
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "PAUSE"
[plugins."io.containerd.cri.v1.runtime"]
# Root may lack CAP_SYS_RESOURCE: a sandbox that asks for less could not start.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["PROGRAMS"]
conf_dir = "CNI"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = "PROGRAMS/containerd-shim-runc-v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
`)
}

func (n *node) podNetwork() any {
	return map[string]any{
		"cniVersion": "1.0.0", "name": "pods",
		"plugins": []any{
			map[string]any{"type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipam": map[string]any{
				"type": "host-local", "ranges": []any{[]any{map[string]any{"subnet": n.Pods}}}, "routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
			}},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
}

func (n *node) kubelet(c *controlPlane) any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"authentication": map[string]any{
			"anonymous": map[string]any{"enabled": false}, "webhook": map[string]any{"enabled": true}, "x509": map[string]any{"clientCAFile": c.file("ca.crt")},
		},
		"authorization": map[string]any{"mode": "Webhook"},
		"tlsCertFile":   n.file("kubelet.crt"), "tlsPrivateKeyFile": n.file("kubelet.key"),
		"clusterDNS": []string{dnsService}, "clusterDomain": c.domain, "resolvConf": n.file("resolv.conf"),
		"containerRuntimeEndpoint": "unix://" + socket,
		"cgroupDriver":             "cgroupfs", "cgroupRoot": n.cgroup, "failCgroupV1": false,
		"enforceNodeAllocatable": []string{}, "failSwapOn": false,
		"oomScoreAdj":     0, // less is not allowed where root lacks CAP_SYS_RESOURCE
		"volumePluginDir": "/var/lib/kubelet/plugins",
		// Images come from nowhere but this machine: never collect them. Nor
		// does a machine whose disk is nearly full have to hold no pods.
		"imageGCHighThresholdPercent": 100, "evictionHard": map[string]any{"memory.available": "100Mi"},
		"localStorageCapacityIsolation": false, // some disks give no statistics
	}
}

func (n *node) proxy(c *controlPlane) any {
	return map[string]any{
		"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration",
		"clientConnection": map[string]any{"kubeconfig": c.file("proxy.kubeconfig")},
		"mode":             "iptables", "clusterCIDR": podRange, "hostnameOverride": n.Name,
		"oomScoreAdj": 0,
		"conntrack":   map[string]any{"maxPerCore": 0}, // the machine's, not the node's to change
	}
}

// asJSON is YAML too.
func asJSON(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // plain values only
	}
	return string(text)
}
