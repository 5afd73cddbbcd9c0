//go:build nodes

package proof

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// state is what a machine has that a cluster could leave something of.
type state map[string]string

// machine notes what there is outside of any cluster.
func machine(t *testing.T) state {
	t.Helper()
	s := state{}
	for _, path := range []string{
		"/proc/self/mountinfo", "/proc/sys/vm/overcommit_memory", "/proc/sys/vm/panic_on_oom", "/proc/sys/kernel/panic",
		"/proc/sys/kernel/panic_on_oops", "/proc/sys/kernel/keys/root_maxkeys", "/proc/sys/kernel/keys/root_maxbytes", "/proc/sys/net/ipv4/ip_forward",
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s[path] = string(text)
	}
	for _, command := range []string{"ip -brief link", "ip netns list", "ip route", "iptables-save -t nat", "iptables-save -t filter"} {
		words := strings.Fields(command)
		output, err := exec.CommandContext(context.WithoutCancel(t.Context()), words[0], words[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, output)
		}
		s[command] = withoutComments(string(output))
	}
	for _, dir := range []string{"/var/lib", "/var/log", "/run", "/etc", "/opt"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		s[dir] = fmt.Sprint(names(entries))
	}
	_, err := os.Stat(folder)
	s[folder] = fmt.Sprint(err)
	s["control groups"] = fmt.Sprint(controlGroups(t))
	return s
}

func withoutComments(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.HasPrefix(line, "#") }), "\n")
}

func names(entries []fs.DirEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func controlGroups(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("/sys/fs/cgroup/*/" + group)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// nothingLeft waits until the machine is as before. Processes that ended are for
// its first process to bury, which may take a moment.
func nothingLeft(t *testing.T, before state) {
	t.Helper()
	eventually(t, "nothing is left", 30*time.Second, func() error {
		after := machine(t)
		for _, what := range slices.Sorted(maps.Keys(before)) {
			if after[what] != before[what] {
				return fmt.Errorf("%s differs\nbefore:\n%s\nafter:\n%s", what, before[what], after[what])
			}
		}
		return nil
	})
}

// life is what a cluster lives in: processes, with the time of their start, and
// namespaces.
type life struct {
	processes  map[int]string
	namespaces map[string]bool
}

// lifeOf finds all processes of a running cluster, its pods' too.
func lifeOf(c *cluster) life {
	c.Helper()
	l := life{processes: map[int]string{c.PID: startOf(c.PID)}, namespaces: map[string]bool{}}
	own := namespacesOf(os.Getpid())
	for _, root := range controlGroups(c.T) {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Name() != "cgroup.procs" {
				return err
			}
			text, err := os.ReadFile(path)
			for word := range strings.FieldsSeq(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					l.processes[pid] = startOf(pid)
				}
			}
			return err
		})
		if err != nil {
			c.Fatal(err)
		}
	}
	for pid := range l.processes {
		for _, ns := range namespacesOf(pid) {
			if !slices.Contains(own, ns) {
				l.namespaces[ns] = true
			}
		}
	}
	// etcd, API server, two managers, containerd, kubelet, proxy, shim, pause, a container, the supervisor
	if len(l.processes) < 11 || len(l.namespaces) < 4 {
		c.Fatalf("found too little of the cluster to prove its end: %v", l)
	}
	return l
}

// named finds the process of a program.
func (l life) named(t *testing.T, program string) int {
	t.Helper()
	for pid := range l.processes {
		if path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && strings.HasPrefix(filepath.Base(path), program) {
			return pid
		}
	}
	t.Fatalf("no process of %s", program)
	return 0
}

func namespacesOf(pid int) []string {
	var all []string
	for _, kind := range []string{"net", "mnt"} {
		if ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind)); err == nil {
			all = append(all, ns)
		}
	}
	return all
}

// startOf tells a process from a later one of the same number.
func startOf(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, found := strings.Cut(string(text), ") ") // its name, which may hold anything
	if fields := strings.Fields(after); err == nil && found && len(fields) > 19 {
		return fields[19]
	}
	return ""
}

// ended proves that no process of it is left, not even an unburied one.
func (l life) ended(t *testing.T) {
	t.Helper()
	eventually(t, "all processes are gone", 30*time.Second, func() error {
		for pid, start := range l.processes {
			if now := startOf(pid); now != "" && now == start {
				status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				return fmt.Errorf("process %d is left: %s", pid, status)
			}
		}
		return nil
	})
}

// isOver proves besides that nobody is in its namespaces. Nothing pins those (the
// machine's mounts are compared), so they are gone too. Only without another
// cluster: the kernel uses the numbers of namespaces again.
func (l life) isOver(t *testing.T) {
	t.Helper()
	l.ended(t)
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		for _, ns := range namespacesOf(pid) {
			if l.namespaces[ns] {
				t.Errorf("process %d is in %s of the cluster", pid, ns)
			}
		}
	}
}
