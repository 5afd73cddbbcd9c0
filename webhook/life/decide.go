package life

import (
	"fmt"
	"time"
)

// Input is everything that a decision is made from.
type Input struct {
	Now time.Time
	Set Set
	// Pods are all pods that the StatefulSet controls, old ones too.
	Pods []Pod
	// Watch is what they said, Status what was decided before.
	Watch  Watch
	Status Status
	// FenceUp: nobody can find a node through the discovery Service now, but for
	// what DNS caches hold. It is only looked at while a restart awaits it.
	FenceUp bool
	Limits  Limits
}

// Set is what matters of a StatefulSet.
type Set struct {
	// Replicas is how many nodes are wanted.
	Replicas int
	// Revision is what new pods are made from.
	Revision string
	// Settled: the StatefulSet controller has seen the latest spec, and its
	// template counts Replicas. Before that nothing is restarted, or it would be
	// restarted twice.
	Settled bool
	// OwnUpdates: the user's own update strategy is kept, so a new revision is
	// brought to the pods by the StatefulSet controller and not by us.
	OwnUpdates bool
	// IgnoreLoss: a cluster that lost a node is left as it is.
	IgnoreLoss bool
	// LeaderReadiness: the kubelet asks the nodes whether they lead, so that its
	// word can stand for ours.
	LeaderReadiness bool
	// Fenced: the discovery Service is ours, so a restart can keep the new nodes
	// from the old ones.
	Fenced bool
	// Recovery is where grid searches are saved, empty for nowhere.
	Recovery string
}

// Limits are times that differ between installations.
type Limits struct {
	// DNSTTL is how long a DNS answer may be cached anywhere in the cluster.
	DNSTTL time.Duration
	// Backoff is how long the second restart that nobody asked for waits after
	// the first; it doubles with each further one, up to maxBackoff.
	Backoff time.Duration
}

// Decision is what there is to do.
type Decision struct {
	// Status is to be kept. The Services follow from it.
	Status Status
	// Delete are pods to be deleted once the Services are as the status says.
	Delete []Pod
	// Hurry: they are not given their own grace period to end, but a second.
	Hurry bool
	// Events are to be told.
	Events []Event
	// Again is when to decide again although nothing happened, Ask when to ask
	// the nodes again. Zero means never.
	Again, Ask time.Duration
	// Began is the cause of a restart that this decision begins.
	Began Cause
	// Formed is how long the formation took that this decision saw; zero for none.
	Formed time.Duration
}

// Event is something to tell the user of a cluster.
type Event struct {
	Warning bool
	Reason  string
	Note    string
}

// Reasons of Events beside the phases; they stay the same over releases.
const (
	ReasonRestartHeld    = "RestartHeld"
	ReasonRestartDelayed = "RestartDelayed"
	ReasonClusterLost    = "ClusterLost"
)

// decider makes one decision.
type decider struct {
	Input
	view view
	out  Decision
}

// Decide says where a cluster is and what there is to do. It can be asked at
// any time and any number of times: what was decided before is in the status.
func Decide(in Input) Decision {
	d := &decider{Input: in, view: in.Watch.view(in.Pods, in.Set.Replicas)}
	d.out.Status = in.Status
	d.out.Status.Generation = in.Status.Generation.clone()
	d.out.Status.Restart = in.Status.Restart.clone()
	d.noteEnd()
	d.noteLoss()
	switch cause, why := d.trigger(); {
	case d.out.Status.Restart != nil:
		d.goOn()
	case cause != "":
		d.begin(cause, why)
	default:
		d.follow()
	}
	d.setLeader()
	return d.out
}

// enter makes a phase the present one. The transition is an Event.
func (d *decider) enter(phase Phase, warning bool, format string, args ...any) {
	s, message := &d.out.Status, fmt.Sprintf(format, args...)
	if s.Phase != phase {
		s.Phase, s.Since = phase, d.Now
		d.tell(warning, string(phase), message)
	}
	s.Message = message
}

func (d *decider) tell(warning bool, reason, note string) {
	d.out.Events = append(d.out.Events, Event{Warning: warning, Reason: reason, Note: note})
}

// setLeader decides where clients are led to.
func (d *decider) setLeader() {
	s := &d.out.Status
	s.Leader, s.ByReadiness = "", false
	g := s.Generation
	if g == nil || s.Restart != nil || g.Lost != "" && !d.Set.IgnoreLoss {
		return
	}
	if g.Proof == ProofReadiness {
		s.ByReadiness = true
		return
	}
	for i := range d.Pods {
		if p := &d.Pods[i]; p.Name == g.Leader && d.lost(p) == "" {
			s.Leader = g.Leader
		}
	}
}

// trigger says why the whole cluster has to be restarted now, if it has to.
func (d *decider) trigger() (Cause, string) {
	going := these(d.Pods, func(p *Pod) bool { return p.Deleting() && p.IP != "" })
	stale := these(d.Pods, d.stale)
	g := d.out.Status.Generation
	switch {
	case d.Set.Replicas == 0 && len(d.Pods) > 0:
		return CauseStop, "zero replicas are wanted"
	case !d.Set.Settled || d.Set.Replicas == 0:
		return "", ""
	case len(stale) > 0 && len(these(stale, func(p *Pod) bool { return !p.Ours })) > 0:
		return CauseAdoption, "its pods are from before it was managed"
	case g != nil && len(g.Members) != d.Set.Replicas:
		return CauseResize, fmt.Sprintf("%d nodes are wanted instead of %d, and a formed cluster cannot change its size", d.Set.Replicas, len(g.Members))
	case len(stale) > 0:
		return CauseTemplate, "its pod template changed"
	case g != nil && g.Lost != "" && !d.Set.IgnoreLoss:
		return g.LostCause, g.Lost
	case g == nil && len(going) > 0 && d.Set.Replicas > 1:
		return CauseReplaced, fmt.Sprintf("%s went before the cluster had formed, and the others would go on with its address", names(going))
	}
	if why := d.Watch.wrong(d.view, d.Now, d.Limits.DNSTTL); why != "" && (g == nil || !d.Set.IgnoreLoss) {
		return CauseFormation, why
	}
	return "", ""
}

// stale says whether a pod is of another revision than new ones are.
func (d *decider) stale(p *Pod) bool {
	return !d.Set.OwnUpdates && d.Set.Revision != "" && p.Revision != d.Set.Revision
}

// noteEnd forgets a generation of which nothing is left. Whoever runs now is new,
// and may have become a whole cluster while nobody looked, so it is followed like
// any other formation.
func (d *decider) noteEnd() {
	s := &d.out.Status
	if s.Generation == nil {
		return
	}
	for i := range d.Pods {
		p := &d.Pods[i]
		m, member := s.Generation.Members[p.Name]
		if member && p.UID == m.UID && p.Restarts == m.Restarts && !p.Ended && (p.Running || p.Exit == nil) {
			return
		}
	}
	s.Generation, s.Started = nil, time.Time{}
	if d.Set.Replicas > 0 {
		d.tell(true, ReasonClusterLost, "all of its nodes went: what was in its memory is lost")
	}
}

// noteLoss writes down what a formed cluster has lost.
func (d *decider) noteLoss() {
	g := d.out.Status.Generation
	if g == nil || g.Lost != "" {
		return
	}
	present := map[string]*Pod{}
	for i := range d.Pods {
		present[d.Pods[i].Name] = &d.Pods[i]
	}
	for _, name := range g.names() {
		p, has := present[name]
		why := name + " is gone"
		if has {
			why = d.lost(p)
		}
		if why == "" {
			continue
		}
		g.Lost, g.LostCause = why, CauseMemberLost
		if has && p.UID == g.Members[name].UID && !p.Deleting() && !p.Ended {
			g.LostCause = CauseContainerRestarted
		}
		return
	}
}

// lost says how a pod is no longer the member that it was, empty when it is.
func (d *decider) lost(p *Pod) string {
	m, member := d.out.Status.Generation.Members[p.Name]
	switch {
	case !member:
		return p.Name + " is no member"
	case p.UID != m.UID:
		return p.Name + " was replaced by another pod of the same name"
	case p.Deleting():
		return p.where() + " is being deleted"
	case p.Ended:
		return fmt.Sprintf("%s ended (%s)", p.where(), p.Problem)
	case p.Restarts > m.Restarts || !p.Running && p.Exit != nil:
		why := fmt.Sprintf("H2O in %s restarted in place, with an empty store", p.where())
		if p.Exit != nil {
			why += fmt.Sprintf(" (%s)", p.Exit)
		}
		return why
	}
	return ""
}
