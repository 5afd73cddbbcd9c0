//go:build linux

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWrongUp(t *testing.T) {
	for args, want := range map[string]string{
		"-nodes 3":                       "0, 1 or 2",
		"-nodes -1":                      "0, 1 or 2",
		"-detach":                        "with nodes",
		"-cluster-domain a.b":            "with nodes",
		"-nodes 1 -cluster-domain a_b":   "no domain name",
		"-nodes 1 -cluster-domain .b":    "no domain name",
		"-nodes 1 -detach -hold-stdin":   "exclude each other",
		"-nodes 1 more":                  `unknown argument "more"`,
		"-nodes one":                     "invalid value",
		"-nodes 1 -cluster-domain=A.com": "no domain name",
	} {
		_, err := parseUp(strings.Fields(args))
		if _, wrong := errors.AsType[usageError](err); !wrong || !strings.Contains(err.Error(), want) {
			t.Errorf("up %s: want a usage error with %q, got %v", args, want, err)
		}
	}
	o, err := parseUp(strings.Fields("-nodes 2 -cluster-domain h2o.test -detach"))
	if err != nil || o.nodes != 2 || o.domain != "h2o.test" || !o.detach {
		t.Errorf("got %+v (%v)", o, err)
	}
}

func TestSupervisorDoesNotDetachAgain(t *testing.T) {
	o, err := parseUp(append([]string{"-detached"}, strings.Fields("-nodes 1 -detach")...))
	if err != nil || o.detach || !o.detached {
		t.Errorf("got %+v (%v)", o, err)
	}
}

func TestHierarchies(t *testing.T) {
	for name, c := range map[string]struct {
		mounts string
		want   []hierarchy
	}{
		"version 2": {"cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", []hierarchy{{"/sys/fs/cgroup", true}}},
		"hybrid, and one that is elsewhere": {
			"tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\ncgroup /mnt/cpu cgroup rw,cpu 0 0\n",
			[]hierarchy{{"/sys/fs/cgroup/cpu", false}, {"/sys/fs/cgroup/unified", true}},
		},
	} {
		if got := hierarchiesIn(c.mounts); !slices.Equal(got, c.want) {
			t.Errorf("%s: want %v, got %v", name, c.want, got)
		}
	}
}

func TestGroupsAreMadeAndTakenAway(t *testing.T) {
	cpuset, unified := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{
		cpuset + "/cpuset.cpus": "0-1\n", cpuset + "/cpuset.mems": "0\n", unified + "/cgroup.controllers": "memory pids\n", unified + "/cgroup.subtree_control": "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range []hierarchy{{cpuset, false}, {unified, true}} {
		if err := makeGroup(h, h.path, filepath.Join(h.path, "g")); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{cpuset + "/g/cpuset.cpus": "0-1", cpuset + "/g/cpuset.mems": "0", unified + "/cgroup.subtree_control": "+pids"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: want %q, got %q (%v)", path, want, got, err)
		}
	}
	g := &cgroup{name: "g", hierarchies: []hierarchy{{unified, true}}}
	if err := os.MkdirAll(filepath.Join(unified, "g", "pod", "container"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.remove(time.Second); err != nil || exists(filepath.Join(unified, "g")) {
		t.Errorf("groups are left: %v", err)
	}
}

func TestRemoveSaysWhatIsLeft(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "g"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "g", "busy"), nil, 0o600); err != nil { // no rmdir succeeds
		t.Fatal(err)
	}
	g := &cgroup{name: "g", hierarchies: []hierarchy{{root, true}}}
	if err := g.remove(time.Millisecond); err == nil || !strings.Contains(err.Error(), "1 control groups below g") {
		t.Errorf("got %v", err)
	}
}

func TestOneOwnerOfAFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cluster")
	if inUse(path) {
		t.Error("a folder that is not there is in use")
	}
	first, err := claimDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimDir(path); !errors.Is(err, errInUse) || !inUse(path) {
		t.Errorf("a second owner: %v", err)
	}
	if pid, err := owner(path); err != nil || pid != os.Getpid() {
		t.Errorf("want %d as the owner, got %d (%v)", os.Getpid(), pid, err)
	}
	first.unlock() // as the kernel does when its owner is killed
	second, err := claimDir(path)
	if err != nil {
		t.Fatalf("the folder of a dead owner cannot be taken over: %v", err)
	}
	if err := second.remove(); err != nil || exists(path) {
		t.Errorf("the folder is left: %v", err)
	}
}

func TestFolderOfOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "cluster")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := claimDir(link); err == nil || errors.Is(err, errInUse) {
		t.Errorf("want a refusal of a link, got %v", err)
	}
}

func TestNamesOfClusters(t *testing.T) {
	for name, want := range map[string]string{"": "h2o-webhook-nodes", "two": "h2o-webhook-nodes-two", "../up": "", "A": "", "a-name-that-is-too-long": ""} {
		t.Setenv("CLUSTER", name)
		got, err := nodesName()
		if _, wrong := errors.AsType[usageError](err); got != want || wrong != (want == "") {
			t.Errorf("CLUSTER=%q: want %q, got %q (%v)", name, want, got, err)
		}
	}
}

func TestMachinesSettingsAreNotedOnce(t *testing.T) {
	parent := t.TempDir()
	first, second := filepath.Join(parent, nodesPrefix), filepath.Join(parent, nodesPrefix+"-two")
	for _, dir := range []string{first, second} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const noted = `{"kernel/panic":"as it was before the first"}`
	if err := os.WriteFile(filepath.Join(first, tunablesFile), []byte(noted), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := saveTunables(second); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(second, tunablesFile)); err != nil || string(got) != noted {
		t.Errorf("want what the first noted, got %s (%v)", got, err)
	}
}

func TestMissingPackages(t *testing.T) {
	got := missingPackages(func(program string) bool { return program != "runc" && program != "ip" })
	if want := []string{"runc", "iproute2"}; !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestAddonsAreFilledIn(t *testing.T) {
	text := addonsOf("h2o.test", 2)
	_, objects, _ := strings.Cut(text, "apiVersion") // after the comment
	if strings.Contains(objects, "$") {
		t.Errorf("a word is left to fill in: %s", objects)
	}
	for _, want := range []string{"kubernetes h2o.test in-addr.arpa", "replicas: 2", "clusterIP: 10.96.0.10"} {
		if !strings.Contains(objects, want) {
			t.Errorf("want %q in the objects", want)
		}
	}
}

func TestProgramsArePlaced(t *testing.T) {
	program, dir := filepath.Join(t.TempDir(), "bridge-v1"), filepath.Join(t.TempDir(), "bin")
	if err := os.WriteFile(program, []byte("x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := placePrograms(dir, map[string]string{"bridge": program}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copied")
	if err := copyFile(copied, program); err != nil { // as between two file systems
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "bridge"), copied} {
		if info, err := os.Stat(path); err != nil || info.Mode()&0o111 == 0 || info.Size() != 1 {
			t.Errorf("%s is no program: %v %v", path, info, err)
		}
	}
}

func TestStateIsKept(t *testing.T) {
	dir := t.TempDir()
	if s, err := readState(dir); s != nil || err != nil {
		t.Errorf("want no state, got %v (%v)", s, err)
	}
	want := started{Kubeconfig: "k", PID: 7, Nodes: []nodeState{{Name: "node-1"}, {Name: "node-2", Address: "192.168.77.2"}}}
	if err := want.write(dir); err != nil {
		t.Fatal(err)
	}
	s, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.node("node-2"); err != nil || n.Address != "192.168.77.2" {
		t.Errorf("got %v (%v)", n, err)
	}
	_, err = s.node("node-3")
	if _, wrong := errors.AsType[usageError](err); !wrong || !strings.Contains(err.Error(), "node-1 or node-2") {
		t.Errorf("want a usage error that names the nodes, got %v", err)
	}
}
