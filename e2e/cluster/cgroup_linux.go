package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroup is one control group in every hierarchy that the machine has. All that
// a cluster with nodes starts is in it, whoever its parent is: that is how the
// shims and containers of a cluster whose supervisor was killed are found.
type cgroup struct {
	name        string // from the root of each hierarchy
	hierarchies []hierarchy
}

// hierarchy is a mounted tree of control groups.
type hierarchy struct {
	path    string
	unified bool // version 2
}

// hierarchiesIn reads them from /proc/mounts. A machine has either version or,
// as a hybrid, both.
func hierarchiesIn(mounts string) []hierarchy {
	var found []hierarchy
	for line := range strings.Lines(mounts) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[1], "/sys/fs/cgroup") {
			continue
		}
		if kind := words[2]; kind == "cgroup" || kind == "cgroup2" {
			found = append(found, hierarchy{path: words[1], unified: kind == "cgroup2"})
		}
	}
	return found
}

func openCgroup(name string) (*cgroup, error) {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return nil, fmt.Errorf("cannot find the control groups: %w", err)
	}
	g := &cgroup{name: name, hierarchies: hierarchiesIn(string(mounts))}
	if len(g.hierarchies) == 0 {
		return nil, errors.New("cannot find the control groups: none are mounted at /sys/fs/cgroup")
	}
	return g, nil
}

// make makes the group, and one in it, in all hierarchies.
func (g *cgroup) make(child string) error {
	for _, h := range g.hierarchies {
		parent := h.path
		for _, name := range []string{g.name, child} {
			path := filepath.Join(parent, name)
			if err := makeGroup(h, parent, path); err != nil {
				return fmt.Errorf("cannot make control group %s: %w", path, err)
			}
			parent = path
		}
	}
	return nil
}

func makeGroup(h hierarchy, parent, path string) error {
	if h.unified {
		if err := passControllersOn(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A new group of version 1 may use no processor and no memory at all.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		text, err := os.ReadFile(filepath.Join(parent, file))
		if h.unified || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(path, file), bytes.TrimSpace(text), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// passControllersOn lets the groups below one of version 2 have its controllers.
func passControllersOn(group string) error {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(text)) {
		if err := os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte("+"+controller), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// join makes a starter's processes members of a group in this one.
func (g *cgroup) join(s *starter, child string) error {
	i := slices.IndexFunc(g.hierarchies, func(h hierarchy) bool { return !h.unified })
	if i >= 0 { // threads may differ here, and children are where their thread was
		tasks := filepath.Join(g.hierarchies[i].path, g.name, child, "tasks")
		return s.do(func() error { return os.WriteFile(tasks, []byte("0"), 0o644) })
	}
	group, err := os.Open(filepath.Join(g.hierarchies[0].path, g.name, child))
	if err != nil {
		return fmt.Errorf("cannot open a control group: %w", err)
	}
	s.attr = func() *syscall.SysProcAttr {
		attr := dieWithParent()
		attr.UseCgroupFD, attr.CgroupFD = true, int(group.Fd())
		return attr
	}
	return nil
}

// groups lists the group and all below it, the deepest first.
func (g *cgroup) groups() []string {
	var found []string
	for _, h := range g.hierarchies {
		_ = filepath.WalkDir(filepath.Join(h.path, g.name), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				found = append(found, path)
			}
			return nil // what is gone meanwhile is what we want
		})
	}
	slices.Reverse(found)
	return found
}

// processes lists the members of the group and of all below it.
func (g *cgroup) processes() []int {
	var found []int
	for _, group := range g.groups() {
		text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		if err != nil {
			continue // it went away
		}
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil && pid > 0 && pid != os.Getpid() {
				found = append(found, pid)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// remove ends all processes in the group and takes it away.
func (g *cgroup) remove(limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		for _, pid := range g.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		left := 0
		for _, group := range g.groups() {
			if err := syscall.Rmdir(group); err != nil && !errors.Is(err, fs.ErrNotExist) {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot remove %d control groups below %s after %s; processes in them: %v", left, g.name, limit, g.processes())
		}
	}
}
