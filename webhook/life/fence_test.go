package life_test

import (
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// TestDeleteAfter proves how long old nodes stay after a restart was decided: for
// as long as a DNS cache may know them.
func TestDeleteAfter(t *testing.T) {
	ttl := limits.DNSTTL
	for name, test := range map[string]struct {
		from   func() *scene
		change func(*scene)
		want   time.Duration
	}{
		"nobody has asked for an hour": {formed, func(s *scene) { s.delete(1) }, 0},
		"a member restarts in place":   {formed, func(s *scene) { s.crash(1, 137) }, 0},
		"it has looked again":          {formed, func(s *scene) { s.crash(1, 137); s.runs(1, 3*time.Second) }, ttl},
		"one that may not join has looked, and runs no more": {formed, func(s *scene) {
			s.replace(1)
			s.crash(1, 255)
		}, ttl},
		"it runs again, too short to look": {formed, func(s *scene) {
			s.replace(1)
			s.crash(1, 255)
			s.runs(1, time.Second)
		}, ttl},
		"one that looked was evicted": {forming, func(s *scene) {
			s.Set.Revision = "two"
			s.Pods = s.Pods[:1]
			s.Pods[0].Ended, s.Pods[0].Running = true, false
		}, ttl},
		"a node in a cloud looks no more": {forming, func(s *scene) {
			s.Set.Revision = "two"
			s.says("leader", "leader", "follower")
		}, ttl - 20*time.Second},
		"it restarted since it was seen there": {forming, func(s *scene) {
			s.Set.Revision = "two"
			s.says("leader", "leader", "follower")
			s.runs(2, 3*time.Second)
		}, ttl},
		"a member is gone, and we have just come": {formed, func(s *scene) {
			s.Pods = s.Pods[:2]
			s.saysFor(0, "leader", "follower")
		}, ttl},
		"a member is gone, and we were there": {formed, func(s *scene) {
			s.Pods = s.Pods[:2]
			s.saysFor(time.Minute, "leader", "follower")
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.from()
			test.change(s)
			d := s.decide()
			if d.Status.Restart == nil {
				t.Fatalf("want a restart, got %s: %s", d.Status.Phase, d.Status.Message)
			}
			if got := d.Status.Restart.DeleteAfter.Sub(s.Now); got != test.want {
				t.Errorf("want a wait of %s, got %s", test.want, got)
			}
		})
	}
}

func (s *scene) crash(i int, code int32) {
	s.Pods[i].Running, s.Pods[i].Exit = false, &life.Exit{Code: code}
}

// runs has a container run again, for some time now.
func (s *scene) runs(i int, long time.Duration) {
	s.Pods[i].Restarts++
	s.Pods[i].Running, s.Pods[i].Started = true, s.Now.Add(-long)
}

// TestMadeDuringTheWait proves that a node which came while caches still knew the
// old ones goes with them, and that one which came later stays.
func TestMadeDuringTheWait(t *testing.T) {
	s := forming()
	s.says("looking", "looking", "looking")
	s.delete(1)
	if d := s.decide(); d.Status.Restart == nil || len(d.Delete) != 0 {
		t.Fatalf("want a restart that waits, got %+v", d)
	}
	s.Now = s.Now.Add(5 * time.Second)
	s.replace(1)
	s.Pods[1].UID = "h2o-1-between"
	s.Now = s.Now.Add(limits.DNSTTL)
	if d := s.decide(); len(d.Delete) != 3 {
		t.Fatalf("want all three gone, got %v", d.Delete)
	}
	for i := range s.Pods {
		s.replace(i)
		s.Pods[i].UID += "-later"
	}
	s.Now = s.Now.Add(5 * time.Second)
	if d := s.decide(); d.Status.Restart != nil || len(d.Delete) != 0 {
		t.Errorf("want the new ones left alone, got %+v", d)
	}
}

// TestWaitsAlsoForNobody proves that the fence stays up as long as caches know the
// old nodes, also when those went by themselves.
func TestWaitsAlsoForNobody(t *testing.T) {
	s := forming()
	s.says("looking", "looking", "looking")
	s.Set.Replicas = 0
	s.decide()
	s.Pods = nil
	s.Now = s.Now.Add(time.Second)
	if d := s.decide(); d.Status.Restart == nil || d.Again == 0 {
		t.Errorf("want the fence kept up, got %+v", d)
	}
	s.Now = s.Now.Add(limits.DNSTTL)
	if d := s.decide(); d.Status.Restart != nil || d.Status.Phase != life.PhaseStopped {
		t.Errorf("want it stopped, got %+v", d.Status)
	}
}

// TestFenceIsAwaited proves that nobody goes before the fence was seen up, and
// that nodes which came before it was are taken to know old addresses.
func TestFenceIsAwaited(t *testing.T) {
	s := formed()
	s.FenceUp = false
	s.Set.Revision = "two"
	d := s.decide()
	if len(d.Delete) != 0 || d.Again <= 0 || !d.Status.AwaitsFence() {
		t.Fatalf("want the fence awaited, got %+v", d)
	}
	s.Pods[0] = pod(0, "two") // the replica that began died, and the fence was not up
	s.Pods[0].Started = s.Now.Add(time.Second)
	s.Now = s.Now.Add(10 * time.Second)
	s.FenceUp = true
	if d = s.decide(); len(d.Delete) != 0 || d.Status.AwaitsFence() || d.Status.Restart.DeleteAfter != s.Now.Add(limits.DNSTTL) {
		t.Fatalf("want to wait from when the fence is up, got %+v", d.Status.Restart)
	}
	s.Now = s.Now.Add(limits.DNSTTL)
	if d = s.decide(); len(d.Delete) != 3 {
		t.Errorf("want the one of the new revision gone too, got %v", d.Delete)
	}
}

// TestNothingLeft proves that new nodes are not restarted for a cluster of which
// nothing is left.
func TestNothingLeft(t *testing.T) {
	s := formed()
	for i := range s.Pods {
		s.replace(i)
	}
	s.Now = s.Now.Add(time.Minute)
	s.says("follower", "leader", "follower")
	d := s.decide()
	if d.Began != "" || d.Status.Phase != life.PhaseFormed || d.Status.Leader != "h2o-1" || d.Status.Restarts != 0 {
		t.Errorf("want the new cluster followed, got %+v", d.Status)
	}
	if len(d.Events) == 0 || d.Events[0].Reason != life.ReasonClusterLost {
		t.Errorf("want it said that the old one was lost, got %v", d.Events)
	}
}
