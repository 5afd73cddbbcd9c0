package life

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Phase is where a cluster is in its life.
type Phase string

// All phases.
const (
	// PhasePending: no node runs yet.
	PhasePending Phase = "Pending"
	// PhaseForming: nodes run, and look for each other or agree on a cloud.
	PhaseForming Phase = "Forming"
	// PhaseFormed: all replicas are in one H2O cloud.
	PhaseFormed Phase = "Formed"
	// PhaseDegraded: there is no whole cluster, and none is on its way.
	PhaseDegraded Phase = "Degraded"
	// PhaseRestarting: the old nodes are going, all of them, and new ones wait.
	PhaseRestarting Phase = "Restarting"
	// PhaseStopped: zero replicas are wanted, and none is there.
	PhaseStopped Phase = "Stopped"
)

// Phases lists all phases in the order in which a cluster meets them.
func Phases() []Phase {
	return []Phase{PhasePending, PhaseForming, PhaseFormed, PhaseDegraded, PhaseRestarting, PhaseStopped}
}

// Cause says why a whole cluster is restarted.
type Cause string

// All causes of a restart.
const (
	// CauseTemplate: the pod template changed, `kubectl rollout restart` included.
	CauseTemplate Cause = "TemplateChanged"
	// CauseResize: another number of nodes is wanted.
	CauseResize Cause = "Resized"
	// CauseAdoption: the pods are from before the StatefulSet was managed.
	CauseAdoption Cause = "Adopted"
	// CauseMemberLost: a pod of a formed cluster was replaced or is going.
	CauseMemberLost Cause = "MemberLost"
	// CauseContainerRestarted: H2O restarted inside of its pod, with an empty
	// store. H2O itself then says that all is well.
	CauseContainerRestarted Cause = "ContainerRestarted"
	// CauseFormation: the nodes did not become one cloud of all of them.
	CauseFormation Cause = "NotWhole"
	// CauseReplaced: a pod went while the others were still looking for it, and
	// they would go on with its address.
	CauseReplaced Cause = "PodReplaced"
	// CauseStop: zero replicas are wanted.
	CauseStop Cause = "Stopped"
)

// Causes lists all causes.
func Causes() []Cause {
	return []Cause{CauseTemplate, CauseResize, CauseAdoption, CauseMemberLost, CauseContainerRestarted, CauseFormation, CauseReplaced, CauseStop}
}

// Proof says how a formation was observed.
type Proof string

// All proofs.
const (
	// ProofAnswers: every pod was asked, see Watch.
	ProofAnswers Proof = "answers"
	// ProofReadiness: the pods cannot be reached from here, so the kubelet's
	// word is taken: exactly one of them is ready, and stays it.
	ProofReadiness Proof = "readiness"
)

// Status is everything about a cluster's life that must not be forgotten. It is
// kept in annotations of the StatefulSet.
type Status struct {
	// Phase is kept in an annotation of its own, to wait on.
	Phase Phase `json:"-"`
	// Since is when the phase began.
	Since time.Time `json:"since,omitzero"`
	// Message says in words what the phase means here and what a person can do.
	Message string `json:"message,omitempty"`
	// Leader names the pod that clients are led to; empty for none.
	Leader string `json:"leader,omitempty"`
	// ByReadiness: clients are led to whichever pod is ready, since the pods
	// cannot be asked.
	ByReadiness bool `json:"byReadiness,omitempty"`
	// Started is when the nodes that form, or formed, could first meet.
	Started time.Time `json:"started,omitzero"`
	// Generation is the cluster that formed last, nil after its restart began.
	Generation *Generation `json:"generation,omitempty"`
	// Restart is the restart under way, nil for none. While it is there the
	// discovery Service selects nobody.
	Restart *Restart `json:"restart,omitempty"`
	// Restarts counts the restarts that were begun, LastCause and LastRestart
	// say why and when the last of them was.
	Restarts    int       `json:"restarts,omitempty"`
	LastCause   Cause     `json:"lastCause,omitempty"`
	LastRestart time.Time `json:"lastRestart,omitzero"`
	// Streak counts the restarts that nobody asked for since the cluster last
	// was formed for long; the next one waits accordingly.
	Streak int `json:"streak,omitempty"`
}

// Generation is a formed cluster: the pods of one revision between two restarts
// of the whole.
type Generation struct {
	// Revision is the StatefulSet's, Formed the time of the formation.
	Revision string    `json:"revision"`
	Formed   time.Time `json:"formed"`
	// Leader names the leader's pod. A cloud's leader never changes while its
	// members live.
	Leader string `json:"leader,omitempty"`
	Proof  Proof  `json:"proof"`
	// Members are the pods of the cluster by name.
	Members map[string]Member `json:"members"`
	// Lost says what was lost and how; empty while the cluster is whole. It is
	// never emptied again: a lost node's data do not come back.
	Lost      string `json:"lost,omitempty"`
	LostCause Cause  `json:"lostCause,omitempty"`
}

// Member is one run of H2O in one pod.
type Member struct {
	UID types.UID `json:"uid"`
	// Restarts is the restart count of H2O's container when the cluster formed.
	Restarts int32 `json:"restarts"`
}

// Restart is the restart of a whole cluster. What there is to do follows from
// it and from the pods that are left, so anybody can go on with it.
type Restart struct {
	Cause Cause  `json:"cause"`
	Why   string `json:"why"`
	// Since is when it was decided.
	Since time.Time `json:"since"`
	// Fenced is when the fence was first seen up, zero before.
	Fenced time.Time `json:"fenced,omitzero"`
	// DeleteAfter is when no DNS cache can give a new node the address of an old
	// one any more; the old ones stay until then.
	DeleteAfter time.Time `json:"deleteAfter"`
	// Old are the pods that have to be gone before new ones may meet.
	Old []types.UID `json:"old"`
	// Starting: it is none for people, since no old pod has looked for its peers.
	// A set that is scaled up from zero makes pods before its template counts them.
	Starting bool `json:"starting,omitempty"`
}

// Read reads the status of a StatefulSet. One without, or with one that cannot
// be read, has the zero status: everything that is known then is what is seen.
func Read(set *appsv1.StatefulSet) Status {
	var s Status
	if err := json.Unmarshal([]byte(set.Annotations[policy.AnnotationStatus]), &s); err != nil {
		return Status{}
	}
	s.Phase = Phase(set.Annotations[policy.AnnotationPhase])
	return s
}

// Known says whether a StatefulSet has a status at all. Rendered offline it has none.
func Known(set *appsv1.StatefulSet) bool {
	_, has := set.Annotations[policy.AnnotationStatus]
	return has
}

// AwaitsFence says whether there is a restart whose fence was not seen up yet.
func (s Status) AwaitsFence() bool { return s.Restart != nil && s.Restart.Fenced.IsZero() }

// Annotations renders a status as the annotations that keep it.
func (s Status) Annotations() (map[string]string, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("cannot render the status: %w", err)
	}
	return map[string]string{policy.AnnotationPhase: string(s.Phase), policy.AnnotationStatus: string(text)}, nil
}

// names gives the members' names in order.
func (g *Generation) names() []string { return slices.Sorted(maps.Keys(g.Members)) }
