package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// endedFile says why a detached cluster ended by itself.
const endedFile = "ended"

// tunables are what a kubelet sets for the whole machine, not for its node.
var tunables = []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes"}

const tunablesFile = "tunables.json"

func tunablePath(name string) string { return filepath.Join("/proc/sys", name) }

// saveTunables notes what the machine has before the kubelet comes: before that
// of the first cluster, where there are more.
func saveTunables(dir string) error {
	if notes := notesOfOthers(dir); len(notes) > 0 {
		return copyFile(filepath.Join(dir, tunablesFile), notes[0])
	}
	values := map[string]string{}
	for _, name := range tunables {
		text, err := os.ReadFile(tunablePath(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot note the machine's settings: %w", err)
		}
		values[name] = strings.TrimSpace(string(text))
	}
	if err := os.WriteFile(filepath.Join(dir, tunablesFile), []byte(asJSON(values)), 0o600); err != nil {
		return fmt.Errorf("cannot note the machine's settings: %w", err)
	}
	return nil
}

// notesOfOthers finds what other clusters on this machine noted.
func notesOfOthers(dir string) []string {
	notes, err := filepath.Glob(filepath.Join(filepath.Dir(dir), nodesPrefix+"*", tunablesFile))
	if err != nil {
		return nil // a pattern of ours is none that is bad
	}
	return slices.DeleteFunc(notes, func(path string) bool { return filepath.Dir(path) == dir })
}

// restoreTunables gives the machine back what it had, when the last cluster goes.
// No note is nothing to do.
func restoreTunables(dir string) error {
	path := filepath.Join(dir, tunablesFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err == nil {
		err = json.Unmarshal(text, &values)
	}
	if err != nil {
		return fmt.Errorf("cannot restore the machine's settings: %w", err)
	}
	if len(notesOfOthers(dir)) > 0 {
		values = nil
	}
	for name, value := range values {
		now, err := os.ReadFile(tunablePath(name))
		if err == nil && strings.TrimSpace(string(now)) != value {
			err = os.WriteFile(tunablePath(name), []byte(value), 0o644)
		}
		if err != nil {
			return fmt.Errorf("cannot restore the machine's settings: %w", err)
		}
	}
	return os.Remove(path)
}

// clearRemains takes away what a cluster left whose supervisor was killed. The
// namespaces, with their mounts and links, go with the last process.
func clearRemains(dir, name string, out io.Writer) error {
	group, err := openCgroup(name)
	if err != nil {
		return err
	}
	if left := group.processes(); len(left) > 0 {
		fmt.Fprintf(out, "ending %d process(es) that a killed cluster left\n", len(left))
	}
	if err := errors.Join(group.remove(patience), restoreTunables(dir)); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot clear the cluster's folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == "lock" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return fmt.Errorf("cannot clear the cluster's folder: %w", err)
		}
	}
	return nil
}

// placePrograms puts programs into a folder under their plain names, which CNI
// needs, as links where the file system allows it.
func placePrograms(dir string, binaries map[string]string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the programs' folder: %w", err)
	}
	for name, path := range binaries {
		to := filepath.Join(dir, name)
		if os.Link(path, to) == nil {
			continue
		}
		if err := copyFile(to, path); err != nil {
			return fmt.Errorf("cannot place program %s: %w", name, err)
		}
	}
	return nil
}

func copyFile(to, from string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer target.Close()
	_, err = io.Copy(target, source)
	return err
}
