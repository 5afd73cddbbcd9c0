// Command pause holds a pod's namespaces open until it is told to end. Called
// with words it asks, from inside of a pod, what the tests want to know there:
//
//	pause dial HOST:PORT   connect by TCP, print the address that answered
//	pause srv NAME         print the targets of a name's SRV records
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// patience is how long an answer may take.
const patience = 10 * time.Second

func main() {
	if len(os.Args) == 1 {
		hold()
		return
	}
	if err := ask(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// hold waits for the order to end. It is process 1 where a pod shares its
// processes, and buries them there.
func hold() {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func ask(args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch {
	case len(args) == 2 && args[0] == "dial":
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", args[1])
		if err != nil {
			return err
		}
		defer connection.Close()
		fmt.Println(connection.RemoteAddr())
		return nil
	case len(args) == 2 && args[0] == "srv":
		_, targets, err := net.DefaultResolver.LookupSRV(ctx, "", "", args[1])
		if err != nil {
			return err
		}
		for _, t := range targets {
			fmt.Printf("%s:%d\n", strings.TrimSuffix(t.Target, "."), t.Port)
		}
		return nil
	default:
		return errors.New("want: dial HOST:PORT, or srv NAME")
	}
}
