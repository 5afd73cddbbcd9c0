package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"
)

// nodesName is that of a cluster with nodes on its machine: of its folder and of
// its control groups. The variable CLUSTER tells several apart.
func nodesName() (string, error) {
	name := os.Getenv("CLUSTER")
	switch {
	case name == "":
		return nodesPrefix, nil
	case clusterName.MatchString(name):
		return nodesPrefix + "-" + name, nil
	default:
		return "", usageError{fmt.Errorf("CLUSTER is %q: want up to 20 small letters, digits and dashes", name)}
	}
}

const nodesPrefix = "h2o-webhook-nodes"

// clusterName keeps the paths of sockets in the folder short enough.
var clusterName = regexp.MustCompile(`^[a-z0-9][-a-z0-9]{0,19}$`)

// nodesDir is a cluster's folder: a fixed one, so that its commands find it, and
// not below /run or /var/lib, which the nodes have their own of.
func nodesDir(name string) string { return filepath.Join("/var/tmp", name) }

const dirPrefix = "h2o-webhook-cluster-"

// runDir is the folder of one running cluster. Its owner holds a lock in it, so
// that a folder whose owner was killed can be told and swept.
type runDir struct {
	path   string
	unlock func()
}

func newRunDir(ctx context.Context, parent string) (*runDir, error) {
	sweep(parent)
	path, err := os.MkdirTemp(parent, dirPrefix)
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the cluster: %w", err)
	}
	unlock, err := lockFile(ctx, filepath.Join(path, "lock"), func() {})
	if err != nil {
		_ = os.RemoveAll(path)
		return nil, err
	}
	return &runDir{path: path, unlock: unlock}, nil
}

// errInUse says that a folder's owner lives.
var errInUse = errors.New("in use")

// claimDir makes a folder of a fixed name, or takes over one whose owner is gone.
func claimDir(path string) (*runDir, error) {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make a folder for the cluster: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for the cluster: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Geteuid() {
		return nil, fmt.Errorf("cannot use %s: it is not a folder of this user", path)
	}
	name := filepath.Join(path, "lock")
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	if !tryLock(lock) || !isNow(lock, name) {
		_ = lock.Close()
		return nil, errInUse
	}
	if err := writePID(lock); err != nil {
		return nil, fmt.Errorf("cannot write the lock: %w", err)
	}
	return &runDir{path: path, unlock: func() { _ = lock.Close() }}, nil
}

// tryLock takes a lock that nobody holds, but for the moment in which somebody
// else looks whether it is held.
func tryLock(lock *os.File) bool {
	for range 10 {
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)
	return err
}

// owner is the process that holds the lock of a folder in use.
func owner(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "lock"))
	if err != nil {
		return 0, fmt.Errorf("cannot find the cluster's supervisor: %w", err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0, fmt.Errorf("cannot find the cluster's supervisor: %w", err)
	}
	return pid, nil
}

// isNow tells whether an open file is still the one of that name: its owner may
// have removed it while we opened it.
func isNow(file *os.File, name string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(name)
	return err == nil && os.SameFile(opened, named)
}

func (d *runDir) remove() error {
	defer d.unlock()
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("cannot remove the cluster's folder: %w", err)
	}
	return nil
}

// sweep removes the folders of clusters whose owners are gone. What cannot be
// removed is another user's or somebody else's at work: it stays.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = lock.Close()
	}
}
