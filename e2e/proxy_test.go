package e2e

import (
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// wire is a way to the API server that can be cut.
type wire struct {
	*testing.T
	listener net.Listener
	target   string
	lock     sync.Mutex
	open     []net.Conn
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{T: t, listener: listener, target: target}
	t.Cleanup(func() {
		_ = listener.Close()
		w.cut()
	})
	go w.run()
	return w
}

func (w *wire) run() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return // closed
		}
		far, err := new(net.Dialer).DialContext(w.Context(), "tcp", w.target)
		if err != nil {
			_ = near.Close()
			continue
		}
		w.lock.Lock()
		w.open = append(w.open, near, far)
		w.lock.Unlock()
		go func() { _, _ = io.Copy(near, far) }()
		go func() { _, _ = io.Copy(far, near) }()
	}
}

// cut ends all connections, and says how many there were.
func (w *wire) cut() int {
	w.lock.Lock()
	defer w.lock.Unlock()
	n := len(w.open) / 2
	for _, c := range w.open {
		_ = c.Close()
	}
	w.open = nil
	return n
}

// TestStatusFollowsOverALostConnection proves that -w goes on by itself.
func TestStatusFollowsOverALostConnection(t *testing.T) {
	e := newTest(t)
	e.kubectl(managed, "apply", "-f", "-")
	e.phase("demo", life.PhasePending)
	w := newWire(t, strings.TrimPrefix(cluster.Config.Host, "https://"))
	cmd, _, problems := e.command("status", "-w", "--server", "https://"+w.listener.Addr().String())
	said := &harness.Output{}
	cmd.Stdout = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.eventually("the first row", said.Has("Pending"))
	if w.cut() == 0 {
		t.Fatal("there was no connection to cut")
	}
	e.kubectl("", "scale", "statefulset", "demo", "--replicas=0")
	e.eventually("a row of what changed meanwhile", said.Has("Stopped"))
	e.kubectl("", "delete", "statefulset", "demo")
	e.eventually("a row of its end", said.Has("it was deleted"))
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := e.code(cmd.Wait()); code != 0 || strings.Contains(problems.String(), ".go:") {
		t.Errorf("want exit code 0, since there is no cluster any more, and no log of a library's, got %d and\n%s", code, problems)
	}
}
