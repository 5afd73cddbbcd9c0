package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is one running program of the cluster.
type process struct {
	name   string
	cmd    *exec.Cmd
	log    string
	exited chan struct{} // closed when it has ended
}

// starter starts processes from one thread that lives as long as the program:
// the kernel ends a child with the thread that started it (Pdeathsig), which is
// how nothing is left behind even when this program is killed. What the thread
// sees of the machine, its processes see.
type starter struct {
	work   chan func()
	closed chan struct{}
	env    []string                    // of the processes; none for this program's
	attr   func() *syscall.SysProcAttr // of a process
	thread int                         // its id, on Linux
}

func newStarter() *starter {
	s := &starter{work: make(chan func()), closed: make(chan struct{}), attr: dieWithParent}
	go func() {
		runtime.LockOSThread() // and never let go of it: it ends with this function
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.closed:
				return
			}
		}
	}()
	return s
}

// do runs a function on the thread.
func (s *starter) do(f func() error) error {
	failed := make(chan error, 1)
	select {
	case s.work <- func() { failed <- f() }:
		return <-failed
	case <-s.closed:
		return errors.New("the cluster is stopping")
	}
}

// close ends the thread, and with it what it started.
func (s *starter) close() { close(s.closed) }

// start runs a program with its output in a log file.
func (s *starter) start(dir, name, binary string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), exited: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("cannot make the log of %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(binary, args...) //nolint:noctx // it is stopped in order, not by a context
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir, p.cmd.Env = log, log, dir, s.env
	p.cmd.SysProcAttr = s.attr()
	if err := s.do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in its log
		close(p.exited)
	}()
	return p, nil
}

// stop asks a process to end, and ends it when it does not within the patience.
func (p *process) stop(patience time.Duration) {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.exited
	}
}

// failure says that a process ended by itself, with the end of its log.
func (p *process) failure() error {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Errorf("%s ended: %v; its log cannot be read: %w", p.name, p.cmd.ProcessState, err)
	}
	return fmt.Errorf("%s ended: %v; the end of its log:\n%s", p.name, p.cmd.ProcessState, tail(string(log), 20))
}

// wait waits for a condition, and ends early when the process does.
func (p *process) wait(ctx context.Context, what string, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return p.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s not after %s: %w; the last answer: %w", what, limit, ctx.Err(), err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
