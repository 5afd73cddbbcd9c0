package life_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestRestart follows a whole-cluster restart: everybody goes at once, nobody
// comes back behind the fence before the last has gone.
func TestRestart(t *testing.T) {
	s := formed()
	s.delete(2)
	d := s.decide()
	if d.Began != life.CauseMemberLost || d.Status.Restart == nil || len(d.Delete) != 2 {
		t.Fatalf("want both others deleted behind the fence at once, got %+v", d)
	}
	s.delete(0)
	s.delete(1)
	s.replace(2) // its successor is there before the others have gone
	if d = s.decide(); d.Status.Restart == nil || len(d.Delete) != 0 {
		t.Errorf("want to wait for the old pods, got %+v", d)
	}
	s.Now = s.Now.Add(time.Minute)
	if d = s.decide(); len(d.Events) != 1 || d.Events[0].Reason != life.ReasonRestartHeld || !strings.Contains(d.Status.Message, "waiting for h2o-0 on node node-1") {
		t.Errorf("want it said what holds the restart, got %+v", d)
	}
	if d = s.decide(); len(d.Events) != 0 {
		t.Errorf("want it said once, got %v", d.Events)
	}
	slices.Reverse(s.Pods)
	if d = s.decide(); len(d.Events) != 0 {
		t.Errorf("want the order of the pods to change nothing, got %v", d.Events)
	}
	slices.Reverse(s.Pods)
	for i := range 2 {
		s.Pods[i] = pod(i, "one")
		s.replace(i)
	}
	if d = s.decide(); d.Status.Restart != nil || d.Status.Phase != life.PhaseForming {
		t.Errorf("want the fence down and a formation, got %+v", d.Status)
	}
	s.Now = s.Now.Add(9 * time.Second)
	s.says("follower", "follower", "leader")
	if d = s.decide(); d.Status.Phase != life.PhaseFormed || d.Formed != 9*time.Second || d.Status.Restarts != 1 {
		t.Errorf("want it formed in 9 s, got %s and %+v", d.Formed, d.Status)
	}
}

func TestRestartAgainOnTheWay(t *testing.T) {
	s := formed()
	s.Set.Revision = "two"
	s.decide()
	s.Pods[0] = pod(0, "two")
	s.delete(1)
	s.delete(2)
	s.Set.Revision = "three"
	if d := s.decide(); len(d.Delete) != 1 || d.Delete[0].UID != "h2o-0-two" || d.Status.Restarts != 1 {
		t.Errorf("want the pod of the revision between deleted in the same restart, got %+v", d)
	}
}

// TestWaitsForDNS proves that nodes which looked for their peers a moment ago
// stay until no cache can answer with their addresses.
func TestWaitsForDNS(t *testing.T) {
	s := forming()
	s.says("looking", "looking", "looking")
	s.Set.Revision = "two"
	d := s.decide()
	if d.Status.Restart == nil || len(d.Delete) != 0 || d.Again == 0 {
		t.Fatalf("want the fence up and nobody deleted yet, got %+v", d)
	}
	s.Now = s.Now.Add(limits.DNSTTL)
	if d = s.decide(); len(d.Delete) != 3 {
		t.Errorf("want all deleted after the TTL, got %+v", d)
	}
	s = forming()
	s.Set.Revision, s.Set.Fenced = "two", false
	if d = s.decide(); len(d.Delete) != 3 || !strings.Contains(d.Status.Message, "somebody else's") {
		t.Errorf("want no wait where there is no fence, got %+v", d)
	}
}

// TestHurriesBehindNoFence proves that pods which never were one cluster get no time
// to end where nothing keeps new ones from meeting them, and all others their own.
func TestHurriesBehindNoFence(t *testing.T) {
	for name, test := range map[string]struct {
		from   func() *scene
		fenced bool
		change func(*scene)
		want   bool
	}{
		"clouds of one":                {forming, false, func(s *scene) { s.says("leader", "leader", "leader") }, true},
		"clouds of one behind a fence": {forming, true, func(s *scene) { s.says("leader", "leader", "leader") }, false},
		"a formed cluster":             {formed, false, func(s *scene) { s.Set.Revision = "two" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.from()
			s.Set.Fenced = test.fenced
			test.change(s)
			s.decide()
			s.Now = s.Now.Add(limits.DNSTTL)
			if d := s.decide(); len(d.Delete) != 3 || d.Hurry != test.want {
				t.Errorf("want 3 pods deleted, in a hurry %t, got %d and %t", test.want, len(d.Delete), d.Hurry)
			}
		})
	}
}

// TestReplacedWhileWaitingForDNS proves that a node which came while old addresses
// were still in DNS caches, and may have found them there, goes too.
func TestReplacedWhileWaitingForDNS(t *testing.T) {
	for name, test := range map[string]struct {
		comes time.Duration // after the restart was begun
		want  int           // pods that are deleted
	}{
		"it comes at once and asks while they are": {time.Second, 3},
		"it comes late and asks when they are not": {limits.DNSTTL - time.Second, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := forming()
			s.says("looking", "looking", "looking")
			s.delete(2)
			if d := s.decide(); d.Began != life.CauseReplaced || len(d.Delete) != 0 {
				t.Fatalf("want a restart that waits, got %+v", d)
			}
			s.Now = s.Now.Add(test.comes)
			s.replace(2)
			if d := s.decide(); len(d.Delete) != 0 {
				t.Fatalf("want it to wait still, got %+v", d)
			}
			s.Now = s.Now.Add(limits.DNSTTL - test.comes)
			s.decide()
			s.Now = s.Now.Add(5 * time.Second) // it takes signals by now
			if d := s.decide(); len(d.Delete) != test.want {
				t.Errorf("want %d pods deleted, got %+v", test.want, d.Delete)
			}
		})
	}
}

// TestSparesStarting proves that a JVM which takes no signals yet is deleted
// when it does.
func TestSparesStarting(t *testing.T) {
	s := formed()
	s.Pods[1].Restarts, s.Pods[1].Started = 1, s.Now.Add(-time.Second)
	d := s.decide()
	if len(d.Delete) != 2 || d.Again == 0 {
		t.Errorf("want the others deleted, got %+v", d)
	}
	s.Now = s.Now.Add(d.Again)
	if d = s.decide(); len(d.Delete) != 3 {
		t.Errorf("want it deleted a little later, got %+v", d)
	}
}

func TestBackoff(t *testing.T) {
	s := formed()
	s.Limits.DNSTTL = 0
	at := s.Now
	var gaps []time.Duration
	for range 5 {
		s.replace(0)
		for s.Status.Restart == nil {
			if d := s.decide(); d.Began == "" {
				if d.Status.Phase != life.PhaseDegraded || d.Again <= 0 {
					t.Fatalf("want it degraded until later, got %+v", d)
				}
				s.Now = s.Now.Add(d.Again)
			}
		}
		gaps = append(gaps, s.Now.Sub(at))
		at = s.Now
		for i := range s.Pods {
			s.replace(i)
		}
		s.says("leader", "follower", "follower")
		s.decide()
	}
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second}
	if fmt.Sprint(gaps) != fmt.Sprint(want) {
		t.Errorf("want %v between restarts, got %v", want, gaps)
	}
	s.Now = s.Now.Add(time.Hour)
	s.replace(0)
	if d := s.decide(); d.Began != life.CauseMemberLost {
		t.Errorf("want the storm forgotten after an hour, got %+v", d.Status)
	}
}

// TestComesBack proves that a member which was silent for a while costs nothing.
func TestComesBack(t *testing.T) {
	s := formed()
	s.says("leader", "unreachable", "follower")
	s.decide()
	s.Watch = life.Watch{} // another replica takes over
	if d := s.decide(); d.Status.Phase != life.PhaseDegraded {
		t.Errorf("want it degraded until somebody answers, got %+v", d.Status)
	}
	s.says("leader", "follower", "follower")
	if d := s.decide(); d.Status.Phase != life.PhaseFormed || d.Status.Restarts != 0 || d.Formed != 0 {
		t.Errorf("want it formed as before, got %+v", d.Status)
	}
}

func TestOneNode(t *testing.T) {
	s := forming()
	s.Set.Replicas, s.Pods = 1, s.Pods[:1]
	s.says("looking")
	if d := s.decide(); d.Status.Phase != life.PhaseForming {
		t.Errorf("want a node that looks for itself not taken for a cluster, got %+v", d.Status)
	}
	s.says("leader")
	if d := s.decide(); d.Status.Phase != life.PhaseFormed || d.Status.Leader != "h2o-0" {
		t.Errorf("want a cluster of one, got %+v", d.Status)
	}
}

func TestStopAndStart(t *testing.T) {
	s := formed()
	s.Set.Replicas = 0
	d := s.decide()
	if len(d.Delete) != 0 || d.Status.Restart == nil || d.Status.Restarts != 0 {
		t.Errorf("want the fence up and the rest left to the controller, got %+v", d)
	}
	s.Set.Replicas = 3 // at once again: the old ones still have to go
	s.delete(2)
	if d = s.decide(); len(d.Delete) != 2 {
		t.Errorf("want the others to go as well, got %+v", d)
	}
	s.Pods = nil
	s.Set.Replicas = 0
	if d = s.decide(); d.Status.Phase != life.PhaseStopped || d.Status.Restart != nil {
		t.Errorf("want it stopped, got %+v", d.Status)
	}
}

// TestStopsAtOnce proves that a stopped cluster is said to be stopped even while
// DNS may still tell of its nodes, and that those which start next wait for that.
func TestStopsAtOnce(t *testing.T) {
	s := forming()
	s.says("looking", "looking", "looking")
	s.Set.Replicas = 0
	s.decide()
	s.Pods = nil
	d := s.decide()
	if d.Status.Phase != life.PhaseStopped || d.Status.Restart == nil || d.Again == 0 || len(d.Events) != 1 {
		t.Fatalf("want it stopped behind the fence, got %+v", d)
	}
	s.Set.Replicas = 1
	s.Pods = []life.Pod{pod(0, "two")}
	s.Set.Revision = "two"
	s.Pods[0].Running = false
	if d = s.decide(); d.Status.Phase != life.PhaseRestarting || !strings.HasPrefix(d.Status.Message, "it was stopped a moment ago") {
		t.Errorf("want it said what the start waits for, got %+v", d)
	}
	s.Now = s.Now.Add(limits.DNSTTL)
	if d = s.decide(); d.Status.Phase != life.PhasePending || d.Status.Restart != nil || len(d.Delete) != 0 {
		t.Errorf("want it started, got %+v", d)
	}
	s.Set.Replicas, s.Pods = 0, nil
	if d = s.decide(); d.Status.Phase != life.PhaseStopped || d.Status.Restart != nil || d.Again != 0 {
		t.Errorf("want it stopped for good, got %+v", d)
	}
}

// TestStartsFromZero proves that pods which a set scaled up from zero made before
// its template counted them are made anew, and that this is no restart.
func TestStartsFromZero(t *testing.T) {
	s := formed()
	s.Set.Replicas = 0
	s.decide()
	s.Pods = nil
	s.decide()
	s.Set.Replicas, s.Set.Settled = 3, false
	for i := range 3 {
		s.Pods = append(s.Pods, pod(i, "none"))
		s.Pods[i].Running, s.Pods[i].Started = false, time.Time{}
	}
	s.decide()
	s.Set.Settled, s.Set.Revision = true, "three"
	d := s.decide()
	if len(d.Delete) != 3 || d.Status.Restarts != 0 || d.Began != "" || !strings.Contains(d.Status.Message, "made anew") || strings.Contains(d.Status.Message, "lost") {
		t.Fatalf("want the pods deleted and no restart counted, got %+v", d)
	}
	for i := range 3 {
		s.Pods[i] = pod(i, "three")
		s.Pods[i].Started = s.Now
	}
	s.says("leader", "follower", "follower")
	if d = s.decide(); d.Status.Phase != life.PhaseFormed || d.Status.Restarts != 0 {
		t.Errorf("want it formed, got %+v", d.Status)
	}
}

func TestGridSearchGoesOn(t *testing.T) {
	s := formed()
	s.Set.Recovery = "/recovery/science-demo"
	s.delete(0)
	if d := s.decide(); !strings.Contains(d.Events[0].Note, "goes on from /recovery/science-demo when a cluster of the same size has formed") {
		t.Errorf("got %v", d.Events)
	}
	for i := range s.Pods {
		s.Pods[i] = pod(i, "one")
		s.replace(i)
	}
	s.says("leader", "follower", "follower")
	if d := s.decide(); len(d.Events) == 0 || !strings.Contains(d.Events[0].Note, "goes on by itself from /recovery/science-demo if it began in a cluster of 3") {
		t.Errorf("got %v", d.Events)
	}
}
