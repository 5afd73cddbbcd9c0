package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// debian names the package of each program that nodes take from the system.
var debian = []struct{ program, pkg string }{
	{"runc", "runc"}, {"iptables", "iptables"}, {"conntrack", "conntrack"}, {"ip", "iproute2"}, {"nsenter", "util-linux"},
}

// checkMachine tells all that nodes need and this machine lacks, in one line.
func checkMachine() error {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	if packages := missingPackages(onPath); len(packages) > 0 {
		missing = append(missing, fmt.Sprintf("%s (apt-get install -y %s)", strings.Join(packages, ", "), strings.Join(packages, " ")))
	}
	if modules := missingModules(); len(modules) > 0 {
		missing = append(missing, fmt.Sprintf("kernel modules (modprobe -a %s)", strings.Join(modules, " ")))
	}
	if !exists("/sys/fs/cgroup") {
		missing = append(missing, "control groups at /sys/fs/cgroup")
	}
	if len(missing) > 0 {
		return errors.New("nodes need what is missing here: " + strings.Join(missing, "; "))
	}
	return nil
}

func missingPackages(has func(program string) bool) []string {
	var packages []string
	for _, d := range debian {
		if !has(d.program) {
			packages = append(packages, d.pkg)
		}
	}
	return packages
}

func onPath(program string) bool { return systemProgram(program) != "" }

// systemProgram finds a program where Debian puts it: a user's own path may lack
// the folders of root's programs.
func systemProgram(name string) string {
	for _, dir := range filepath.SplitList(programPath) {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return ""
}

// missingModules are the parts of the kernel that are neither built in nor could
// be loaded.
func missingModules() []string {
	var missing []string
	if !exists("/proc/sys/net/bridge") && !loads("br_netfilter") {
		missing = append(missing, "br_netfilter")
	}
	filesystems, err := os.ReadFile("/proc/filesystems")
	if errors.Is(err, fs.ErrNotExist) || !strings.Contains(string(filesystems), "\toverlay\n") && !loads("overlay") {
		missing = append(missing, "overlay")
	}
	return missing
}

func loads(module string) bool {
	return exec.Command("modprobe", module).Run() == nil //nolint:noctx // it ends at once
}
