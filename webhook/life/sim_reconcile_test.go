package life_test

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// reconciler is package lifecycle in small: the same steps in the same order,
// and time for something to happen between any two of them.
type reconciler struct {
	*world
	watch  life.Watch
	ask    time.Time
	life   int // another replica has another one
	down   bool
	mortal bool // it may die between two steps
	busy   bool
	again  bool
	due    time.Time
}

// simRestart is a restart of the whole cluster as it was decided.
type simRestart struct {
	cause life.Cause
	began time.Time
	ended time.Time
	old   map[types.UID]bool
}

func (r *reconciler) wake(d time.Duration) {
	at := r.now.Add(d)
	if r.down || !r.due.IsZero() && !r.due.After(at) && !r.due.Before(r.now) {
		return
	}
	r.due = at
	who := r.life
	r.after(d, func() {
		if r.life != who || r.down || !r.due.Equal(at) {
			return
		}
		r.due = time.Time{}
		if r.busy {
			r.again = true
			return
		}
		r.busy = true
		r.step(r.read)
	})
}

// step goes on after a moment, unless the replica dies.
func (r *reconciler) step(next func()) {
	who := r.life
	if r.mortal && r.chance(400) {
		r.die(r.between(100*time.Millisecond, 20*time.Second))
		return
	}
	r.after(r.between(time.Millisecond, 40*time.Millisecond), func() {
		if r.life == who {
			next()
		}
	})
}

// die has another replica go on later, which knows nothing but the objects.
func (r *reconciler) die(gap time.Duration) {
	r.tell("the reconciler dies")
	r.life++
	r.down, r.busy, r.again, r.due = true, false, false, time.Time{}
	r.watch, r.ask = life.Watch{}, time.Time{}
	r.after(gap, func() {
		r.down = false
		r.wake(0)
	})
}

func (r *reconciler) done(again time.Duration) {
	r.busy = false
	if r.again {
		r.again = false
		again = time.Millisecond
	}
	if again > 0 {
		r.wake(again)
	}
}

// read looks at the set, and injects one whose scale was written.
func (r *reconciler) read() {
	if r.count != r.replicas {
		r.count = r.replicas
		r.generation++
		r.changed()
		r.done(0)
		return
	}
	version := r.version
	set := life.Set{
		Replicas: r.replicas, Revision: r.revision, Settled: r.observed >= r.generation && r.count == r.replicas,
		LeaderReadiness: true, Fenced: true,
	}
	status := r.status
	r.step(func() { r.list(version, set, status) })
}

func (r *reconciler) list(version int, set life.Set, status life.Status) {
	in := life.Input{Now: r.now, Set: set, Status: status, Limits: limits}
	in.FenceUp = status.AwaitsFence() && r.fenced && len(r.endpoints) == 0
	silent := false
	for _, p := range r.pods {
		in.Pods = append(in.Pods, p.Pod)
		silent = silent || p.cutOff
	}
	if !r.watch.Last.IsZero() && (r.ask.IsZero() || r.now.Before(r.ask)) {
		r.decide(version, in)
		return
	}
	took := r.between(time.Millisecond, 50*time.Millisecond)
	if silent {
		took = time.Second
	}
	who := r.life
	r.after(took, func() {
		if r.life == who {
			r.watch = r.watch.Next(r.answers(in.Pods), in.Now)
			r.ask = time.Time{}
			r.decide(version, in)
		}
	})
}

func (r *reconciler) decide(version int, in life.Input) {
	in.Watch = r.watch
	d := life.Decide(in)
	again := d.Again
	if d.Ask > 0 {
		r.ask = r.watch.Last.Add(d.Ask)
		if wait := max(time.Millisecond, r.ask.Sub(in.Now)); again == 0 || wait < again {
			again = wait
		}
	}
	r.step(func() { r.keep(version, in.Status, d, again) })
}

// keep writes the status, into the very set that was read.
func (r *reconciler) keep(version int, before life.Status, d life.Decision, again time.Duration) {
	if !reflect.DeepEqual(before, d.Status) {
		if r.version != version {
			r.done(r.between(5*time.Millisecond, 100*time.Millisecond))
			return
		}
		r.note(d)
		r.status = d.Status
		r.version++
		r.wake(r.between(time.Millisecond, 60*time.Millisecond))
	}
	r.step(func() { r.serve(d, again) })
}

// note writes down what was decided, to be judged.
func (r *reconciler) note(d life.Decision) {
	if d.Status.Phase != r.status.Phase || d.Began != "" {
		r.tell("%s: %s", d.Status.Phase, d.Status.Message)
	}
	if d.Formed > 0 { // what is stored is in it from now on
		for _, h := range r.processes() {
			if h.cloud != nil {
				h.cloud.began = maps.Clone(h.cloud.members)
			}
		}
	}
	if d.Began != "" {
		r.judge(d.Began)
	}
	if d.Status.Restart != nil && r.status.Restart == nil { // also one that is none for people
		r.restarts = append(r.restarts, &simRestart{cause: d.Status.Restart.Cause, began: r.now, old: map[types.UID]bool{}})
	}
	if d.Status.Restart != nil {
		for _, uid := range d.Status.Restart.Old {
			r.restarts[len(r.restarts)-1].old[uid] = true
		}
	}
	if d.Status.Restart == nil && r.status.Restart != nil {
		r.restarts[len(r.restarts)-1].ended = r.now
	}
}

// serve makes the Services what the status says, then the old pods go behind the fence.
func (r *reconciler) serve(d life.Decision, again time.Duration) {
	fenced := d.Status.Restart != nil
	if fenced != r.fenced || d.Status.Leader != r.leader {
		r.fenced, r.leader = fenced, d.Status.Leader
		if !r.sliced {
			r.sliced = true
			r.after(r.between(5*time.Millisecond, 300*time.Millisecond), r.slice)
		}
	}
	if len(d.Delete) == 0 {
		r.done(again)
		return
	}
	r.step(func() {
		if len(r.endpoints) > 0 {
			r.done(100 * time.Millisecond)
			return
		}
		r.step(func() {
			for i := range d.Delete {
				at := slices.IndexFunc(r.pods, func(p *simPod) bool { return p.UID == d.Delete[i].UID })
				if at >= 0 {
					r.delete(r.pods[at])
				}
			}
			r.done(again)
		})
	})
}
