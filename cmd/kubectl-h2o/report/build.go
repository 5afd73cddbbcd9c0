package report

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Reasons of findings; they stay the same over releases.
const (
	ReasonNoLabel        = "NoLabel"
	ReasonOtherValue     = "OtherLabelValue"
	ReasonNotInjected    = "NotInjected"
	ReasonRejected       = "Rejected"
	ReasonDeleted        = "BeingDeleted"
	ReasonTerminating    = "NamespaceTerminating"
	ReasonNoWebhook      = "WebhookNotInstalled"
	ReasonNotFollowed    = "NotFollowed"
	ReasonOutOfDate      = "StatusOutOfDate"
	ReasonNotFormed      = "NotFormed"
	ReasonService        = "Service"
	ReasonUnreadable     = "RecordUnreadable"
	ReasonCertificate    = "Certificate"
	ReasonCouldNotLookUp = "CouldNotLookUp"
)

// Build says what facts mean.
func Build(f Facts) ClusterStatus {
	s := ClusterStatus{
		Namespace: f.Set.Namespace, Name: f.Set.Name, Created: f.Set.CreationTimestamp.Time,
		Nodes: Nodes{Wanted: inject.Replicas(f.Set)},
	}
	pods := lifePods(f)
	for i := range pods {
		if pods[i].Running {
			s.Nodes.Running++
		}
	}
	s.NotManaged = notManaged(f)
	if inject.Managed(f.Set) && inject.Injected(f.Set) {
		readLife(&s, f, pods)
	}
	if s.NotManaged == nil {
		readOutdated(&s, f.Set)
	} else {
		s.Formed, s.Problems = false, nil // being no cluster is all there is to say
	}
	if f.More != nil {
		s.APIVersion, s.Kind = APIVersion, Kind
		s.Details = details(&s, f, pods)
	}
	return s
}

// readLife takes over what the webhook wrote down, as far as it is still true.
func readLife(s *ClusterStatus, f Facts, pods []life.Pod) {
	status := life.Read(f.Set)
	s.Phase, s.Since, s.Message, s.Leader = status.Phase, status.Since, status.Message, status.Leader
	s.Restarts = Restarts{Count: status.Restarts, LastCause: status.LastCause, Last: status.LastRestart}
	if g := status.Generation; g != nil {
		s.Nodes.Formed = len(g.Members)
		if status.ByReadiness {
			s.Leader = g.Leader
		}
		if f.PodsKnown {
			s.Nodes.Formed = members(g, pods)
		}
		if f.PodsKnown && !leads(g, s.Leader, pods) {
			s.Leader = ""
		}
		s.LeaderUID = g.Members[s.Leader].UID
	}
	s.Formed = s.Phase == life.PhaseFormed && s.Nodes.Wanted > 0 && s.Nodes.Formed == s.Nodes.Wanted
	switch {
	case s.Phase == "":
		s.add(ReasonNotFollowed, "the webhook has not looked at it yet: its reconcilers may be away")
	case s.Phase == life.PhaseFormed && !s.Formed:
		s.add(ReasonOutOfDate, "it is said to be formed, but only %d of %d nodes are what they were then: the webhook is about to see to it, or away", s.Nodes.Formed, s.Nodes.Wanted)
	case s.Phase != life.PhaseFormed && s.Phase != life.PhaseStopped:
		s.add(ReasonNotFormed, "%s", s.Message)
	}
}

// members counts the pods that are still the members which they were when their
// cluster formed.
func members(g *life.Generation, pods []life.Pod) int {
	count := 0
	for i := range pods {
		if isMember(g, &pods[i]) {
			count++
		}
	}
	return count
}

// leads says whether a pod is still the member that leads.
func leads(g *life.Generation, leader string, pods []life.Pod) bool {
	return slices.ContainsFunc(pods, func(p life.Pod) bool { return p.Name == leader && isMember(g, &p) })
}

func isMember(g *life.Generation, p *life.Pod) bool {
	if g == nil {
		return false
	}
	m, has := g.Members[p.Name]
	return has && m.UID == p.UID && m.Restarts == p.Restarts && p.Running && !p.Deleting() && !p.Ended
}

func (s *ClusterStatus) add(reason, format string, args ...any) {
	s.Problems = append(s.Problems, Finding{reason, fmt.Sprintf(format, args...)})
}

// readOutdated compares what is injected with what the next rollout would bring.
func readOutdated(s *ClusterStatus, set *appsv1.StatefulSet) {
	renewed, err := inject.Renew(inject.Object{Set: set}, settings(set))
	if err != nil {
		s.add(ReasonRejected, "its next rollout would be rejected: %v", err)
		return
	}
	s.Outdated = changes(renewed.Changes)
}

func changes(list []inject.Change) []Change {
	var told []Change
	for i := range list {
		c := &list[i]
		told = append(told, Change{Field: c.Field.String(), Text: c.String(), Reason: string(c.Reason), Why: c.Reason.Explain()})
	}
	return told
}

// notManaged says why a StatefulSet is no H2O cluster, nil where it is one.
func notManaged(f Facts) *Finding {
	value, labelled := f.Set.Labels[inject.LabelCluster]
	switch {
	case !labelled:
		return &Finding{ReasonNoLabel, fmt.Sprintf("it has no label %s", inject.LabelCluster)}
	case value != inject.LabelClusterValue:
		return &Finding{ReasonOtherValue, fmt.Sprintf("its label %s is %q: only exactly %q is managed", inject.LabelCluster, value, inject.LabelClusterValue)}
	case f.Set.DeletionTimestamp != nil:
		return &Finding{ReasonDeleted, "it is being deleted" + held(f.Set.Finalizers)}
	case terminating(f):
		return &Finding{ReasonTerminating, fmt.Sprintf("its namespace %s is being deleted", f.Set.Namespace)}
	case inject.Injected(f.Set):
		return nil
	}
	return notInjected(f)
}

func held(finalizers []string) string {
	if len(finalizers) == 0 {
		return ""
	}
	return ", held by finalizers " + strings.Join(finalizers, ", ")
}

func terminating(f Facts) bool {
	return f.More != nil && f.More.Namespace != nil && f.More.Namespace.Status.Phase == corev1.NamespaceTerminating
}

// notInjected says why a labelled set was not injected: what the webhook would
// say to it today is found by asking the same function.
func notInjected(f Facts) *Finding {
	object := inject.Object{Set: f.Set}
	_, err := inject.Review(object, object, settings(f.Set))
	if rejected, ok := errors.AsType[*inject.RejectedError](err); ok {
		return &Finding{ReasonRejected, "labelled but not injected, and would be rejected: " + rejected.Message}
	}
	if _, has := f.Set.Annotations[policy.AnnotationInjected]; has {
		_, err := inject.Recorded(f.Set)
		return &Finding{ReasonUnreadable, fmt.Sprintf("labelled, but what was injected cannot be told: %v", err)}
	}
	if f.More != nil && f.More.Webhook == nil && f.More.Unknown[UnknownWebhook] == "" {
		return &Finding{ReasonNoWebhook, "labelled but not injected: the webhook is not installed in this cluster"}
	}
	return &Finding{ReasonNotInjected, "labelled but not injected: the webhook was away when it was written, and injects it when it is back"}
}
