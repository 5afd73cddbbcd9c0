package main

import (
	"errors"
	"io"
	"net"
	"testing"
)

func TestForwardPassesBothWaysAndTheEnd(t *testing.T) {
	server, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // answers what it was sent, once it has all of it
		connection, err := server.Accept()
		if err != nil {
			return
		}
		defer connection.Close()
		text, err := io.ReadAll(connection)
		if err == nil {
			_, _ = connection.Write(append([]byte("you said "), text...))
		}
	}()
	door, err := forward(t.Context(), func() (net.Conn, error) {
		return (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Addr().String())
	})
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if _, err := connection.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(connection); err != nil || string(answer) != "you said hello" {
		t.Errorf("got %q (%v)", answer, err)
	}
}

func TestForwardWithoutAServerClosesTheConnection(t *testing.T) {
	door, err := forward(t.Context(), func() (net.Conn, error) { return nil, errors.New("nobody there") })
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", door.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	if n, err := connection.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("want the end of the connection, got %d, %v", n, err)
	}
}
