package life_test

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// world is a stand-in for a Kubernetes cluster with one H2O cluster in it, in a
// time of its own: what happens is a queue of functions, and everything random
// comes from one seed, so that a seed is always the same story.
type world struct {
	random *rand.Rand
	now    time.Time
	queue  agenda
	booked int
	ttl    time.Duration // of DNS answers
	story  []string

	// The StatefulSet. A revision follows from the template and the count of
	// nodes in it, so that going back to a former one gives its name again.
	replicas, count, template     int
	generation, observed, version int
	revision                      string
	status                        life.Status
	pods                          []*simPod
	lost                          []*process // on machines that are cut off, without a pod
	made                          int
	fenced                        bool   // the discovery Service selects nobody
	leader                        string // whom the leader Service selects
	endpoints                     []string
	resolvers                     [2]resolver
	reconciler                    *reconciler
	synced, sliced                bool // a look of these controllers is due
	disturbed                     int
	restarts                      []*simRestart
	lookups                       []lookup
	problems                      []string
}

type appointment struct {
	at    time.Time
	order int
	do    func()
}

// agenda is a heap of what will happen.
type agenda []appointment

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// after has something happen later.
func (w *world) after(d time.Duration, do func()) {
	w.booked++
	heap.Push(&w.queue, appointment{w.now.Add(d), w.booked, do})
}

// run lets time pass.
func (w *world) run(long time.Duration) {
	end := w.now.Add(long)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		next, _ := heap.Pop(&w.queue).(appointment)
		w.now = next.at
		next.do()
	}
	w.now = end
}

func (w *world) between(a, b time.Duration) time.Duration {
	return a + time.Duration(w.random.Int64N(int64(b-a)))
}

// chance is true in one of n cases.
func (w *world) chance(n int) bool { return w.random.IntN(n) == 0 }

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, w.now.Sub(epoch).Round(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
}

func (w *world) wrong(format string, args ...any) {
	w.tell("WRONG: "+format, args...)
	w.problems = append(w.problems, w.story[len(w.story)-1])
}

// simPod is a pod and the machine that it is on.
type simPod struct {
	life.Pod
	ordinal, count int
	gone           bool
	goneAt         time.Time
	cutOff         bool
	crashes        int
	process        *process
}

// changed has everybody look who watches pods and sets.
func (w *world) changed() {
	w.version++
	if !w.synced {
		w.synced = true
		w.after(w.between(5*time.Millisecond, 400*time.Millisecond), w.sync)
	}
	if !w.sliced {
		w.sliced = true
		w.after(w.between(5*time.Millisecond, 300*time.Millisecond), w.slice)
	}
	w.reconciler.wake(w.between(time.Millisecond, 60*time.Millisecond))
}

// sync is the StatefulSet controller, with Parallel and OnDelete: a pod is made
// anew only when the former one of its ordinal is gone.
func (w *world) sync() {
	w.synced = false
	w.observed, w.revision = w.generation, w.content()
	have := map[int]bool{}
	for _, p := range slices.Clone(w.pods) {
		have[p.ordinal] = true
		if p.ordinal >= w.replicas || p.Ended {
			w.delete(p)
		}
	}
	for i := range w.replicas {
		if !have[i] {
			w.create(i)
		}
	}
	w.reconciler.wake(w.between(time.Millisecond, 60*time.Millisecond))
	w.version++
}

func (w *world) content() string { return fmt.Sprintf("t%d-n%d", w.template, w.count) }

func (w *world) create(ordinal int) {
	w.made++
	p := &simPod{ordinal: ordinal, count: w.count, Pod: life.Pod{
		Name: fmt.Sprintf("h2o-%d", ordinal), UID: types.UID(fmt.Sprintf("h2o-%d/%d", ordinal, w.made)),
		Revision: w.revision, Ours: true, Created: w.now.Truncate(time.Second), Node: fmt.Sprintf("node-%d", w.made),
	}}
	w.pods = append(w.pods, p)
	w.tell("%s of %s made", p.UID, p.Revision)
	starts := w.between(300*time.Millisecond, 3*time.Second)
	if w.chance(10) {
		starts = w.between(5*time.Second, 60*time.Second)
	}
	w.after(starts, func() { w.start(p) })
	w.changed()
}

// start runs the pod's container for the first time.
func (w *world) start(p *simPod) {
	if p.gone || p.Deleting() {
		return
	}
	p.IP = "ip-of-" + string(p.UID)
	w.launch(p)
}

// launch runs the container; the kubelet says so a moment later.
func (w *world) launch(p *simPod) {
	started := w.now.Truncate(time.Second)
	p.process = w.boot(p)
	w.after(w.between(10*time.Millisecond, 500*time.Millisecond), func() {
		if p.gone || p.process == nil || p.process.state == dead {
			return
		}
		p.Running, p.Started, p.Restarts = true, started, int32(p.crashes)
		w.changed()
	})
	h := p.process
	w.after(5*time.Second, func() { w.probe(p, h) })
}

// probe is the kubelet, which asks every five seconds whether a node leads.
func (w *world) probe(p *simPod, h *process) {
	if p.gone || p.Ended || p.process != h || h.state == dead {
		return
	}
	if !p.cutOff {
		w.ready(p, h.answer().Says == life.SaysLeader)
	}
	w.after(5*time.Second, func() { w.probe(p, h) })
}

func (w *world) ready(p *simPod, is bool) {
	if p.Ready != is {
		p.Ready = is
		w.changed()
	}
}

// crash ends the container, which the kubelet starts again, the later the more often.
func (w *world) crash(p *simPod, code int32) {
	if p.process == nil || p.process.state == dead || p.gone || p.cutOff {
		return
	}
	w.tell("%s crashes with %d", p.UID, code)
	p.process.state = dead
	p.crashes++
	p.Running, p.Exit = false, &life.Exit{Code: code}
	w.ready(p, false)
	again := w.between(300*time.Millisecond, 2*time.Second)
	if p.crashes > 1 {
		again = min(5*time.Minute, 10*time.Second<<min(p.crashes-2, 5))
	}
	w.after(again, func() {
		if !p.gone && !p.Deleting() && !p.Ended {
			w.launch(p)
		}
	})
	w.changed()
}

// delete asks a pod to end; most do at once, some only when they are killed.
func (w *world) delete(p *simPod) {
	if p.gone || p.Deleting() {
		return
	}
	const grace = 30 * time.Second
	p.Deleted = w.now.Add(grace).Truncate(time.Second)
	ends := w.between(100*time.Millisecond, 3*time.Second)
	if w.chance(7) {
		ends = w.between(3*time.Second, grace)
	}
	w.tell("%s is being deleted", p.UID)
	w.after(ends, func() { w.end(p) })
	w.changed()
}

// end takes a pod away; on a machine that is cut off it stays until that is back.
func (w *world) end(p *simPod) {
	if p.gone {
		return
	}
	if p.cutOff {
		w.after(time.Second, func() { w.end(p) })
		return
	}
	if p.process != nil {
		p.process.state = dead
	}
	w.remove(p)
}

func (w *world) remove(p *simPod) {
	p.gone, p.goneAt = true, w.now
	w.pods = slices.DeleteFunc(w.pods, func(q *simPod) bool { return q == p })
	w.tell("%s is gone", p.UID)
	w.changed()
}

// slice is the EndpointSlice controller: publishNotReadyAddresses shows every
// pod that has an address, also those that are going.
func (w *world) slice() {
	w.sliced = false
	w.endpoints = nil
	for _, p := range w.pods {
		if !w.fenced && p.IP != "" && !p.Ended {
			w.endpoints = append(w.endpoints, p.IP)
		}
	}
	for i := range w.resolvers {
		w.after(w.between(5*time.Millisecond, 300*time.Millisecond), func() { w.resolvers[i].knows = slices.Clone(w.endpoints) })
	}
	w.reconciler.wake(w.between(time.Millisecond, 60*time.Millisecond))
}

// resolver is one DNS server with a cache, which keeps "nobody" as well.
type resolver struct {
	knows, cached []string
	until         time.Time
}

func (w *world) resolve() []string {
	r := &w.resolvers[w.random.IntN(len(w.resolvers))]
	if !w.now.Before(r.until) {
		r.cached, r.until = slices.Clone(r.knows), w.now.Add(w.ttl)
	}
	return r.cached
}
