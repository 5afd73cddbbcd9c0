package life_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

var (
	seeds = flag.Int("seeds", 400, "how many stories the simulation tells")
	seed  = flag.Uint64("seed", 0, "tell only the story of this seed, in full")
)

const (
	troubleLasts = 20 * time.Minute
	// healedWithin is how long a cluster may take to be whole after the last
	// trouble: the longest backoff, a cache's time, a slow start, and to spare.
	healedWithin = 10 * time.Minute
	calmLasts    = 15 * time.Minute
)

// TestSimulation proves on many random stories what must hold whatever happens
// to a cluster, and when. It is a stand-in: neither Kubernetes nor H2O are real
// here, but behave by the rules that were read or measured of them.
func TestSimulation(t *testing.T) {
	first, last := uint64(1), uint64(*seeds)
	if *seed != 0 {
		first, last = *seed, *seed
	}
	var restarts, troubles, failed int
	var longest time.Duration
	for s := first; s <= last && failed < 5; s++ {
		w := newWorld(s)
		healed := w.live()
		restarts, troubles, longest = restarts+len(w.restarts), troubles+w.disturbed, max(longest, healed)
		if len(w.problems) > 0 {
			failed++
			t.Errorf("seed %d:\n%s", s, strings.Join(w.problems, "\n"))
		}
		if *seed != 0 {
			t.Log(strings.Join(w.story, "\n"))
		}
	}
	t.Logf("%d restarts for %d troubles; healed %s after the last of them at most", restarts, troubles, longest.Round(time.Second))
	if *seed == 0 && (restarts < troubles/10 || troubles == 0) {
		t.Error("hardly anything happened")
	}
}

func newWorld(seed uint64) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 1)), now: epoch, ttl: limits.DNSTTL}
	if w.chance(3) {
		w.ttl = 5 * time.Second
	}
	w.reconciler = &reconciler{world: w}
	w.replicas = 1 + w.random.IntN(5)
	w.count, w.generation = w.replicas, 1
	return w
}

// live tells a story: a cluster is made, there is trouble, then there is none. It
// returns how long the cluster took to be whole again.
func (w *world) live() time.Duration {
	w.changed()
	w.watchLeader("", 0)
	if !w.chance(8) { // or there is none from the beginning
		w.run(w.between(time.Second, time.Minute))
		w.reconciler.mortal = true
		w.after(w.between(time.Millisecond, 30*time.Second), w.trouble)
		w.run(troubleLasts)
		w.reconciler.mortal = false
		w.settleDown()
	}
	quiet := w.now
	for !w.whole() && w.now.Sub(quiet) < healedWithin {
		w.run(time.Second)
	}
	healed := w.now.Sub(quiet)
	if !w.whole() {
		w.wrong("not whole %s after the last trouble: %s, %s", healed, w.status.Phase, w.status.Message)
		return healed
	}
	before := len(w.restarts)
	w.run(calmLasts)
	if !w.whole() || len(w.restarts) != before {
		w.wrong("whole, and then not any more, without any trouble: %s, %s", w.status.Phase, w.status.Message)
	}
	w.judgeLookups()
	if len(w.restarts) > 2*w.disturbed+1 {
		w.wrong("%d restarts for %d troubles", len(w.restarts), w.disturbed)
	}
	return healed
}

// settleDown ends all trouble, of machines too.
func (w *world) settleDown() {
	for _, p := range w.pods {
		p.cutOff = false
	}
	for _, h := range w.lost {
		h.state = dead
	}
	if w.replicas == 0 {
		w.replicas = 3
		w.generation++
	}
	w.tell("no trouble any more")
	w.changed()
	w.agree()
}

// whole says whether there is one cluster of all nodes, and it is known, and
// clients are led to its leader.
func (w *world) whole() bool {
	if w.status.Phase != life.PhaseFormed || w.fenced || w.status.Generation == nil || len(w.pods) != w.replicas {
		return false
	}
	for _, p := range w.pods {
		if !p.process.intact(w.replicas) || p.Revision != w.content() || p.Name == w.leader && p.process.answer().Says != life.SaysLeader {
			return false
		}
	}
	return w.leader != ""
}

// trouble is one thing that happens to a cluster, and then the next.
func (w *world) trouble() {
	if w.now.Sub(epoch) > troubleLasts {
		return
	}
	w.disturbed++
	kinds := []func(){w.deleteOne, w.crashOne, w.evictOne, w.cutOne, w.edit, w.edit, w.scale, w.scale, w.stop, w.forget, w.kill}
	kinds[w.random.IntN(len(kinds))]()
	pause := w.between(2*time.Second, 3*time.Minute)
	if w.chance(4) {
		pause = w.between(10*time.Millisecond, 5*time.Second) // one does not come alone
	}
	w.after(pause, w.trouble)
}

func (w *world) one() *simPod {
	if len(w.pods) == 0 {
		return &simPod{gone: true}
	}
	return w.pods[w.random.IntN(len(w.pods))]
}

func (w *world) deleteOne() { w.delete(w.one()) }
func (w *world) crashOne()  { w.crash(w.one(), 137) }
func (w *world) forget()    { w.reconciler.watch, w.reconciler.ask = life.Watch{}, time.Time{} }
func (w *world) kill()      { w.reconciler.die(w.between(10*time.Millisecond, 20*time.Second)) }

func (w *world) evictOne() {
	p := w.one()
	if p.gone || p.cutOff || p.Ended || p.Deleting() {
		return
	}
	w.tell("%s is evicted", p.UID)
	if p.process != nil {
		p.process.state = dead
	}
	p.Ended, p.Running, p.Problem = true, false, "Evicted"
	w.ready(p, false)
	w.changed()
}

// cutOne cuts a machine off. Kubernetes deletes its pod some minutes later, a
// person sooner or never; it is gone when the machine is back, or by force.
func (w *world) cutOne() {
	p := w.one()
	if p.gone || p.process == nil || p.cutOff {
		return
	}
	w.tell("the machine of %s is cut off", p.UID)
	p.cutOff = true
	w.changed()
	back := w.between(5*time.Second, 2*time.Minute)
	if w.chance(3) {
		back = w.between(6*time.Minute, 12*time.Minute)
		w.after(50*time.Second+5*time.Minute, func() {
			if p.cutOff {
				w.delete(p)
			}
		})
	}
	if w.chance(3) {
		w.after(w.between(0, back), func() {
			if !p.gone && p.cutOff {
				w.tell("%s is deleted by force", p.UID)
				w.lost = append(w.lost, p.process)
				w.remove(p)
			}
		})
	}
	w.after(back, func() {
		p.cutOff = false
		if p.gone && p.process != nil {
			p.process.state = dead // the kubelet ends what has no pod any more
		}
		w.tell("the machine of %s is back", p.UID)
		w.changed()
		w.agree()
	})
}

// edit changes the template, or changes it back; the number of nodes may change with it.
func (w *world) edit() {
	w.template = w.random.IntN(3)
	if w.chance(4) {
		w.replicas = 1 + w.random.IntN(5)
	}
	w.count = w.replicas
	w.generation++
	w.tell("the template is %s", w.content())
	w.changed()
}

// scale writes replicas alone, as `kubectl scale` does.
func (w *world) scale() {
	w.replicas = 1 + w.random.IntN(5)
	w.generation++
	w.tell("scaled to %d", w.replicas)
	w.changed()
}

// stop scales to nothing, and back.
func (w *world) stop() {
	before := max(1, w.replicas)
	w.replicas = 0
	w.generation++
	w.tell("stopped")
	w.changed()
	w.after(w.between(10*time.Millisecond, time.Minute), func() {
		if w.replicas == 0 {
			w.replicas = before
			w.generation++
			w.tell("started again")
			w.changed()
		}
	})
}

// judge says whether a restart that is about to begin is needless: there is a
// whole cluster, of what is wanted.
func (w *world) judge(cause life.Cause) {
	healthy := len(w.pods) == w.replicas && w.count == w.replicas && w.replicas > 0
	for _, p := range w.pods {
		healthy = healthy && !p.Deleting() && !p.Ended && p.Revision == w.content() && p.process.intact(w.replicas)
	}
	if healthy {
		w.wrong("needless restart: %s", cause)
	}
}

// judgeLookups looks for nodes that found one of an older generation: one that
// went in a restart which they themselves outlived, or came after.
func (w *world) judgeLookups() {
	for _, r := range w.restarts {
		for _, l := range w.lookups {
			by := l.by.pod
			outlived := r.ended.IsZero() || !by.gone || by.goneAt.After(r.ended)
			if outlived && !r.old[by.UID] && slices.ContainsFunc(keys(r), func(ip string) bool { return ip == l.found }) {
				w.wrong("%s found %s, which went in the restart of %s", by.UID, l.found, r.began.Sub(epoch).Round(time.Millisecond))
			}
		}
	}
}

func keys(r *simRestart) []string {
	ips := make([]string, 0, len(r.old))
	for uid := range r.old {
		ips = append(ips, "ip-of-"+string(uid))
	}
	return ips
}

// watchLeader looks whom clients are led to, four times a second: never for longer
// than it takes to agree to a node that answers and is no member of the formed cluster.
func (w *world) watchLeader(was string, times int) {
	outsider := ""
	for _, p := range w.pods {
		if p.Name != w.leader || p.cutOff || p.process == nil || p.process.state != opened || w.reconciler.down {
			continue
		}
		if c := p.process.cloud; c == nil || c.began[p.process.ip] != p.process || w.status.Generation != nil && len(c.members) != len(w.status.Generation.Members) {
			outsider = fmt.Sprint(p.UID)
		}
	}
	if outsider == "" || outsider != was {
		times = 0
	}
	if times == 20 {
		w.wrong("clients are led to %s, which is in no formed cluster", outsider)
	}
	w.after(250*time.Millisecond, func() { w.watchLeader(outsider, times+1) })
}
