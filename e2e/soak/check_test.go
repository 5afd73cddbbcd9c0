package main

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// story is a cluster of three that formed, and what happens to it next.
type story struct {
	*cluster
	t *testing.T
}

func newStory(t *testing.T) *story {
	t.Helper()
	l := &ledger{pods: map[types.UID]*pod{}, holders: map[string][]*pod{}, clusters: map[string]*cluster{}, score: &score{wanted: 1, enough: make(chan struct{})}}
	s := &story{&cluster{ledger: l, name: "h2o"}, t}
	l.clusters["h2o"] = s.cluster
	s.generation(0)
	return s
}

func (s *story) object(i, generation int) *corev1.Pod {
	uid := fmt.Sprintf("h2o-%d-%d", i, generation)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("h2o-%d", i), UID: types.UID(uid), Labels: map[string]string{"app": "h2o", appsv1.ControllerRevisionHashLabelKey: "one"}},
		Status:     corev1.PodStatus{PodIP: fmt.Sprintf("10.0.%d.%d", generation, i)},
	}
}

// generation has three pods come, find each other and be called Formed.
func (s *story) generation(g int) {
	members, seen, cloud := map[string]life.Member{}, map[string]time.Time{}, []string(nil)
	long := time.Now().Add(-time.Minute)
	for i := range 3 {
		o := s.object(i, g)
		s.notePod(o, false)
		members[o.Name] = life.Member{UID: o.UID}
		seen[o.Status.PodIP] = time.Now()
		cloud = append(cloud, o.Status.PodIP)
	}
	for _, p := range s.present() {
		p.report = &report{Started: long, Expected: 3, Seen: seen, Ended: "count", Cloud: cloud, at: time.Now()}
		p.addressed = long
	}
	replicas := int32(3)
	s.set = &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &replicas}, Status: appsv1.StatefulSetStatus{UpdateRevision: "one"}}
	s.status.Phase = life.PhaseFormed
	s.status.Generation = &life.Generation{Revision: "one", Formed: long.Add(time.Duration(g) * time.Second), Members: members}
	s.freeSince = long
	s.noteFormed(s.status.Generation)
}

func (s *story) gone(g int) {
	for i := range 3 {
		s.notePod(s.object(i, g), true)
	}
}

// look checks twice, far enough apart to believe what is seen.
func (s *story) look() {
	s.checkLookups()
	for _, p := range s.pods {
		if p.mixed != "" {
			p.mixedSince = p.mixedSince.Add(-time.Minute)
		}
	}
	s.checkLookups()
	s.checkFormed()
}

func TestChecker(t *testing.T) {
	for name, test := range map[string]struct {
		happens func(*story)
		want    string
	}{
		"nothing happens": {func(s *story) { s.look() }, "soak: 0 restarts, 0 mixed, 0 partial, 0 hung, 0 needless"},
		"a whole restart": {func(s *story) {
			s.events = 1
			s.gone(0)
			s.generation(1)
			s.status.Restarts = 1
			s.look()
			s.close()
		}, "soak: 1 restarts, 0 mixed, 0 partial, 0 hung, 0 needless"},
		"a lookup saw a node that was going": {func(s *story) {
			s.gone(0)
			s.generation(1)
			s.present()[1].report.Seen["10.0.0.2"] = time.Now()
			for _, p := range s.pods {
				if !p.gone.IsZero() {
					p.deleting, p.gone = time.Now().Add(-2*time.Minute), time.Now().Add(-2*time.Minute)
				}
			}
			s.look()
			s.look() // it is counted once, as the three share what they saw
		}, "soak: 1 restarts, 3 mixed, 0 partial, 0 hung, 0 needless"},
		"a lookup saw an address that nobody has": {func(s *story) {
			s.present()[1].report.Seen["10.9.9.9"] = time.Now()
			s.look()
		}, "soak: 0 restarts, 3 mixed, 0 partial, 0 hung, 0 needless"},
		"it is seen while a restart is under way, which takes it along": {func(s *story) {
			s.present()[1].report.Seen["10.9.9.9"] = time.Now()
			s.freeSince = time.Time{}
			s.look()
		}, "soak: 0 restarts, 0 mixed, 0 partial, 0 hung, 0 needless"},
		"called Formed, and one is alone": {func(s *story) {
			s.present()[2].report.Cloud = []string{"10.0.0.2"}
			s.look()
		}, "soak: 0 restarts, 0 mixed, 1 partial, 0 hung, 0 needless"},
		"formed again with a pod of before": {func(s *story) {
			before := s.status.Generation.Members["h2o-0"]
			s.generation(1)
			again := *s.status.Generation
			again.Members["h2o-0"] = before
			s.noteFormed(&again)
		}, "soak: 1 restarts, 0 mixed, 1 partial, 0 hung, 0 needless"},
		"a pod goes and nobody did anything": {func(s *story) {
			s.close()
			s.gone(0)
		}, "soak: 0 restarts, 0 mixed, 0 partial, 0 hung, 1 needless"},
		"a container restarts and nobody did anything": {func(s *story) {
			s.close()
			o := s.object(1, 0)
			o.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}}
			s.notePod(o, false)
		}, "soak: 0 restarts, 0 mixed, 0 partial, 0 hung, 1 needless"},
		"two restarts of one event": {func(s *story) {
			s.events, s.status.Restarts = 1, 2
			s.close()
		}, "soak: 0 restarts, 0 mixed, 0 partial, 0 hung, 1 needless"},
		"not formed in time": {func(s *story) { s.hung(time.Minute) }, "soak: 0 restarts, 0 mixed, 0 partial, 1 hung, 0 needless"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			test.happens(s)
			if got := s.score.String(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestSettled(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*story)
		want   bool
	}{
		"formed":                              {func(*story) {}, true},
		"a killed process not yet noticed":    {func(s *story) { s.present()[0].dies = 1 }, false},
		"a pod on its way out":                {func(s *story) { s.present()[0].deleting = time.Now() }, false},
		"another size is wanted":              {func(s *story) { *s.set.Spec.Replicas = 4 }, false},
		"another revision is wanted":          {func(s *story) { s.set.Status.UpdateRevision = "two" }, false},
		"the controller has not seen it":      {func(s *story) { s.set.Generation = 2 }, false},
		"it is only forming":                  {func(s *story) { s.status.Phase = life.PhaseForming }, false},
		"something was done to it just now":   {func(s *story) { s.lastEvent = time.Now() }, false},
		"a pod of another run than the known": {func(s *story) { s.present()[0].restarts = 1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t)
			test.change(s)
			if got := s.settled(); got != test.want {
				t.Errorf("settled %t, want %t", got, test.want)
			}
		})
	}
}
