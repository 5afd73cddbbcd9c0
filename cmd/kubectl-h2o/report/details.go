package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// maxEvents is how many warnings of the past are told.
const maxEvents = 10

// details says what the facts about one cluster mean, and adds to its problems.
func details(s *ClusterStatus, f Facts, pods []life.Pod) *Details {
	d := &Details{Pods: podsOf(f, pods), Events: eventsOf(f), Certificates: certificates(f)}
	if injected, err := inject.Recorded(f.Set); err == nil {
		d.Injected = changes(injected)
	}
	if s.NotManaged == nil {
		d.Services = services(f)
		d.DNS = dnsOf(f, d.Services)
		d.Warnings = warnings(f)
	}
	for i := range d.Services {
		for _, problem := range d.Services[i].Problems {
			s.add(ReasonService, "service %s %s", d.Services[i].Name, problem)
		}
	}
	for _, c := range d.Certificates {
		if c.Unknown == "" && c.DaysLeft < certificateSoon {
			s.add(ReasonCertificate, "the certificate %s ends in %d days", c.Where, c.DaysLeft)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(f.More.Unknown)) {
		if what == UnknownWebhook || what == UnknownSecret {
			continue // said of the certificates
		}
		d.Unknown = append(d.Unknown, Finding{ReasonCouldNotLookUp, what + ": " + f.More.Unknown[what]})
	}
	d.Next = next(s, f, d)
	return d
}

// warnings are what an injection would say today.
func warnings(f Facts) []string {
	renewed, err := inject.Renew(inject.Object{Set: f.Set}, settings(f.Set))
	if err != nil {
		return nil // it is among the problems
	}
	var said []string
	for _, w := range renewed.Warnings {
		said = append(said, w.String())
	}
	return said
}

func podsOf(f Facts, pods []life.Pod) []Pod {
	generation := life.Read(f.Set).Generation
	told := make([]Pod, 0, len(pods))
	for i := range pods {
		p := &pods[i]
		t := Pod{
			Name: p.Name, Node: p.Node, IP: p.IP, Ready: p.Ready, Restarts: p.Restarts, Problem: p.Problem,
			Phase: podPhase(&f.Pods[i]), Probe: cmp.Or(f.More.Probes[p.Name], ProbeNone), Member: isMember(generation, p),
		}
		if p.Exit != nil {
			t.LastExit = p.Exit.String()
		}
		told = append(told, t)
	}
	return told
}

// podPhase is the phase with what kubectl says in its place.
func podPhase(p *corev1.Pod) string {
	switch {
	case p.DeletionTimestamp != nil:
		return "Terminating"
	case p.Status.Phase == "":
		return string(corev1.PodPending)
	default:
		return string(p.Status.Phase)
	}
}

// eventsOf picks the warnings about a set and its pods, the latest last.
func eventsOf(f Facts) []Event {
	var told []Event
	for i := range f.More.Events {
		e := &f.More.Events[i]
		if e.Type != corev1.EventTypeWarning || !concerns(e, f) {
			continue
		}
		t := Event{Time: e.EventTime.Time, About: strings.ToLower(e.Regarding.Kind) + " " + e.Regarding.Name, Finding: Finding{e.Reason, e.Note}, Count: 1}
		if t.Time.IsZero() {
			t.Time = e.DeprecatedLastTimestamp.Time
			t.Count = max(1, e.DeprecatedCount)
		}
		if e.Series != nil {
			t.Time, t.Count = e.Series.LastObservedTime.Time, e.Series.Count
		}
		told = append(told, t)
	}
	slices.SortStableFunc(told, func(a, b Event) int { return a.Time.Compare(b.Time) })
	return told[max(0, len(told)-maxEvents):]
}

// concerns says whether an Event is about the cluster and says something. That a
// readiness probe fails does not: followers are never ready.
func concerns(e *eventsv1.Event, f Facts) bool {
	if e.Reason == "Unhealthy" && strings.HasPrefix(e.Note, "Readiness probe failed") {
		return false
	}
	if e.Regarding.UID == f.Set.UID {
		return true
	}
	return e.Regarding.Kind == "Pod" && slices.ContainsFunc(f.Pods, func(p corev1.Pod) bool { return p.UID == e.Regarding.UID })
}
