package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// installedIn is the namespace that the install manifests use.
const installedIn = "h2o-webhook-system"

// next says what a person can do about a cluster.
func next(s *ClusterStatus, f Facts, d *Details) []string {
	if s.NotManaged != nil {
		return []string{nextNotManaged(s, f)}
	}
	steps := nextInPhase(s, d)
	if at := slices.IndexFunc(s.Problems, func(p Finding) bool { return p.Reason == ReasonService }); at >= 0 {
		steps = append(steps, "See to the Service: "+s.Problems[at].Message+".")
	}
	if len(s.Outdated) > 0 {
		steps = append(steps, fmt.Sprintf("Nothing restarts for outdated settings. To take them over, when its memory may be lost: kubectl -n %s rollout restart sts/%s.", s.Namespace, s.Name))
	}
	return steps
}

func nextNotManaged(s *ClusterStatus, f Facts) string {
	switch s.NotManaged.Reason {
	case ReasonNoLabel, ReasonOtherValue:
		return fmt.Sprintf("To make it an H2O cluster: kubectl -n %s label --overwrite sts/%s %s=%s.", s.Namespace, s.Name, inject.LabelCluster, inject.LabelClusterValue)
	case ReasonDeleted:
		return "Wait until it is gone; one of the same name can be made then."
	case ReasonTerminating:
		return "Nothing can be made in a namespace that is going: use another."
	case ReasonRejected:
		return "Correct what the rejection names and apply it again."
	case ReasonUnreadable:
		return "Install a webhook of the version that injected it, or apply its manifest anew."
	case ReasonNoWebhook:
		return "Install the webhook; it injects what was labelled before."
	}
	where := installedIn
	if f.More.Webhook != nil && len(f.More.Webhook.Webhooks) > 0 && f.More.Webhook.Webhooks[0].ClientConfig.Service != nil {
		where = f.More.Webhook.Webhooks[0].ClientConfig.Service.Namespace
	}
	return fmt.Sprintf("See whether the webhook runs: kubectl -n %s get pods. It injects the StatefulSet when it is back.", where)
}

func nextInPhase(s *ClusterStatus, d *Details) []string {
	if slices.ContainsFunc(s.Problems, func(p Finding) bool { return p.Reason == ReasonNotFollowed || p.Reason == ReasonOutOfDate }) {
		return []string{fmt.Sprintf("See whether the webhook runs: kubectl -n %s get pods. What is said here is from when it last looked.", installedIn)}
	}
	switch s.Phase {
	case life.PhasePending:
		return []string{nextPending(s, d)}
	case life.PhaseForming:
		return append([]string{fmt.Sprintf("Wait, and follow it: kubectl h2o status -n %s %s -w.", s.Namespace, s.Name)}, nextCrashing(s, d)...)
	case life.PhaseFormed:
		return []string{fmt.Sprintf("Connect to it: kubectl h2o forward -n %s %s, or in the cluster http://%s.%s:54321.", s.Namespace, s.Name, leaderService(d), s.Namespace)}
	case life.PhaseDegraded:
		return append([]string{"Do what the message says: " + s.Message + "."}, nextCrashing(s, d)...)
	case life.PhaseRestarting:
		return []string{"Wait: a restart goes on by itself. Where something holds it, the message above says what, and what you can do."}
	case life.PhaseStopped:
		return []string{fmt.Sprintf("Start it with the number of nodes that you want: kubectl -n %s scale sts/%s --replicas=3.", s.Namespace, s.Name)}
	}
	return nil
}

func leaderService(d *Details) string {
	for i := range d.Services {
		if d.Services[i].Role == inject.ServiceLeader {
			return d.Services[i].Name
		}
	}
	return ""
}

// nextPending says why no node runs.
func nextPending(s *ClusterStatus, d *Details) string {
	for i := range d.Pods {
		p := &d.Pods[i]
		switch {
		case p.Problem == "":
		case p.Node == "":
			return fmt.Sprintf("Pod %s fits on no machine: %s. Ask for less memory or CPU in its resources, or give the cluster another machine.", p.Name, strings.TrimSuffix(p.Problem, "."))
		default:
			return fmt.Sprintf("Pod %s does not start: %s. See kubectl -n %s describe pod %s.", p.Name, strings.TrimSuffix(p.Problem, "."), s.Namespace, p.Name)
		}
	}
	if len(d.Pods) == 0 {
		return fmt.Sprintf("It has no pods yet. If none come, a quota or an admission rule may refuse them: kubectl -n %s describe sts %s.", s.Namespace, s.Name)
	}
	return fmt.Sprintf("Wait for images and volumes. To see what a pod waits for: kubectl -n %s describe pod %s.", s.Namespace, d.Pods[0].Name)
}

// nextCrashing points at a node whose H2O ends again and again.
func nextCrashing(s *ClusterStatus, d *Details) []string {
	for i := range d.Pods {
		if p := &d.Pods[i]; p.LastExit != "" && p.Restarts > 0 && !p.Member {
			return []string{fmt.Sprintf("H2O in %s ended (%s). What it said before: kubectl -n %s logs --previous %s.", p.Name, p.LastExit, s.Namespace, p.Name)}
		}
	}
	return nil
}
