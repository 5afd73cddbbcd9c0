package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// downLimit is how long a supervisor may take to stop its cluster.
const downLimit = time.Minute

var errNone = errors.New("no cluster with nodes is running: start one with `cluster up -nodes 1 -detach`")

func runNodesCommand(ctx context.Context, command string, args []string) error {
	name, err := nodesName()
	if err != nil {
		return err
	}
	dir := nodesDir(name)
	switch command {
	case "down":
		return runDown(ctx, name, args)
	case "status":
		return runStatus(dir, args)
	case "load":
		return runLoad(ctx, dir, args)
	case "link":
		return runLink(ctx, dir, args)
	default:
		return runExec(dir, args)
	}
}

// running gives what the running cluster wrote down.
func running(dir string) (*started, error) {
	if !inUse(dir) {
		return nil, errNone
	}
	s, err := readState(dir)
	if err == nil && s == nil {
		err = errors.New("the cluster with nodes is only starting, or stopping")
	}
	return s, err
}

// inUse tells whether a folder's owner lives, without claiming it.
func inUse(dir string) bool {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

func runDown(ctx context.Context, name string, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown argument %q", args[0])}
	}
	start, path := time.Now(), nodesDir(name)
	if inUse(path) {
		if err := stopSupervisor(ctx, path); err != nil {
			return err
		}
	}
	// One that stopped in order has left nothing.
	if exists(path) {
		dir, err := claimDir(path)
		if err != nil {
			return fmt.Errorf("cannot clear up after the cluster: %w", err)
		}
		if err := errors.Join(clearRemains(path, name, os.Stderr), dir.remove()); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "no cluster with nodes is left, after %.1f s\n", time.Since(start).Seconds())
	return nil
}

// stopSupervisor asks the supervisor to stop its cluster, and ends it when that
// takes too long.
func stopSupervisor(ctx context.Context, dir string) error {
	pid, err := owner(dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, downLimit)
	defer cancel()
	shown := progress{out: os.Stderr, start: time.Now(), about: 5 * time.Second, what: "stopping the cluster"}
	return shown.during(func() error {
		_ = syscall.Kill(pid, syscall.SIGTERM) // it may be gone by now
		for inUse(dir) {
			select {
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.Canceled) {
					return ctx.Err()
				}
				_ = syscall.Kill(pid, syscall.SIGKILL)
				return nil
			case <-time.After(20 * time.Millisecond):
			}
		}
		return nil
	})
}

func runStatus(dir string, args []string) error {
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := flags.Bool("json", false, "")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	if flags.NArg() > 0 {
		return usageError{fmt.Errorf("unknown argument %q", flags.Arg(0))}
	}
	if reason, err := os.ReadFile(filepath.Join(dir, endedFile)); err == nil {
		return fmt.Errorf("the cluster ended by itself; its logs are below %s until `cluster down`\n%s", dir, reason)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read the cluster's state: %w", err)
	}
	s, err := running(dir)
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	fmt.Printf("export KUBECONFIG=%s\nalias kubectl=%s\n", s.Kubeconfig, s.Kubectl)
	for _, n := range s.Nodes {
		fmt.Printf("# %s: %s, pods %s\n", n.Name, n.Address, n.Pods)
	}
	return nil
}

func runLoad(ctx context.Context, dir string, paths []string) error {
	if len(paths) == 0 {
		return usageError{errors.New("load needs image files, as docker save or buildah push docker-archive: write them")}
	}
	s, err := running(dir)
	if err != nil {
		return err
	}
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("cannot load an image: %w", err)
		}
		shown := progress{out: os.Stderr, start: time.Now(), about: importTime(info.Size())}
		shown.what = fmt.Sprintf("%d/%d %s into %d node(s)", i+1, len(paths), filepath.Base(path), len(s.Nodes))
		if err := shown.during(func() error { return s.load(ctx, path) }); err != nil {
			return err
		}
	}
	return nil
}

// importTime is about how long an image takes, on 2 cores.
func importTime(bytes int64) time.Duration {
	const second = 100 << 20 // of bytes
	return time.Duration(1+bytes/second) * time.Second
}

// load imports an image into all nodes at once.
func (s *started) load(ctx context.Context, path string) error {
	loaded := make(chan error, len(s.Nodes))
	for _, n := range s.Nodes {
		go func() { loaded <- importImage(ctx, filepath.Join(s.Folder, "bin", "ctr"), n.Container, path) }()
	}
	var err error
	for range s.Nodes {
		err = errors.Join(err, <-loaded)
	}
	return err
}

func runLink(ctx context.Context, dir string, args []string) error {
	if len(args) != 2 || args[1] != "up" && args[1] != "down" {
		return usageError{errors.New("link needs a node and up or down")}
	}
	s, err := running(dir)
	if err != nil {
		return err
	}
	n, err := s.node(args[0])
	if err != nil {
		return err
	}
	first := s.Nodes[0]
	if n.Name == first.Name {
		return usageError{fmt.Errorf("cannot take %s off the network: the control plane is on it", n.Name)}
	}
	// The link is named after the node where the first one sees it.
	output, err := exec.CommandContext(ctx, systemProgram("nsenter"), "--net="+first.Network, systemProgram("ip"), "link", "set", n.Name, args[1]).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot set the link of %s: %w: %s", n.Name, err, output)
	}
	return nil
}

func (s *started) node(name string) (nodeState, error) {
	names := make([]string, 0, len(s.Nodes))
	for _, n := range s.Nodes {
		if n.Name == name {
			return n, nil
		}
		names = append(names, n.Name)
	}
	return nodeState{}, usageError{fmt.Errorf("unknown node %q: want %s", name, strings.Join(names, " or "))}
}

// runExec becomes the command, so that signals and the exit code are its own.
func runExec(dir string, args []string) error {
	flags := flag.NewFlagSet("exec", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	name := flags.String("node", "node-1", "")
	if err := flags.Parse(args); err != nil {
		return usageError{err}
	}
	if flags.NArg() == 0 {
		return usageError{errors.New("exec needs a command")}
	}
	s, err := running(dir)
	if err != nil {
		return err
	}
	n, err := s.node(*name)
	if err != nil {
		return err
	}
	command := slices.Concat([]string{"nsenter", "--net=" + n.Network, "--"}, flags.Args())
	return fmt.Errorf("cannot run nsenter: %w", syscall.Exec(systemProgram("nsenter"), command, os.Environ()))
}
