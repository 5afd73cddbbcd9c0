package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
)

// podRange holds the addresses of all pods. They are the machine's own, in a
// network namespace that has nothing but loopback: Kubernetes refuses 127.0.0.0/8
// for endpoints, and the fence of a restart is proved by its endpoints.
const podRange = "10.128.0.0/10"

// insideVariable tells the program that it is in its own network already.
const insideVariable = "H2O_WEBHOOK_COST_INSIDE"

func init() { runtime.LockOSThread() } // a child ends with the thread that started it

// inOwnNetwork runs this program again in a network namespace of its own, where
// all addresses of pods are local, and returns once that is done. Inside it
// returns at once.
func inOwnNetwork() (inside bool, err error) {
	if os.Getenv(insideVariable) != "" {
		return true, prepareNetwork()
	}
	if os.Geteuid() != 0 {
		return false, errors.New("a network namespace of its own needs root")
	}
	child := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // it is ended by a signal
	child.Env = append(os.Environ(), insideVariable+"=1")
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := child.Start(); err != nil {
		return false, fmt.Errorf("cannot make a network namespace: %w", err)
	}
	go func() {
		for range signals {
			_ = child.Process.Signal(syscall.SIGTERM)
		}
	}()
	err = child.Wait()
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		os.Exit(1) // the child said why
	}
	return false, err
}

func prepareNetwork() error {
	for _, line := range []string{"link set lo up", "route add local " + podRange + " dev lo"} {
		out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput() //nolint:noctx // it ends by itself
		if err != nil {
			return fmt.Errorf("cannot prepare the network: ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}
