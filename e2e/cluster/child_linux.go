package main

import "syscall"

// dieWithParent keeps a child from the terminal's Ctrl-C, so that it is stopped
// in order, and ends it when this process is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
