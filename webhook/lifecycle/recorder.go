package lifecycle

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/reference"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// maxNote is how long the note of an Event may be, in bytes.
	// Source: k8s.io/kubernetes pkg/apis/core/validation/events.go, NoteLengthLimit.
	maxNote = 1024
	// maxQueued is how many Events may wait to be written; there are five in the
	// first minute of a cluster, and more than a hundred are written a second.
	maxQueued = 2048
	// lastEvents is how long a process that ends goes on writing those that wait.
	lastEvents = 3 * time.Second
)

// eventTries is how often an Event is tried to be written while the API server
// does not answer: for about a minute.
var eventTries = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: 8}

// recorder writes Events, in order and one object for each, while others go on.
// client-go's folds those of one reason into a series that repeats the words of
// the first, so what a second loss was would be lost; and it remembers each for
// minutes, which made a quarter of our memory.
type recorder struct {
	client   client.Client
	instance string
	queue    chan *eventsv1.Event
}

func newRecorder(c client.Client) *recorder {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &recorder{client: c, instance: fieldOwner + "-" + host, queue: make(chan *eventsv1.Event, maxQueued)}
}

// event tells the user of an object what was done or is wrong; related is the
// Service that it is about, nil for none. Where more wait than are written, it is
// dropped and logged.
func (r *recorder) event(ctx context.Context, object, related runtime.Object, kind, reason, note string) {
	event, err := r.build(object, related, kind, reason, note)
	if err != nil {
		log.FromContext(ctx).Error(err, "event dropped", "reason", reason, "note", note)
		return
	}
	select {
	case r.queue <- event:
	default:
		log.FromContext(ctx).Info("event dropped: too many wait", "reason", reason, "note", note)
	}
}

func (r *recorder) build(object, related runtime.Object, kind, reason, note string) (*eventsv1.Event, error) {
	about, err := reference.GetReference(r.client.Scheme(), object)
	if err != nil {
		return nil, fmt.Errorf("cannot refer to what an event is about: %w", err)
	}
	now := time.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: about.Namespace, Name: fmt.Sprintf("%s.%x", about.Name, now.UnixNano())},
		EventTime:  metav1.NewMicroTime(now), ReportingController: fieldOwner, ReportingInstance: r.instance,
		Type: kind, Reason: reason, Action: "Inject", Note: cut(note, maxNote), Regarding: *about,
	}
	if related != nil {
		event.Action = "Reconcile"
		if event.Related, err = reference.GetReference(r.client.Scheme(), related); err != nil {
			return nil, fmt.Errorf("cannot refer to what an event is related to: %w", err)
		}
	}
	return event, nil
}

// cut shortens a text to so many bytes, and leaves whole characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "")
}

// Start writes what is queued until the manager stops, and then what still waits.
// Only the elected replica has something to tell.
func (r *recorder) Start(ctx context.Context) error {
	writing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastEvents, cancel) })()
	for writing.Err() == nil {
		select {
		case event := <-r.queue:
			r.write(writing, event)
			continue
		default:
		}
		select {
		case event := <-r.queue:
			r.write(writing, event)
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// write makes one Event. One that the server refuses, as in a namespace that is
// about to go, is not tried again.
func (r *recorder) write(ctx context.Context, event *eventsv1.Event) {
	var problem error
	err := wait.ExponentialBackoffWithContext(ctx, eventTries, func(ctx context.Context) (done bool, err error) {
		problem = r.client.Create(ctx, event.DeepCopy())
		return !passing(problem), nil
	})
	if problem == nil {
		problem = err // it ended before the first try
	}
	if problem != nil && !apierrors.HasStatusCause(problem, corev1.NamespaceTerminatingCause) {
		log.FromContext(ctx).Error(problem, "event not written", "namespace", event.Namespace, "about", event.Regarding.Name, "reason", event.Reason, "note", event.Note)
	}
}

// passing says whether what kept an Event from being written may be over soon.
func passing(problem error) bool {
	if problem == nil {
		return false
	}
	switch apierrors.ReasonForError(problem) {
	case metav1.StatusReasonUnknown, // no answer at all
		metav1.StatusReasonInternalError, metav1.StatusReasonServiceUnavailable, metav1.StatusReasonTooManyRequests,
		metav1.StatusReasonServerTimeout, metav1.StatusReasonTimeout:
		return true
	default:
		return false
	}
}
