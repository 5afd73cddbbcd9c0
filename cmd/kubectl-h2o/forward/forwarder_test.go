package forward_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/forward"
)

// limit is how long anything may take.
const limit = 20 * time.Second

// pods stands in for a cluster's pods and the way to them: each is a server on
// loopback that says its name.
type pods struct {
	lock    sync.Mutex
	servers map[string]*httptest.Server
	ways    []*way
	dials   int
}

func newPods(t *testing.T, names ...string) *pods {
	t.Helper()
	p := &pods{servers: map[string]*httptest.Server{}}
	for _, name := range names {
		p.servers[name] = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		t.Cleanup(p.servers[name].Close)
	}
	return p
}

func (p *pods) dial(_ context.Context, pod string) (forward.Connection, error) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.dials++
	server, has := p.servers[pod]
	if !has {
		return nil, errors.New("no such pod")
	}
	w := &way{address: server.Listener.Addr().String(), done: make(chan struct{})}
	p.ways = append(p.ways, w)
	return w, nil
}

// start has a pod run that was not there.
func (p *pods) start(name string, server *httptest.Server) {
	p.lock.Lock()
	defer p.lock.Unlock()
	p.servers[name] = server
}

func (p *pods) count() (dials int, last *way) {
	p.lock.Lock()
	defer p.lock.Unlock()
	if len(p.ways) == 0 {
		return p.dials, nil
	}
	return p.dials, p.ways[len(p.ways)-1]
}

type way struct {
	address string
	done    chan struct{}
	end     sync.Once
}

func (w *way) Stream() (forward.Stream, error) {
	connection, err := new(net.Dialer).DialContext(context.Background(), "tcp", w.address)
	if err != nil {
		return nil, err
	}
	go func() {
		<-w.done
		_ = connection.Close()
	}()
	return stream{connection.(*net.TCPConn)}, nil
}
func (w *way) Done() <-chan struct{} { return w.done }
func (w *way) Close()                { w.end.Do(func() { close(w.done) }) }

type stream struct{ *net.TCPConn }

func (s stream) Close() error { return s.CloseWrite() }
func (s stream) End() error   { return s.TCPConn.Close() }

// serve runs a forwarder until the test ends, which proves that it does.
func serve(t *testing.T, p *pods) (forwarder *forward.Forwarder, url string, end func()) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forwarder = forward.New(p.dial, func(line string) { t.Log(line) })
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- forwarder.Serve(ctx, listener) }()
	end = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("want a clean end, got %v", err)
			}
		case <-time.After(limit):
			t.Error("it does not end")
		}
	})
	t.Cleanup(end)
	return forwarder, "http://" + listener.Addr().String(), end
}

// ask asks who answers, over a connection of its own or a kept one.
func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return string(text), err
}

func want(t *testing.T, client *http.Client, url, name string) {
	t.Helper()
	if got, err := ask(t.Context(), client, url); err != nil || got != name {
		t.Errorf("want %s to answer, got %q, %v", name, got, err)
	}
}

// wantSoon waits until a pod answers: connections to a former leader end, but not
// before the call that tells of the new one returns.
func wantSoon(t *testing.T, client *http.Client, url, name string) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		got, err := ask(t.Context(), client, url)
		if err == nil && got == name {
			return
		}
		if time.Now().After(end) {
			t.Errorf("want %s to answer, got %q, %v", name, got, err)
			return
		}
	}
}

func TestFollowsTheLeader(t *testing.T) {
	p := newPods(t, "demo-0", "demo-1")
	forwarder, url, _ := serve(t, p)
	client := &http.Client{Transport: &http.Transport{}} // it keeps connections, as clients of H2O do
	defer client.CloseIdleConnections()
	forwarder.Lead(forward.Leader{Pod: "demo-0", UID: "a"})
	for range 3 {
		want(t, client, url, "demo-0")
	}
	if dials, _ := p.count(); dials != 1 {
		t.Errorf("want one way for all connections, got %d", dials)
	}
	forwarder.Lead(forward.Leader{Pod: "demo-1", UID: "b"})
	wantSoon(t, client, url, "demo-1")
	forwarder.Lead(forward.Leader{Pod: "demo-1", UID: "c"}) // made anew under its name
	client.CloseIdleConnections()
	want(t, client, url, "demo-1")
	if dials, _ := p.count(); dials != 3 {
		t.Errorf("want a way to each leader, got %d", dials)
	}
}

func TestHoldsWhileNobodyLeads(t *testing.T) {
	p := newPods(t, "demo-0")
	forwarder, url, _ := serve(t, p)
	got := make(chan error, 1)
	go func() {
		name, err := ask(t.Context(), &http.Client{Transport: &http.Transport{}}, url)
		if err == nil && name != "demo-0" {
			err = fmt.Errorf("%s answered", name)
		}
		got <- err
	}()
	forwarder.Lead(forward.Leader{Pod: "demo-9", UID: "x"}) // cannot be reached
	tried(t, p, got)
	forwarder.Lead(forward.Leader{})
	forwarder.Lead(forward.Leader{Pod: "demo-0", UID: "a"})
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// tried waits until a pod was dialled, and fails if the client has an answer by then.
func tried(t *testing.T, p *pods, got <-chan error) {
	t.Helper()
	for {
		if dials, _ := p.count(); dials > 0 {
			return
		}
		select {
		case err := <-got:
			t.Fatalf("want the connection held, got %v", err)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestALeaderThatComesUpLate(t *testing.T) {
	p, late := newPods(t), newPods(t, "demo-0")
	forwarder, url, _ := serve(t, p)
	forwarder.Lead(forward.Leader{Pod: "demo-0", UID: "a"})
	got := make(chan error, 1)
	go func() {
		_, err := ask(t.Context(), &http.Client{Transport: &http.Transport{}}, url)
		got <- err
	}()
	tried(t, p, got)
	p.start("demo-0", late.servers["demo-0"])
	if err := <-got; err != nil {
		t.Errorf("want it tried again, got %v", err)
	}
}

func TestALostWayIsOpenedAgain(t *testing.T) {
	p := newPods(t, "demo-0")
	forwarder, url, _ := serve(t, p)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	forwarder.Lead(forward.Leader{Pod: "demo-0", UID: "a"})
	want(t, client, url, "demo-0")
	_, lost := p.count()
	lost.Close()
	want(t, client, url, "demo-0")
	if dials, _ := p.count(); dials != 2 {
		t.Errorf("want a second way, got %d", dials)
	}
}

func TestEndsWithConnectionsOpen(t *testing.T) {
	p := newPods(t, "demo-0")
	forwarder, url, end := serve(t, p)
	dial := func() net.Conn {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", url[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	held := dial() // nobody leads
	defer held.Close()
	forwarder.Lead(forward.Leader{Pod: "demo-0", UID: "a"})
	want(t, &http.Client{Transport: &http.Transport{}}, url, "demo-0")
	idle := dial()
	defer idle.Close()
	end()
	for _, c := range []net.Conn{held, idle} {
		if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("want the connection ended, got %v", err)
		}
	}
}
