package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

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
