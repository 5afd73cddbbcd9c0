package life

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// How often the nodes are asked: often while something is about to change,
// hardly while nothing is.
const (
	askForming  = 500 * time.Millisecond
	askSlowly   = 2 * time.Second
	askDegraded = 5 * time.Second
	askFormed   = time.Minute
	// askDoubted is how soon a leader is asked that the kubelet, which asks every
	// 5 s, has come to doubt. Kubernetes says when to the second.
	askDoubted = time.Second
	// patientAfter is when a formation is taken for a slow one.
	patientAfter = time.Minute
)

// follow says where a cluster is that need not be restarted.
func (d *decider) follow() {
	s := &d.out.Status
	ran := these(d.Pods, func(p *Pod) bool { return p.Running || p.Exit != nil })
	switch {
	case d.Set.Replicas == 0:
		s.Generation, s.Started = nil, time.Time{}
		d.enterStopped()
	case s.Generation != nil:
		d.followFormed()
	case len(ran) == 0:
		d.enter(PhasePending, false, "%s", d.missing())
	default:
		d.followForming()
	}
}

func (d *decider) enterStopped() {
	d.enter(PhaseStopped, false, "zero replicas are wanted; scale it up to start it")
}

// missing says which nodes do not run and why.
func (d *decider) missing() string {
	said := []string{fmt.Sprintf("%d of %d nodes run", len(these(d.Pods, func(p *Pod) bool { return p.Running })), d.Set.Replicas)}
	for i := range d.Pods {
		if p := &d.Pods[i]; p.Problem != "" {
			said = append(said, p.Name+": "+p.Problem)
		}
	}
	return strings.Join(said, "; ")
}

func (d *decider) followForming() {
	s := &d.out.Status
	if s.Started.IsZero() {
		s.Started = earliest(d.Pods)
	}
	switch {
	case d.Watch.proved(d.view, d.Now):
		d.formed(d.view.leaders[0].Name, ProofAnswers)
		return
	case d.readyForLong():
		ready := these(d.Pods, func(p *Pod) bool { return p.Ready })
		d.formed(ready[0].Name, ProofReadiness)
		return
	}
	d.out.Ask = askForming
	if d.Now.Sub(s.Started) > patientAfter {
		d.out.Ask = askSlowly
	}
	said := []string{d.missing()}
	if n := len(d.view.looking); n > 0 {
		said = append(said, fmt.Sprintf("looking for the others: %d", n))
	}
	if n := d.view.clouded(); n > 0 {
		said = append(said, fmt.Sprintf("in a cloud: %d", n))
	}
	if unreachable := d.view.unreachable; len(unreachable) > 0 && d.Now.Sub(d.Watch.Since) >= wrongAfter { // not only slow
		said = append(said, fmt.Sprintf("%s cannot be reached from the webhook: a network policy may be in the way", names(unreachable)))
	}
	d.enter(PhaseForming, false, "%s", strings.Join(said, "; "))
}

// earliest is when the first of the pods was made.
func earliest(pods []Pod) time.Time {
	var first time.Time
	for i := range pods {
		if c := pods[i].Created; first.IsZero() || c.Before(first) {
			first = c
		}
	}
	return first
}

// readyForLong says whether the kubelet sees one leader, where we see nobody.
func (d *decider) readyForLong() bool {
	n := d.Set.Replicas
	return d.Set.LeaderReadiness && len(d.view.unreachable) == n && len(d.Pods) == n && d.Now.Sub(d.Watch.Since) >= readyAfter &&
		len(these(d.Pods, func(p *Pod) bool { return p.Ready })) == 1 &&
		len(these(d.Pods, func(p *Pod) bool { return p.Running && d.Now.Sub(p.Started) >= readyAfter })) == n
}

// formed records a new generation.
func (d *decider) formed(leader string, proof Proof) {
	s := &d.out.Status
	s.Generation = &Generation{Revision: d.Set.Revision, Formed: d.Now, Leader: leader, Proof: proof, Members: map[string]Member{}}
	for i := range d.Pods {
		s.Generation.Members[d.Pods[i].Name] = Member{UID: d.Pods[i].UID, Restarts: d.Pods[i].Restarts}
	}
	took := d.Now.Sub(s.Started)
	d.out.Formed, d.out.Ask = took, askFormed
	d.enter(PhaseFormed, false, "%s, formed in %.1f s%s", d.whole(), took.Seconds(), d.resumedNote())
}

// whole describes a formed cluster.
func (d *decider) whole() string {
	g := d.out.Status.Generation
	text := fmt.Sprintf("a cluster of %d, led by %s", len(g.Members), g.Leader)
	if g.Proof == ProofReadiness {
		text += ", as far as readiness tells: the webhook cannot reach the pods"
	}
	return text
}

// resumedNote says what becomes of work that a restart interrupted. A cluster of
// another size than a grid search began in tries to resume it, and does nothing.
func (d *decider) resumedNote() string {
	if d.Set.Recovery == "" || d.Status.Phase == PhaseStopped || d.Status.Restarts == 0 {
		return ""
	}
	return fmt.Sprintf("; a grid search that was interrupted goes on by itself from %s if it began in a cluster of %d", d.Set.Recovery, d.Set.Replicas)
}

// followFormed looks after a formed cluster.
func (d *decider) followFormed() {
	g := d.out.Status.Generation
	d.out.Ask = askFormed
	if d.doubted(g.Leader) {
		d.out.Ask = askDoubted
	}
	switch silent := append(append([]Pod(nil), d.view.silent...), d.view.unreachable...); {
	case g.Lost != "" && d.Set.IgnoreLoss:
		d.enter(PhaseDegraded, true, "%s; it is left as it is, as annotation %s says", g.Lost, policy.AnnotationOnMemberLoss)
	case g.Lost != "":
		d.out.Again = lookAgain // it is restarted when the set has settled
	case len(d.Watch.nodes) == 0:
		// Not asked yet: it is what it was.
	case g.Proof == ProofReadiness && !d.view.whole():
		d.keepFormed()
	case d.view.whole():
		g.Leader, g.Proof = d.view.leaders[0].Name, ProofAnswers
		d.keepFormed()
	case len(silent) == 0:
		d.out.Ask = askForming // not one cloud any more: soon a reason to restart
	case d.Now.Sub(d.Watch.Since) < silentAfter && d.Status.Phase == PhaseFormed:
		d.out.Ask = askForming
	default:
		d.out.Ask = askDegraded
		slices.SortFunc(silent, func(a, b Pod) int { return strings.Compare(a.Name, b.Name) })
		d.enter(PhaseDegraded, true, "%s does not answer, and H2O cannot go on without it. Its memory may come back, so nothing is restarted; it will be when its pod is deleted. If its machine is lost: kubectl delete pod --force %s",
			silent[0].where(), silent[0].Name)
	}
}

// doubted says whether the kubelet has ceased to call a leader ready since it was
// asked last. Others are never ready, so of them only our own questions tell.
func (d *decider) doubted(leader string) bool {
	return d.Set.LeaderReadiness && len(these(d.Pods, func(p *Pod) bool {
		return p.Name == leader && !p.Ready && p.Unready.Add(askDoubted).After(d.Watch.Last)
	})) > 0
}

// keepFormed stays in, or comes back to, the formed phase.
func (d *decider) keepFormed() {
	if d.out.Status.Phase != PhaseFormed {
		d.enter(PhaseFormed, false, "%s", d.whole())
	}
}
