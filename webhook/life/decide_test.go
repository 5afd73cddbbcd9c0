package life_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

var (
	epoch  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	limits = life.Limits{DNSTTL: 30 * time.Second, Backoff: 10 * time.Second}
)

// scene is one cluster at one time; the steps of a case change it.
type scene struct{ life.Input }

// formed is a cluster of three that formed a minute after the epoch, an hour ago.
func formed() *scene {
	s := forming()
	s.says("leader", "follower", "follower")
	s.Now = epoch.Add(time.Minute)
	s.decide()
	s.Now = s.Now.Add(time.Hour)
	return s
}

// forming is a cluster of three whose pods have run for a minute.
func forming() *scene {
	s := &scene{life.Input{Now: epoch.Add(time.Minute), Limits: limits, FenceUp: true}}
	s.Set = life.Set{Replicas: 3, Revision: "one", Settled: true, LeaderReadiness: true, Fenced: true}
	for i := range 3 {
		s.Pods = append(s.Pods, pod(i, "one"))
	}
	return s
}

func pod(i int, revision string) life.Pod {
	name := fmt.Sprintf("h2o-%d", i)
	return life.Pod{
		Name: name, UID: types.UID(name + "-" + revision), IP: "10.0.0.1", Node: "node-1", Revision: revision,
		Ours: true, Created: epoch, Running: true, Started: epoch,
	}
}

// says has the pods give answers for a long time: "looking" is a node that
// still looks for its peers.
func (s *scene) says(answers ...string) { s.saysFor(20*time.Second, answers...) }

func (s *scene) saysFor(long time.Duration, answers ...string) {
	given := map[types.UID]life.Answer{}
	for i, answer := range answers {
		switch answer {
		case "looking":
			given[s.Pods[i].UID] = life.Answer{Says: life.SaysLeader}
		default:
			given[s.Pods[i].UID] = life.Answer{Says: life.Says(answer), Open: answer == "leader" || answer == "follower"}
		}
	}
	s.Watch = life.Watch{}
	for at := range 5 {
		s.Watch = s.Watch.Next(given, s.Now.Add(-long*time.Duration(4-at)/4))
	}
}

// opens has all pods open their ports at a time, seen closed before.
func (s *scene) opens(at time.Time) {
	closed := map[types.UID]life.Answer{}
	for uid := range s.Watch.Answers {
		closed[uid] = life.Answer{Says: life.SaysLeader}
	}
	answers := s.Watch.Answers
	s.Watch = life.Watch{}.Next(closed, at).Next(answers, at)
}

// counts has a leader say how many nodes its cloud has.
func (s *scene) counts(i int, size life.Size) {
	answer := s.Watch.Answers[s.Pods[i].UID]
	answer.Size = size
	s.Watch.Answers[s.Pods[i].UID] = answer
}

func (s *scene) decide() life.Decision {
	d := life.Decide(s.Input)
	s.Status = d.Status
	return d
}

func (s *scene) delete(i int) { s.Pods[i].Deleted = s.Now }

// replace has a pod replaced by another of the same name.
func (s *scene) replace(i int) {
	s.Pods[i].UID += "-again"
	s.Pods[i].Started, s.Pods[i].Deleted = s.Now, time.Time{}
}

func TestPhase(t *testing.T) {
	for name, test := range map[string]struct {
		from   func() *scene
		change func(*scene)
		want   life.Phase
		says   string // a part of the message
		leader string
	}{
		"no pod has started": {forming, func(s *scene) {
			for i := range s.Pods {
				s.Pods[i].Running, s.Pods[i].Started = false, time.Time{}
			}
			s.Pods[1].Problem = "0/1 nodes are available: 1 Insufficient memory."
		}, life.PhasePending, "0 of 3 nodes run; h2o-1: 0/1 nodes", ""},
		"all still look, and all call themselves the leader": {forming, func(s *scene) { s.says("looking", "looking", "looking") }, life.PhaseForming, "looking for the others: 3", ""},
		"one 200 and two 404s":                               {forming, func(s *scene) { s.says("follower", "leader", "follower") }, life.PhaseFormed, "a cluster of 3, led by h2o-1", "h2o-1"},
		"the same heard only once": {forming, func(s *scene) {
			s.says("follower", "leader", "follower")
			s.Watch = life.Watch{}.Next(s.Watch.Answers, s.Now)
		}, life.PhaseForming, "", ""},
		"nodes that are in no cloud yet: their leader keeps callers waiting": {forming, func(s *scene) {
			s.says("leader", "follower", "follower")
			s.counts(0, life.SizeWaits)
		}, life.PhaseForming, "", ""},
		"a leader that is still alone": {forming, func(s *scene) {
			s.saysFor(5*time.Second, "leader", "follower", "follower")
			s.counts(0, 1)
		}, life.PhaseForming, "", ""},
		"a leader that stays alone": {forming, func(s *scene) {
			s.says("leader", "follower", "follower")
			s.counts(0, 1)
		}, life.PhaseRestarting, "the cloud that h2o-0 leads counts 1 of 3 nodes", ""},
		"a leader that counts all of them": {forming, func(s *scene) {
			s.saysFor(time.Second, "leader", "follower", "follower")
			s.counts(0, 3)
		}, life.PhaseFormed, "led by h2o-0", "h2o-0"},
		"a leader that tells us nothing": {forming, func(s *scene) {
			s.saysFor(9*time.Second, "leader", "follower", "follower")
		}, life.PhaseForming, "", ""},
		"a cloud without the pod that starts late": {forming, func(s *scene) {
			s.Pods[2].Running, s.Pods[2].Started = false, time.Time{}
			s.says("leader", "follower", "nothing")
		}, life.PhaseForming, "2 of 3 nodes run", ""},
		"a crash before formation": {forming, func(s *scene) {
			s.Pods[2].Running, s.Pods[2].Restarts, s.Pods[2].Exit = false, 4, &life.Exit{Code: 1}
			s.says("looking", "looking", "nothing")
		}, life.PhaseForming, "2 of 3 nodes run", ""},
		"three clouds of one": {forming, func(s *scene) { s.says("leader", "leader", "leader") }, life.PhaseRestarting, "3 clouds instead of one", ""},
		"three clouds of one on a machine that needed 12 s to start them": {forming, func(s *scene) {
			s.says("leader", "leader", "leader")
			s.opens(epoch.Add(12 * time.Second))
			s.Now = epoch.Add((12 + 23) * time.Second)
		}, life.PhaseForming, "in a cloud: 3", ""},
		"three clouds of one there for longer": {forming, func(s *scene) {
			s.says("leader", "leader", "leader")
			s.opens(epoch.Add(12 * time.Second))
			s.Now = epoch.Add((12 + 24) * time.Second)
		}, life.PhaseRestarting, "3 clouds instead of one", ""},
		"two clouds":                {forming, func(s *scene) { s.says("leader", "follower", "leader") }, life.PhaseRestarting, "h2o-0, h2o-2 each answer", ""},
		"nobody leads":              {forming, func(s *scene) { s.says("follower", "follower", "follower") }, life.PhaseRestarting, "no node answers as the leader", ""},
		"two clouds for a moment":   {forming, func(s *scene) { s.saysFor(5*time.Second, "leader", "follower", "leader") }, life.PhaseForming, "", ""},
		"one still looks, a little": {forming, func(s *scene) { s.says("leader", "follower", "looking") }, life.PhaseForming, "", ""},
		"one still looks, for long": {forming, func(s *scene) { s.saysFor(time.Minute, "leader", "follower", "looking") }, life.PhaseRestarting, "h2o-0, h2o-1 went on without h2o-2", ""},
		"a locked cloud without one": {forming, func(s *scene) {
			s.Pods[2].Restarts, s.Pods[2].Exit = 2, &life.Exit{Code: 255, Reason: "Error"}
			s.saysFor(0, "leader", "follower", "nothing")
		}, life.PhaseRestarting, "h2o-2 may not join", ""},
		"pods that cannot be reached, one of them ready": {forming, func(s *scene) {
			s.says("unreachable", "unreachable", "unreachable")
			s.Pods[2].Ready = true
		}, life.PhaseFormed, "as far as readiness tells", ""},
		"the same with a probe of the user's": {forming, func(s *scene) {
			s.says("unreachable", "unreachable", "unreachable")
			s.Pods[2].Ready, s.Set.LeaderReadiness = true, false
		}, life.PhaseForming, "cannot be reached from the webhook", ""},
		"a pod that goes before formation": {forming, func(s *scene) {
			s.says("looking", "looking", "looking")
			s.delete(1)
		}, life.PhaseRestarting, "h2o-1 went before the cluster had formed", ""},
		"a pod that goes before it had an address": {forming, func(s *scene) {
			s.says("looking", "looking", "nothing")
			s.Pods[2].IP = ""
			s.delete(2)
		}, life.PhaseForming, "", ""},

		"nothing happens":                           {formed, func(*scene) {}, life.PhaseFormed, "", "h2o-0"},
		"a member is deleted":                       {formed, func(s *scene) { s.delete(1) }, life.PhaseRestarting, "h2o-1 on node node-1 is being deleted", ""},
		"a member was replaced while nobody looked": {formed, func(s *scene) { s.replace(1) }, life.PhaseRestarting, "h2o-1 was replaced", ""},
		"a member is gone":                          {formed, func(s *scene) { s.Pods = s.Pods[:2] }, life.PhaseRestarting, "h2o-2 is gone", ""},
		"a member was evicted":                      {formed, func(s *scene) { s.Pods[0].Ended, s.Pods[0].Problem = true, "Evicted" }, life.PhaseRestarting, "ended (Evicted)", ""},
		"H2O restarted in place, and says that all is well": {formed, func(s *scene) {
			s.Pods[1].Restarts, s.Pods[1].Exit = 1, &life.Exit{Code: 137, Reason: "OOMKilled"}
		}, life.PhaseRestarting, "restarted in place, with an empty store (exit 137 OOMKilled: it used more memory", ""},
		"a loss that its user wants ignored": {formed, func(s *scene) {
			s.Set.IgnoreLoss = true
			s.delete(1)
		}, life.PhaseDegraded, "on-member-loss", "h2o-0"},
		"a member is silent":  {formed, func(s *scene) { s.says("leader", "unreachable", "follower") }, life.PhaseDegraded, "h2o-1 on node node-1 does not answer", "h2o-0"},
		"two leaders at last": {formed, func(s *scene) { s.says("leader", "leader", "follower") }, life.PhaseRestarting, "2 clouds", ""},
		"a new revision":      {formed, func(s *scene) { s.Set.Revision = "two" }, life.PhaseRestarting, "its pod template changed", ""},
		"a new revision that the controller brings": {formed, func(s *scene) {
			s.Set.Revision, s.Set.OwnUpdates = "two", true
		}, life.PhaseFormed, "", "h2o-0"},
		"a revision that is not settled": {formed, func(s *scene) { s.Set.Revision, s.Set.Settled = "two", false }, life.PhaseFormed, "", "h2o-0"},
		"more replicas":                  {formed, func(s *scene) { s.Set.Replicas = 5 }, life.PhaseRestarting, "5 nodes are wanted instead of 3", ""},
		"no replicas":                    {formed, func(s *scene) { s.Set.Replicas = 0 }, life.PhaseRestarting, "zero replicas are wanted", ""},
		"no replicas and no pods":        {formed, func(s *scene) { s.Set.Replicas, s.Pods = 0, nil }, life.PhaseStopped, "scale it up", ""},
		"pods from before": {forming, func(s *scene) {
			s.Set.Revision = "two"
			for i := range s.Pods {
				s.Pods[i].Ours = false
			}
		}, life.PhaseRestarting, "from before it was managed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := test.from()
			test.change(s)
			before := s.Status
			d := life.Decide(s.Input)
			if got := d.Status; got.Phase != test.want || !strings.Contains(got.Message, test.says) || got.Leader != test.leader {
				t.Errorf("want %s %q led by %q, got %s %q led by %q", test.want, test.says, test.leader, got.Phase, got.Message, got.Leader)
			}
			if (before.Phase != d.Status.Phase) != (len(d.Events) > 0) {
				t.Errorf("want an Event for each transition and no other: %s to %s with %v", before.Phase, d.Status.Phase, d.Events)
			}
			s.Status = d.Status
			again := life.Decide(s.Input)
			if again.Status.Phase != d.Status.Phase || len(again.Events) > 0 || again.Began != "" {
				t.Errorf("want the same again without an Event, got %s, %v, %q", again.Status.Phase, again.Events, again.Began)
			}
		})
	}
}

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
