package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// upDetached starts a supervisor of its own session with the same flags, shows
// its progress, and leaves it when the cluster is ready.
func upDetached(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot start the supervisor: %w", err)
	}
	supervisor := exec.Command(self, append([]string{"up", "-detached"}, args...)...) //nolint:noctx // it outlives this process
	supervisor.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	supervisor.Stderr = os.Stderr // a file is handed on as it is: there is nothing to copy
	stdout, err := supervisor.StdoutPipe()
	if err == nil {
		err = supervisor.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot start the supervisor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = supervisor.Process.Signal(syscall.SIGTERM) })
	defer stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = supervisor.Wait() // it has said why
		return errSaid
	}
	fmt.Print(line)
	return nil
}

// letGo closes what the supervisor has of the process that started it, whose
// reader would else wait for the end of the cluster.
func letGo(log string) error {
	file, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("cannot make the supervisor's log: %w", err)
	}
	defer file.Close()
	for _, to := range []*os.File{os.Stdout, os.Stderr} {
		if err := syscall.Dup3(int(file.Fd()), int(to.Fd()), 0); err != nil {
			return fmt.Errorf("cannot leave the terminal: %w", err)
		}
	}
	return nil
}
