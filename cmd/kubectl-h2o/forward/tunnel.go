package forward

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Tunnels dials pods of a namespace through the API server, as kubectl
// port-forward does: over a WebSocket, or over SPDY where the server or
// something before it knows no other way.
func Tunnels(config *rest.Config, namespace string, port int32) (func(context.Context, string) (Connection, error), error) {
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client: %w", err)
	}
	return func(ctx context.Context, pod string) (Connection, error) {
		url := kube.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
		overWebSocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, config)
		if err != nil {
			return nil, err
		}
		overSPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
		dialer := portforward.NewFallbackDialerForStreaming(overWebSocket, overSPDY, func(err error) bool {
			return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
		})
		return dial(ctx, dialer, port)
	}, nil
}

// dial opens a tunnel; a dialer knows no context, so one that comes too late is
// closed again.
func dial(ctx context.Context, dialer httpstream.Dialer, port int32) (Connection, error) {
	type dialled struct {
		tunnel Connection
		err    error
	}
	done := make(chan dialled, 1)
	go func() {
		connection, protocol, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
		if err == nil && protocol != portforward.PortForwardProtocolV1Name {
			_ = connection.Close()
			err = fmt.Errorf("the API server speaks %q and not %q", protocol, portforward.PortForwardProtocolV1Name)
		}
		if err != nil {
			done <- dialled{nil, err}
			return
		}
		done <- dialled{newTunnel(connection, port), nil}
	}()
	select {
	case d := <-done:
		return d.tunnel, d.err
	case <-ctx.Done():
		go func() {
			if d := <-done; d.err == nil {
				d.tunnel.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// tunnel is a connection to a pod through the API server.
type tunnel struct {
	connection httpstream.Connection
	port       string
	requests   atomic.Int64
	done       chan struct{}
	end        sync.Once
}

func newTunnel(connection httpstream.Connection, port int32) *tunnel {
	t := &tunnel{connection: connection, port: strconv.Itoa(int(port)), done: make(chan struct{})}
	go func() {
		<-connection.CloseChan()
		t.Close()
	}()
	return t
}

func (t *tunnel) Done() <-chan struct{} { return t.done }

func (t *tunnel) Close() {
	t.end.Do(func() {
		close(t.done)
		_ = t.connection.Close()
	})
}

// Stream opens the two streams that make a forwarded connection: one for data,
// one on which the kubelet says what went wrong.
// Source: k8s.io/client-go tools/portforward.
func (t *tunnel) Stream() (Stream, error) {
	headers := http.Header{}
	headers.Set(corev1.PortHeader, t.port)
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.FormatInt(t.requests.Add(1), 10))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	problems, err := t.connection.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("cannot open a stream: %w", err)
	}
	_ = problems.Close() // nothing is written there
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := t.connection.CreateStream(headers)
	if err != nil {
		t.connection.RemoveStreams(problems)
		return nil, fmt.Errorf("cannot open a stream: %w", err)
	}
	s := &stream{Stream: data, tunnel: t, problems: problems, told: make(chan error, 1)}
	go s.listen()
	return s, nil
}

// stream is one forwarded connection.
type stream struct {
	httpstream.Stream
	tunnel   *tunnel
	problems httpstream.Stream
	told     chan error
}

// listen waits for what the other end says went wrong.
func (s *stream) listen() {
	text, err := io.ReadAll(s.problems)
	if err == nil && len(text) > 0 {
		err = errors.New(string(text))
	}
	s.told <- err
}

// End resets the data, which frees what was not read and lets the other end
// close its side of the problems.
func (s *stream) End() error {
	_ = s.Reset()
	var err error
	select {
	case err = <-s.told:
	case <-s.tunnel.Done():
	}
	s.tunnel.connection.RemoveStreams(s.Stream, s.problems)
	if err != nil {
		s.tunnel.Close() // as kubectl does: what follows would fail too
	}
	return err
}
