package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// recording is a recorder whose server takes a while to be there.
func recording(t *testing.T, away int) *recorder {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return newRecorder(fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if away--; away >= 0 {
				return errors.New("connection refused")
			}
			return c.Create(ctx, object, options...)
		},
	}).Build())
}

// TestRecorder proves that each Event is one object with its own words, whatever
// its reason, also when the API server is away for a moment or the process ends.
func TestRecorder(t *testing.T) {
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: "demo", UID: "u"}}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: "demo-leader"}}
	for name, away := range map[string]int{"the server is there": 0, "it is away": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := recording(t, away)
				for _, note := range []string{"demo-1 is gone", "demo-2 is gone"} {
					r.event(t.Context(), set, nil, corev1.EventTypeWarning, "Restarting", note)
					time.Sleep(time.Second)
				}
				r.event(t.Context(), set, service, corev1.EventTypeNormal, "ServiceCreated", strings.Repeat("é", maxNote))
				ended, end := context.WithCancel(t.Context())
				end() // it writes what waits all the same
				if err := r.Start(ended); err != nil {
					t.Fatal(err)
				}
				var list eventsv1.EventList
				if err := r.client.List(t.Context(), &list); err != nil {
					t.Fatal(err)
				}
				var got []string
				for i := range list.Items {
					e := &list.Items[i]
					got = append(got, fmt.Sprintf("%s/%s %s %s %s %.14s", e.Regarding.Kind, e.Regarding.Name, e.Type, e.Reason, e.Action, e.Note))
					if len(e.Note) > maxNote || e.EventTime.IsZero() || e.ReportingInstance == "" || e.ReportingController == "" {
						t.Errorf("the server would refuse %+v", e)
					}
				}
				slices.Sort(got)
				want := []string{
					"StatefulSet/demo Normal ServiceCreated Reconcile éééééééééééééé",
					"StatefulSet/demo Warning Restarting Inject demo-1 is gone",
					"StatefulSet/demo Warning Restarting Inject demo-2 is gone",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
			})
		})
	}
}

// TestRecorderIsBounded proves that a server that is away for good holds up nobody.
func TestRecorderIsBounded(t *testing.T) {
	r := recording(t, 1)
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Namespace: "science", Name: "demo"}}
	for range maxQueued + 1 {
		r.event(t.Context(), set, nil, corev1.EventTypeNormal, "Formed", "a cluster of 3")
	}
	if len(r.queue) != maxQueued {
		t.Errorf("want %d waiting, got %d", maxQueued, len(r.queue))
	}
}
