package lifecycle

import (
	"context"
	"strings"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// told remembers what stands in the way of each StatefulSet, so that its user
// hears of it when it appears and not at every look. The zero value is ready. It
// is lost with the process: another replica that takes over says things again.
type told struct {
	mu    sync.Mutex
	notes map[types.NamespacedName]map[string]string // by topic
}

// news takes in what stands in the way on a topic, nothing when the note is
// empty, and says whether that has to be told.
func (t *told) news(set types.NamespacedName, topic, note string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	notes := t.notes[set]
	if notes[topic] == note {
		return false
	}
	if note == "" {
		delete(notes, topic)
		return false
	}
	if notes == nil {
		notes = map[string]string{}
		if t.notes == nil {
			t.notes = map[types.NamespacedName]map[string]string{}
		}
		t.notes[set] = notes
	}
	notes[topic] = note
	return true
}

// forget drops what was told of a set that is gone or not managed any more.
func (t *told) forget(set types.NamespacedName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.notes, set)
}

// warn tells the user of a set what stands in its way, once until it changes; an
// empty note says that nothing does any more. The Service that it is about is nil
// for none. It says whether there was something to tell.
func (r *reconciler) warn(ctx context.Context, set *appsv1.StatefulSet, service *corev1.Service, reason, note string) bool {
	// A set made anew under the same name is another one.
	topic := []string{string(set.UID), reason}
	if service != nil {
		topic = append(topic, service.Name)
	}
	if !r.told.news(client.ObjectKeyFromObject(set), strings.Join(topic, "/"), note) {
		return false
	}
	if service == nil {
		r.events.event(ctx, set, nil, corev1.EventTypeWarning, reason, note) // a nil of its own type is not nil
	} else {
		r.events.event(ctx, set, service, corev1.EventTypeWarning, reason, note)
	}
	return true
}
