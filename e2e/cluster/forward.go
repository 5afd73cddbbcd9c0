package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// forward passes connections to a free loopback port of the machine on to where
// dial leads, until the listener is closed.
func forward(ctx context.Context, dial func() (net.Conn, error)) (net.Listener, error) {
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot listen for the cluster: %w", err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(10 * time.Millisecond) // short of files: that passes
				continue
			}
			go func() {
				defer client.Close()
				server, err := dial()
				if err != nil {
					return // the client sees its connection closed
				}
				defer server.Close()
				join(client, server)
			}()
		}
	}()
	return listener, nil
}

// join copies both ways and passes on the end of each.
func join(a, b net.Conn) {
	done := make(chan struct{})
	pass := func(to, from net.Conn) {
		defer func() { done <- struct{}{} }()
		_, _ = io.Copy(to, from) // a broken connection is an end too
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}
	go pass(a, b)
	go pass(b, a)
	<-done
	<-done
}
