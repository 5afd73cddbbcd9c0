package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// holdFor is how long a connection waits for a leader: old nodes may take 30 s
	// to end, and new ones three times their usual 9 s to form.
	holdFor = time.Minute
	// dialAgain is when a leader that cannot be reached is tried again.
	dialAgain = 500 * time.Millisecond
)

// Leader is the pod that leads; the zero value is nobody. A pod that is made
// anew under the same name is another.
type Leader struct {
	Pod string
	UID types.UID
}

// Connection is a way to one pod.
type Connection interface {
	// Stream opens a connection to the pod's port.
	Stream() (Stream, error)
	// Done is closed when the way is no more.
	Done() <-chan struct{}
	Close()
}

// Stream is one connection through a way. Close ends only what is written.
type Stream interface {
	io.ReadWriteCloser
	// End gives it back, and says what went wrong at the other end.
	End() error
}

// Forwarder leads connections to the leader.
type Forwarder struct {
	// Dial opens a way to a pod.
	Dial func(ctx context.Context, pod string) (Connection, error)
	// Say gets a line when something happens that a person should know.
	Say func(string)

	lock    sync.Mutex
	leader  Leader
	changed chan struct{} // closed when the leader changes
	way     Connection    // to the leader; nil before the first use
	problem string        // the last one said
	dialing sync.Mutex    // one at a time
}

// New makes a forwarder that knows of no leader yet.
func New(dial func(context.Context, string) (Connection, error), say func(string)) *Forwarder {
	return &Forwarder{Dial: dial, Say: say, changed: make(chan struct{})}
}

// Lead tells who leads now. Connections to a former leader end: it holds
// nothing any more that a client could want.
func (f *Forwarder) Lead(leader Leader) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if leader == f.leader {
		return
	}
	f.leader, f.problem = leader, ""
	f.dropWay()
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Forwarder) dropWay() {
	if f.way != nil {
		f.way.Close()
		f.way = nil
	}
}

// Serve takes connections until the context ends, then ends them all.
func (f *Forwarder) Serve(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer f.Lead(Leader{})
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		local, err := listener.Accept()
		if err == nil && ctx.Err() != nil {
			_ = local.Close() // it came while we end
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot take connections: %w", err)
		}
		open.Go(func() { f.serve(ctx, local) })
	}
}

// serve leads one connection to whoever leads, or will in a while.
func (f *Forwarder) serve(ctx context.Context, local net.Conn) {
	defer local.Close()
	waiting, cancel := context.WithTimeout(ctx, holdFor)
	defer cancel()
	stream, err := f.open(waiting)
	if err != nil {
		if ctx.Err() == nil {
			f.Say(fmt.Sprintf("a connection was ended after %s: %v", holdFor, err))
		}
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = local.Close() })
	defer stop()
	join(local, stream)
	if err := stream.End(); err != nil && ctx.Err() == nil {
		f.Say(fmt.Sprintf("a connection ended: %v", err))
	}
}

// open opens a stream to the leader, and waits for one where there is none.
func (f *Forwarder) open(ctx context.Context) (Stream, error) {
	last := errors.New("there is no leader")
	for {
		f.lock.Lock()
		leader, changed := f.leader, f.changed
		f.lock.Unlock()
		var again <-chan time.Time
		if leader.Pod != "" {
			stream, err := f.openTo(ctx, leader)
			if err == nil {
				return stream, nil
			}
			last = fmt.Errorf("cannot reach pod %s: %w", leader.Pod, err)
			f.sayProblem(ctx, last)
			again = time.After(dialAgain)
		}
		select {
		case <-ctx.Done():
			return nil, last
		case <-changed:
		case <-again:
		}
	}
}

// sayProblem says what goes wrong when it begins, and not at every try.
func (f *Forwarder) sayProblem(ctx context.Context, problem error) {
	f.lock.Lock()
	news := ctx.Err() == nil && f.problem != problem.Error()
	f.problem = problem.Error()
	f.lock.Unlock()
	if news {
		f.Say(problem.Error() + "; trying again")
	}
}

func (f *Forwarder) openTo(ctx context.Context, leader Leader) (Stream, error) {
	way, err := f.wayTo(ctx, leader)
	if err != nil {
		return nil, err
	}
	stream, err := way.Stream()
	if err != nil {
		way.Close() // so that another is opened the next time
		return nil, err
	}
	return stream, nil
}

// wayTo gives the way to a leader, a new one where the last is no more.
func (f *Forwarder) wayTo(ctx context.Context, leader Leader) (Connection, error) {
	f.dialing.Lock()
	defer f.dialing.Unlock()
	f.lock.Lock()
	way := f.way
	f.lock.Unlock()
	if way != nil {
		select {
		case <-way.Done():
		default:
			return way, nil
		}
	}
	way, err := f.Dial(ctx, leader.Pod)
	if err != nil {
		return nil, err
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.leader != leader {
		way.Close()
		return nil, errors.New("it does not lead any more")
	}
	f.dropWay()
	f.way = way
	return way, nil
}

// join copies both ways until the pod has said everything, or the client is gone.
func join(local net.Conn, stream Stream) {
	said, failed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(said)
		_, _ = io.Copy(local, stream) // either end may go at any time
	}()
	go func() {
		_, err := io.Copy(stream, local)
		_ = stream.Close()
		if err != nil {
			close(failed)
		}
	}()
	select {
	case <-said:
	case <-failed:
	}
}
