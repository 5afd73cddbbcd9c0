package report

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// APIVersion, Kind and ListKind mark what is printed as JSON or YAML. Within a
// version fields are added, and never renamed or removed.
const (
	APIVersion = "h2o.ai/v1alpha1"
	Kind       = "ClusterStatus"
	ListKind   = "ClusterStatusList"
)

// ClusterStatusList is what `status -o json` prints of several clusters.
type ClusterStatusList struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Items      []ClusterStatus `json:"items"`
}

// ClusterStatus is everything that is known of one StatefulSet that is, or
// could be, an H2O cluster. What only `status NAME` finds out is in Details.
type ClusterStatus struct {
	APIVersion string    `json:"apiVersion,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Namespace  string    `json:"namespace"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	// Formed says whether all wanted nodes, at least one, are in one cloud.
	Formed bool `json:"formed"`
	// Phase is the webhook's word, empty where it has not given one.
	Phase life.Phase `json:"phase,omitempty"`
	// Since is when the phase began; Message says what it means here.
	Since   time.Time `json:"since,omitzero"`
	Message string    `json:"message,omitempty"`
	// NotManaged says why it is no cluster, nil where it is one.
	NotManaged *Finding `json:"notManaged,omitempty"`
	Nodes      Nodes    `json:"nodes"`
	// Leader names the leader's pod, empty while there is none; LeaderUID tells
	// it from another pod of the same name.
	Leader    string    `json:"leader,omitempty"`
	LeaderUID types.UID `json:"leaderUID,omitempty"`
	Restarts  Restarts  `json:"restarts"`
	// Outdated lists what the next rollout would change of what is injected.
	Outdated []Change `json:"outdated,omitempty"`
	// Problems say what is not as it should be, the weightiest first.
	Problems []Finding `json:"problems,omitempty"`
	Details  *Details  `json:"details,omitempty"`
}

// Finding is something found out, with a code that stays the same over releases.
type Finding struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Nodes counts nodes.
type Nodes struct {
	// Wanted is spec.replicas, Running how many run, Formed how many members of
	// the cluster that formed last are still what they were.
	Wanted  int `json:"wanted"`
	Running int `json:"running"`
	Formed  int `json:"formed"`
}

// Restarts counts restarts of the whole cluster.
type Restarts struct {
	Count     int        `json:"count"`
	LastCause life.Cause `json:"lastCause,omitempty"`
	Last      time.Time  `json:"last,omitzero"`
}

// Change is one field that was, or would be, injected.
type Change struct {
	Field string `json:"field"`
	// Text is the change in words, Reason its code and Why the reason in words.
	Text   string `json:"text"`
	Reason string `json:"reason"`
	Why    string `json:"why"`
}

// Details are what is looked up for one cluster only.
type Details struct {
	Injected []Change  `json:"injected,omitempty"`
	Services []Service `json:"services,omitempty"`
	DNS      *DNS      `json:"dns,omitempty"`
	Pods     []Pod     `json:"pods,omitempty"`
	Events   []Event   `json:"events,omitempty"`
	// Warnings are what injecting it would say today.
	Warnings     []string      `json:"warnings,omitempty"`
	Certificates []Certificate `json:"certificates,omitempty"`
	// Next says what a person can do, in the order to try it.
	Next []string `json:"next"`
	// Unknown lists what could not be looked up, and why.
	Unknown []Finding `json:"unknown,omitempty"`
}

// Service is one of the two Services of a cluster.
type Service struct {
	// Role is "discovery" or "leader".
	Role string `json:"role"`
	Name string `json:"name"`
	// Owner is "ours", "not owned yet", "somebody else's", "missing" or "unknown".
	Owner string `json:"owner"`
	// Selects is its selector, Addresses are the endpoints behind it.
	Selects   string     `json:"selects,omitempty"`
	Addresses []Endpoint `json:"addresses,omitempty"`
	// Problems say why it does not serve; empty when it does.
	Problems []string `json:"problems,omitempty"`
}

// Endpoint is one address of a Service.
type Endpoint struct {
	Address string `json:"address"`
	Pod     string `json:"pod,omitempty"`
	Ready   bool   `json:"ready"`
}

// DNS is what the cluster's DNS server makes from the endpoints.
type DNS struct {
	// Name is what the nodes ask for, Answers the addresses that they are given.
	Name    string   `json:"name"`
	Answers []string `json:"answers"`
	// Problem says why nodes do not find each other with it, Unknown why nothing
	// is known of the answers.
	Problem string `json:"problem,omitempty"`
	Unknown string `json:"unknown,omitempty"`
}

// Pod is one node's pod.
type Pod struct {
	Name  string `json:"name"`
	Phase string `json:"phase"`
	Node  string `json:"node,omitempty"`
	IP    string `json:"ip,omitempty"`
	Ready bool   `json:"ready"`
	// Restarts counts those of H2O's container in this pod.
	Restarts int32 `json:"restarts"`
	// LastExit explains how H2O's former run ended.
	LastExit string `json:"lastExit,omitempty"`
	// Problem is why it does not run.
	Problem string `json:"problem,omitempty"`
	// Probe is what its probe server answers: "leads", "follows", "-" for no
	// answer, "not allowed". A node that still looks for its peers says "leads" too.
	Probe string `json:"probe"`
	// Member says whether it is a node of the cluster that formed last.
	Member bool `json:"member"`
}

// Event is a warning that was told about a cluster or its pods.
type Event struct {
	Time  time.Time `json:"time"`
	About string    `json:"about"`
	Finding
	Count int32 `json:"count"`
}

// Certificate is one of the webhook's certificates.
type Certificate struct {
	// Where is "trusted by the API server" or "served by the webhook".
	Where    string    `json:"where"`
	Subject  string    `json:"subject,omitempty"`
	NotAfter time.Time `json:"notAfter,omitzero"`
	DaysLeft int       `json:"daysLeft"`
	// Unknown says why nothing is known of it; all else is empty then.
	Unknown string `json:"unknown,omitempty"`
}
