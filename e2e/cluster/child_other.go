//go:build !linux

package main

import "syscall"

// dieWithParent keeps a child from the terminal's Ctrl-C. Only Linux can end it
// with its parent.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
