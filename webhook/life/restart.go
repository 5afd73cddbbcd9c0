package life

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// maxBackoff bounds how long a restart that nobody asked for waits.
	maxBackoff = 5 * time.Minute
	// calmAfter is how long a cluster has to be formed for its earlier restarts
	// to be forgotten.
	calmAfter = 10 * time.Minute
	// heldAfter is how long after its time a deleted pod may stay before it is
	// said to hold the restart.
	heldAfter = 10 * time.Second
	// takesSignals is how long after its start a JVM takes signals for sure. As
	// the first process of its container it would never see an earlier one that
	// asks it to end, and be killed only at the end of its grace period.
	takesSignals = 3 * time.Second
	// fenceAgain is when a fence that goes up is looked at again: the endpoint
	// controller takes milliseconds.
	fenceAgain = 100 * time.Millisecond
	// lookAgain is when a restart that waits is looked at again.
	lookAgain = 2 * time.Second
)

// unasked says whether nobody asked for a restart, so that it may come again and again.
func (c Cause) unasked() bool {
	return c == CauseMemberLost || c == CauseContainerRestarted || c == CauseFormation
}

// begin decides on a restart, or to wait with it.
func (d *decider) begin(cause Cause, why string) {
	s := &d.out.Status
	if cause.unasked() {
		if g := s.Generation; g != nil && d.Now.Sub(g.Formed) >= calmAfter {
			s.Streak = 0
		}
		if wait := s.LastRestart.Add(d.backoff(s.Streak)).Sub(d.Now); wait > 0 {
			d.delay(why, wait)
			return
		}
		s.Streak++
	} else {
		s.Streak = 0
	}
	s.Restart = &Restart{Cause: cause, Why: why, Since: d.Now, DeleteAfter: d.deleteAfter(), Old: uids(d.Pods)}
	s.Restart.Starting = cause == CauseTemplate && d.starting()
	if cause != CauseStop && !s.Restart.Starting {
		s.Restarts++
		s.LastCause, s.LastRestart = cause, d.Now
	}
	if !s.Restart.Starting {
		d.out.Began = cause
	}
	s.Generation = nil
	d.goOn()
}

// starting says whether no pod has looked for its peers yet since the set was
// made or scaled up from zero.
func (d *decider) starting() bool {
	return d.out.Status.Started.IsZero() && len(these(d.Pods, func(p *Pod) bool { return p.mayAsk(d.Now) })) == 0
}

// backoff is how long after the last restart the next one may come.
func (d *decider) backoff(streak int) time.Duration {
	if streak == 0 {
		return 0
	}
	return min(maxBackoff, d.Limits.Backoff<<min(streak-1, 16))
}

func (d *decider) delay(why string, wait time.Duration) {
	at := d.Now.Add(wait).Format(time.RFC3339)
	if d.out.Status.Phase != PhaseDegraded {
		d.tell(true, ReasonRestartDelayed, fmt.Sprintf("nobody asked for the last %d restarts, so the next one waits until %s", d.out.Status.Streak, at))
	}
	d.enter(PhaseDegraded, true, "%s; the whole cluster is restarted at %s", why, at)
	d.out.Again, d.out.Ask = wait, askDegraded
}

// deleteAfter is when an answer with an old node's address, which a node that
// looked for its peers put into a DNS cache, is forgotten everywhere. A formed
// cluster asks no more, so it can go at once.
func (d *decider) deleteAfter() time.Time {
	after := d.Now
	if g := d.out.Status.Generation; g != nil && len(these(d.Pods, func(p *Pod) bool { return g.Members[p.Name].UID == p.UID })) < len(g.Members) {
		// Whoever was in the place of one that is gone may have looked before we did.
		after = later(after, d.Watch.first.Add(d.Limits.DNSTTL))
	}
	for i := range d.Pods {
		asked := d.lastAsked(&d.Pods[i])
		if !asked.IsZero() {
			after = later(after, asked.Add(d.Limits.DNSTTL))
		}
	}
	return after
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// lastAsked is when H2O in a pod may last have looked for its peers, in this run
// or in one before that crashed; zero for never.
func (d *decider) lastAsked(p *Pod) time.Time {
	n, _ := d.Watch.of(p.UID)
	member, runs := false, p.Restarts // since it was a member, if it was
	if !p.Running && p.Exit != nil {
		runs++ // the one that is to come
	}
	g := d.out.Status.Generation
	if g != nil && p.UID == g.Members[p.Name].UID {
		member, runs = true, runs-g.Members[p.Name].Restarts
	}
	switch {
	case member && runs == 0:
		return g.Formed
	case !n.opened.IsZero() && n.opened.After(p.Started) && p.Running: // in this run
		return n.opened
	case !p.Ours:
		return time.Time{}
	case p.mayAsk(d.Now) || runs > 1 || !member && (runs == 1 || p.Ended && p.IP != ""):
		return d.Now
	case member:
		return g.Formed
	}
	return time.Time{}
}

// fence notes that the fence is up. Where that took a while, as when another
// replica had to put it up, nodes may have looked for each other until now.
func (d *decider) fence() {
	r := d.out.Status.Restart
	r.Fenced = d.Now
	if r.DeleteAfter.After(r.Since) {
		r.DeleteAfter = r.DeleteAfter.Add(d.Now.Sub(r.Since))
	}
	for i := range d.Pods {
		if p := &d.Pods[i]; p.Ours && p.mayAsk(d.Now) && !p.mayAsk(r.Since) {
			r.DeleteAfter = later(r.DeleteAfter, d.Now.Add(d.Limits.DNSTTL))
		}
	}
}

// noteOld writes down who has to go besides those that were there when the restart began.
func (d *decider) noteOld() {
	r := d.out.Status.Restart
	for i := range d.Pods {
		p := &d.Pods[i]
		alsoOld := p.Deleting() || d.Set.Replicas == 0 || d.Set.Settled && d.stale(p) ||
			d.Set.Fenced && p.mayAsk(r.DeleteAfter) // so it may have been given old addresses
		if alsoOld && !slices.Contains(r.Old, p.UID) {
			r.Old = append(r.Old, p.UID)
		}
	}
}

// goOn takes a restart as far as it can go now.
func (d *decider) goOn() {
	s := &d.out.Status
	r := s.Restart
	if d.FenceUp && d.Set.Fenced && r.Fenced.IsZero() {
		d.fence()
	}
	d.noteOld()
	left := these(d.Pods, func(p *Pod) bool { return slices.Contains(r.Old, p.UID) })
	if d.Set.Fenced && r.Fenced.IsZero() {
		d.out.Again = fenceAgain
		d.enter(PhaseRestarting, r.Cause.unasked(), "%s", d.restartNote())
		return
	}
	wait := r.DeleteAfter.Sub(d.Now) // also when the old ones went by themselves
	if len(left) == 0 && (wait <= 0 || !d.Set.Fenced) {
		s.Restart, s.Started = nil, d.Now
		d.follow()
		return
	}
	if d.Set.Replicas == 0 && len(left) == 0 {
		// It is stopped; what is left of the wait is for those that start next.
		d.out.Again = wait
		d.enterStopped()
		return
	}
	d.out.Again = lookAgain
	d.enter(PhaseRestarting, r.Cause.unasked(), "%s", d.restartNote())
	if !d.Set.Settled || d.Set.Replicas == 0 {
		return
	}
	if wait > 0 && d.Set.Fenced {
		d.out.Again = min(wait, lookAgain)
		return
	}
	// Behind no fence the new nodes wait for nobody, and meet an old one that is
	// slow to end again and again. A cluster that never was one loses nothing more.
	d.out.Hurry = !d.Set.Fenced && r.Cause == CauseFormation
	d.out.Delete = these(left, func(p *Pod) bool {
		return !p.Deleting() && (!p.Running || d.Now.Sub(p.Started) >= takesSignals)
	})
	d.reportHeld(left)
}

// reportHeld says which pods keep a restart from going on, and what can be done.
func (d *decider) reportHeld(left []Pod) {
	held := these(left, func(p *Pod) bool { return p.Deleting() && d.Now.Sub(p.Deleted) > heldAfter })
	if len(held) == 0 {
		return
	}
	// Pods come in no order, and what is said must not change with it.
	slices.SortFunc(held, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
	s := &d.out.Status
	message := fmt.Sprintf("waiting for %s to end: its machine may be down, and new nodes must not meet it. When the machine is back or its node object is deleted the restart goes on; if it is surely dead: kubectl delete pod --force %s",
		held[0].where(), held[0].Name)
	if s.Message != message && d.Status.Message != message {
		d.tell(true, ReasonRestartHeld, message)
	}
	s.Message = message
}

// restartNote says why a restart is made and what becomes of running work.
func (d *decider) restartNote() string {
	note := d.out.Status.Restart.Why
	if d.Set.Replicas == 0 {
		return note + ": its nodes are going"
	}
	if d.out.Status.Restart.Cause == CauseStop {
		return "it was stopped a moment ago: new nodes wait until the old ones, and what DNS says of them, are gone"
	}
	if d.out.Status.Restart.Starting {
		return note + " while it started: its pods are made anew"
	}
	note += ": the whole cluster is restarted"
	if !d.Set.Fenced {
		note += ". Its discovery Service is somebody else's, so new nodes may meet old ones; if they do, it is restarted again, with a second for each to end"
	}
	if d.Set.Recovery == "" {
		return note + ". What is in its memory is lost"
	}
	return note + fmt.Sprintf(". A grid search that is running goes on from %s when a cluster of the same size has formed; all else in its memory is lost", d.Set.Recovery)
}

func (g *Generation) clone() *Generation {
	if g == nil {
		return nil
	}
	c := *g // the members are never changed
	return &c
}

func (r *Restart) clone() *Restart {
	if r == nil {
		return nil
	}
	c := *r
	c.Old = append([]types.UID(nil), r.Old...)
	return &c
}
