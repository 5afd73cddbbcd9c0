//go:build !linux

package main

import (
	"context"
	"errors"
)

var errLinuxOnly = errors.New("nodes need Linux")

func checkMachine() error { return errLinuxOnly }

func upDetached(context.Context, []string) error { return errLinuxOnly }

func upNodes(context.Context, map[string]string, upOptions, func(started) error) error {
	return errLinuxOnly
}

func runNodesCommand(context.Context, string, []string) error { return errLinuxOnly }
