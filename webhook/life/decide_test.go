package life_test

import (
	"fmt"
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
type scene struct {
	life.Input
	// answers are the pods', heard for so long.
	answers map[types.UID]life.Answer
	long    time.Duration
}

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
	s := &scene{Input: life.Input{Now: epoch.Add(time.Minute), Limits: limits, FenceUp: true}}
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
	s.answers, s.long = map[types.UID]life.Answer{}, long
	for i, answer := range answers {
		switch answer {
		case "looking":
			s.answers[s.Pods[i].UID] = life.Answer{Says: life.SaysLeader}
		default:
			s.answers[s.Pods[i].UID] = life.Answer{Says: life.Says(answer), Open: answer == "leader" || answer == "follower"}
		}
	}
	s.hear()
}

func (s *scene) hear() {
	s.Watch = life.Watch{}
	for at := range 5 {
		s.Watch = s.Watch.Next(s.answers, s.Now.Add(-s.long*time.Duration(4-at)/4))
	}
}

// starts has all pods, asked in vain before, begin to answer at a time, and stop
// looking for each other at a later one.
func (s *scene) starts(heard, opened time.Time) {
	nothing, looking := map[types.UID]life.Answer{}, map[types.UID]life.Answer{}
	for uid := range s.answers {
		nothing[uid], looking[uid] = life.Answer{Says: life.SaysNothing}, life.Answer{Says: life.SaysLeader}
	}
	s.Watch = life.Watch{}.Next(nothing, heard).Next(looking, heard).Next(s.answers, opened)
}

// counts has a leader say how many nodes its cloud has.
func (s *scene) counts(i int, size life.Size) {
	answer := s.answers[s.Pods[i].UID]
	answer.Size = size
	s.answers[s.Pods[i].UID] = answer
	s.hear()
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
			s.Watch = life.Watch{}.Next(s.answers, s.Now)
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
			s.starts(epoch.Add(12*time.Second), epoch.Add(20*time.Second))
			s.Now = epoch.Add((20 + 35) * time.Second)
		}, life.PhaseForming, "in a cloud: 3", ""},
		"three clouds of one there for longer": {forming, func(s *scene) {
			s.says("leader", "leader", "leader")
			s.starts(epoch.Add(12*time.Second), epoch.Add(20*time.Second))
			s.Now = epoch.Add((20 + 36) * time.Second)
		}, life.PhaseRestarting, "3 clouds instead of one", ""},
		"three clouds of one whose lookup timed out, on an idle machine": {forming, func(s *scene) {
			s.says("leader", "leader", "leader")
			s.starts(epoch.Add(3*time.Second), epoch.Add(3*time.Minute))
			s.Now = epoch.Add(3*time.Minute + 10*time.Second)
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

// TestAsksADoubtedLeader proves that the kubelet's doubt of a leader has it asked at
// once, and only once, and that a follower, whom the kubelet never calls ready, is
// not asked for that.
func TestAsksADoubtedLeader(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*scene)
		want   time.Duration
	}{
		"it is ready": {func(s *scene) { s.Pods[0].Ready = true }, time.Minute},
		"since it was asked it is not ready": {func(s *scene) {
			s.Pods[0].Unready = s.Watch.Last.Add(10 * time.Second)
		}, time.Second},
		"it was asked in that very second": {func(s *scene) { s.Pods[0].Unready = s.Watch.Last.Truncate(time.Second) }, time.Second},
		"it answered after that":           {func(s *scene) { s.Pods[0].Unready = s.Watch.Last.Add(-2 * time.Second) }, time.Minute},
		"a follower is not ready":          {func(s *scene) { s.Pods[1].Unready = s.Watch.Last.Add(10 * time.Second) }, time.Minute},
		"readiness is the user's own": {func(s *scene) {
			s.Set.LeaderReadiness = false
			s.Pods[0].Unready = s.Watch.Last.Add(10 * time.Second)
		}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := formed()
			s.says("leader", "follower", "follower")
			test.change(s)
			if d := s.decide(); d.Ask != test.want || d.Status.Phase != life.PhaseFormed {
				t.Errorf("want it asked after %s, got %s and %s", test.want, d.Ask, d.Status.Phase)
			}
		})
	}
}
