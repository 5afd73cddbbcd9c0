package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// programPath is where nodes look for programs, after the cluster's own.
const programPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// hidden are the folders of the machine that a node has its own of. Programs
// write there under fixed names, and pods' mounts end up there.
var hidden = []string{"/run", "/var/lib", "/var/log"}

// newSpace makes a starter whose thread is in a network and a mount namespace of
// its own. Nothing pins them: they go, with every mount and link in them, when
// the last process in them does. The node's folders are below dir.
func newSpace(dir, programs string) (*starter, error) {
	for _, path := range hidden {
		if err := os.MkdirAll(filepath.Join(dir, path), 0o755); err != nil {
			return nil, fmt.Errorf("cannot make a node's folders: %w", err)
		}
	}
	s := newStarter()
	// Nothing else of our environment: a proxy's address would be used inside.
	s.env = []string{"PATH=" + programs + ":" + programPath, "HOME=/root"}
	return s, s.do(func() error {
		s.thread = syscall.Gettid()
		if err := syscall.Unshare(syscall.CLONE_NEWNET | syscall.CLONE_NEWNS); err != nil {
			return fmt.Errorf("cannot make namespaces: %w", err)
		}
		return hide(dir)
	})
}

// hide puts a node's folders over the machine's, in this thread's namespace.
func hide(dir string) error {
	// First apart from the machine, then shared with the node's containers.
	for _, flags := range []uintptr{syscall.MS_REC | syscall.MS_PRIVATE, syscall.MS_REC | syscall.MS_SHARED} {
		if err := syscall.Mount("", "/", "", flags, ""); err != nil {
			return fmt.Errorf("cannot part a node's mounts from the machine's: %w", err)
		}
	}
	for _, path := range hidden {
		if err := syscall.Mount(filepath.Join(dir, path), path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("cannot give a node its own %s: %w", path, err)
		}
	}
	return nil
}

// namespace is the path of a thread's network namespace.
func namespace(pid, thread int) string { return fmt.Sprintf("/proc/%d/task/%d/ns/net", pid, thread) }

// ip runs commands of iproute2, one a line, on the starter's thread.
func (s *starter) ip(lines ...string) error {
	cmd := exec.Command(systemProgram("ip"), "-batch", "-") //nolint:noctx // it ends at once
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	cmd.Env = s.env
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := s.do(cmd.Start); err != nil {
		return fmt.Errorf("cannot set up the network: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot set up the network: %w: %s", err, output.String())
	}
	return nil
}

// network gives a node its address and the way to the pods of the others. The
// first node's is that of a bridge, which the others are joined to.
func (n *node) network(first *node) error {
	lines := []string{"link set lo up"}
	if n == first {
		lines = append(lines, "link add node0 type bridge", "address add "+n.Address+"/24 dev node0", "link set node0 up",
			// To nowhere; but an address without any route is refused at once.
			"route add default via "+hostAddress(254)+" dev node0")
	} else {
		err := first.starter.ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %d", n.Name, n.starter.thread),
			"link set "+n.Name+" master node0", "link set "+n.Name+" up",
			"route add "+n.Pods+" via "+n.Address)
		if err != nil {
			return err
		}
		lines = append(lines, "address add "+n.Address+"/24 dev eth0", "link set eth0 up", "route add default via "+first.Address)
	}
	if err := n.starter.ip(lines...); err != nil {
		return err
	}
	return n.starter.do(func() error {
		var err error
		for _, name := range []string{"ipv4/ip_forward", "bridge/bridge-nf-call-iptables"} {
			err = errors.Join(err, os.WriteFile("/proc/sys/net/"+name, []byte("1"), 0o644))
		}
		return err
	})
}
