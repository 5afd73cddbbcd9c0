package lifecycle

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/life"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// watched is what is remembered of one cluster between two looks; all of it can
// be forgotten.
type watched struct {
	uid   types.UID
	phase life.Phase
	watch life.Watch
	ask   time.Time // when to ask the nodes again; zero for never
}

// memory remembers clusters by the names of their StatefulSets.
type memory struct {
	lock     sync.Mutex
	clusters map[client.ObjectKey]watched
}

func newMemory() *memory { return &memory{clusters: map[client.ObjectKey]watched{}} }

// of gives what is remembered of a set; a new one of the same name is new.
func (m *memory) of(set *appsv1.StatefulSet) watched {
	m.lock.Lock()
	defer m.lock.Unlock()
	if w, has := m.clusters[client.ObjectKeyFromObject(set)]; has && w.uid == set.UID {
		return w
	}
	return watched{uid: set.UID}
}

func (m *memory) keep(key client.ObjectKey, w watched) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.clusters[key] = w
}

func (m *memory) forget(key client.ObjectKey) {
	m.lock.Lock()
	defer m.lock.Unlock()
	delete(m.clusters, key)
}

// count counts the clusters of a phase.
func (m *memory) count(phase life.Phase) float64 {
	m.lock.Lock()
	defer m.lock.Unlock()
	n := 0
	for _, w := range m.clusters {
		if w.phase == phase {
			n++
		}
	}
	return float64(n)
}

// follow looks at an injected set's cluster, decides, and keeps the decision in
// the set. What is left of it to be done is for when the Services are as the set
// now says.
func (r *reconciler) follow(ctx context.Context, set *appsv1.StatefulSet, fenced, up bool) (life.Decision, error) {
	pods, err := r.pods(ctx, set)
	if err != nil {
		return life.Decision{}, err
	}
	known := r.memory.of(set)
	now := time.Now()
	status, first := life.Read(set), known.watch.Last.IsZero()
	if first || !known.ask.IsZero() && !now.Before(known.ask) {
		_, port := inject.Node(set)
		answers := r.asker.all(ctx, pods, port)
		if status.Generation == nil {
			r.asker.size(ctx, pods, answers)
		}
		known.watch = known.watch.Next(answers, now)
		known.ask = time.Time{}
	}
	facts := r.setFacts(set)
	facts.Fenced = fenced
	decision := life.Decide(life.Input{Now: now, Set: facts, Pods: pods, Watch: known.watch, Status: status, FenceUp: up, Limits: r.limits})
	if decision.Ask > 0 {
		due := known.watch.Last.Add(decision.Ask)
		if first && decision.Status.Phase == life.PhaseFormed {
			// After a start all clusters are asked at once; from then on spread out.
			due = known.watch.Last.Add(wait.Jitter(decision.Ask, 1))
		}
		known.ask = due
		decision.Again = sooner(decision.Again, max(time.Millisecond, due.Sub(now)))
	}
	known.phase = decision.Status.Phase
	r.memory.keep(client.ObjectKeyFromObject(set), known)
	if err := r.keepStatus(ctx, set, decision.Status); err != nil {
		return life.Decision{}, err
	}
	r.tell(ctx, set, decision)
	return decision, nil
}

// sooner gives the sooner of two times to look again, zero being never.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// setFacts reads what matters of a set.
func (r *reconciler) setFacts(set *appsv1.StatefulSet) life.Set {
	settings, err := policy.Resolve(r.settings(), set.Annotations)
	if err != nil {
		settings = r.settings() // it was refused and is said elsewhere
	}
	facts := life.Set{
		Replicas:        inject.Replicas(set),
		Revision:        set.Status.UpdateRevision,
		Settled:         set.Status.ObservedGeneration >= set.Generation && inject.CountsReplicas(set),
		OwnUpdates:      settings.UpdateStrategy == policy.UpdateKeep,
		IgnoreLoss:      settings.OnMemberLoss == policy.MemberLossIgnore,
		LeaderReadiness: settings.Readiness == policy.ReadinessLeader,
	}
	if settings.RecoveryDir != "" {
		facts.Recovery = settings.RecoveryDir + "/" + set.Namespace + "-" + set.Name
	}
	return facts
}

// keepStatus writes a status into the annotations of a set, if it is another.
// The resource version keeps it from going into a set that has changed since.
func (r *reconciler) keepStatus(ctx context.Context, set *appsv1.StatefulSet, status life.Status) error {
	annotations, err := status.Annotations()
	if err != nil {
		return err
	}
	same := true
	for name, value := range annotations {
		same = same && set.Annotations[name] == value
	}
	if same {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": set.ResourceVersion, "annotations": annotations}})
	if err != nil {
		return fmt.Errorf("cannot render the status: %w", err)
	}
	if err := r.client.Patch(ctx, set, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldOwner)); err != nil {
		return fmt.Errorf("cannot write the status: %w", err)
	}
	set.SetGroupVersionKind(statefulSetKind)
	return nil
}

// tell makes the Events and counts of a decision that has been kept.
func (r *reconciler) tell(ctx context.Context, set *appsv1.StatefulSet, decision life.Decision) {
	for _, e := range decision.Events {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		r.events.event(ctx, set, nil, kind, e.Reason, e.Note)
		log.FromContext(ctx).Info("cluster "+e.Reason, "uid", set.UID, "why", e.Note)
	}
	if decision.Began != "" {
		r.metrics.restarts.WithLabelValues(string(decision.Began)).Inc()
	}
	if decision.Formed > 0 {
		r.metrics.formation.Observe(decision.Formed.Seconds())
	}
}
