// Package policy decides which settings hold for one StatefulSet.
//
// It is pure: it takes values and returns values, and knows no client, clock or
// log. What the settings then do to the object is decided by package inject.
package policy

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Annotations with which a user overrides the defaults for one StatefulSet.
const (
	// AnnotationContainer names the container that runs H2O.
	AnnotationContainer = "h2o.ai/container"
	// AnnotationAPIPort is the TCP port of H2O's probe server.
	AnnotationAPIPort = "h2o.ai/api-port"
	// AnnotationLookupTimeout is how long a node looks for its peers, in seconds.
	AnnotationLookupTimeout = "h2o.ai/lookup-timeout"
	// AnnotationReadiness says whose readiness probe holds, see Readiness.
	AnnotationReadiness = "h2o.ai/readiness"
	// AnnotationUpdateStrategy says whose update strategy holds, see UpdateStrategy.
	AnnotationUpdateStrategy = "h2o.ai/update-strategy"
	// AnnotationRecoveryDir is where grid searches survive a restart of the cluster.
	AnnotationRecoveryDir = "h2o.ai/recovery-dir"
	// AnnotationOnMemberLoss says what follows the loss of a node, see MemberLoss.
	AnnotationOnMemberLoss = "h2o.ai/on-member-loss"
	// AnnotationResize says whether a formed cluster may be resized, see Resize.
	AnnotationResize = "h2o.ai/resize"
)

// Annotations that the product writes and nobody else sets.
const (
	// AnnotationInjected records what was injected, so that it can be taken back.
	AnnotationInjected = "h2o.ai/injected"
	// AnnotationPhase says where the cluster is in its life.
	AnnotationPhase = "h2o.ai/phase"
	// AnnotationStatus keeps what is known of the cluster's life, see package life.
	AnnotationStatus = "h2o.ai/status"
)

// Prefix is the prefix of every annotation and label that this product reads.
const Prefix = "h2o.ai/"

// Ports that H2O itself uses, both TCP. The second is always the first plus
// one; H2O's Kubernetes mode expects the first on every peer.
// Source: water.init.NetworkInit and water.H2O, release line 3.46.
const (
	PortREST     int32 = 54321
	PortInternal int32 = 54322
)

// Readiness says whose readiness probe the H2O container has.
type Readiness string

// UpdateStrategy says whose update strategy the StatefulSet has.
type UpdateStrategy string

// MemberLoss says what follows when a formed cluster loses a node.
type MemberLoss string

// Resize says whether a formed cluster may be given another number of nodes,
// which restarts it. To stop it, with zero of them, is no resize.
type Resize string

// The values of the choices above; the first of each is the default.
const (
	ReadinessLeader Readiness = "leader"
	ReadinessKeep   Readiness = "keep"

	UpdateOnDelete UpdateStrategy = "OnDelete"
	UpdateKeep     UpdateStrategy = "keep"

	MemberLossRestart MemberLoss = "restart"
	MemberLossIgnore  MemberLoss = "ignore"

	ResizeAllow Resize = "allow"
	ResizeDeny  Resize = "deny"
)

// Settings are everything about an injection that is not read from the
// StatefulSet's own spec.
type Settings struct {
	// ClusterDomain is the DNS suffix of the Kubernetes cluster, without dots
	// at its ends.
	ClusterDomain string
	// Container names the H2O container; empty means: found by rule.
	Container string
	// APIPort is the TCP port of the probe server.
	APIPort int32
	// LookupTimeout bounds the search for peers, in seconds.
	LookupTimeout int32
	// Readiness says whose readiness probe holds.
	Readiness Readiness
	// UpdateStrategy says whose update strategy holds.
	UpdateStrategy UpdateStrategy
	// RecoveryDir is an absolute path or a URL, without a slash at its end;
	// empty means: no recovery.
	RecoveryDir string
	// OnMemberLoss says what follows the loss of a node.
	OnMemberLoss MemberLoss
	// Resize says whether a formed cluster may be resized.
	Resize Resize
}

// Defaults are the settings where nobody says otherwise. The port is the one
// of H2O's documented example; 180 s is H2O's own lookup timeout.
func Defaults() Settings {
	return Settings{
		ClusterDomain:  "cluster.local",
		APIPort:        8081,
		LookupTimeout:  180,
		Readiness:      ReadinessLeader,
		UpdateStrategy: UpdateOnDelete,
		OnMemberLoss:   MemberLossRestart,
		Resize:         ResizeAllow,
	}
}

// ours are the annotations under Prefix that the product writes.
var ours = []string{AnnotationInjected, AnnotationPhase, AnnotationStatus}

// WrittenAnnotations lists the annotations that only this product writes.
func WrittenAnnotations() []string { return slices.Clone(ours) }

// WrittenByUs says whether an annotation is one that only this product writes.
func WrittenByUs(annotation string) bool { return slices.Contains(ours, annotation) }

// IsSetting says whether an annotation speaks to this product: every one under
// Prefix that the product does not write itself, known or not.
func IsSetting(annotation string) bool {
	return strings.HasPrefix(annotation, Prefix) && !WrittenByUs(annotation)
}

// followed are the settings that say how a cluster is treated, and change nothing
// of what is injected.
var followed = []string{AnnotationOnMemberLoss, AnnotationResize}

// Followed says whether an annotation only says how a cluster is treated. To
// change it must not restart the cluster.
func Followed(annotation string) bool { return slices.Contains(followed, annotation) }

// InvalidError lists every annotation that cannot be followed.
type InvalidError struct{ Problems []string }

// Error gives all problems on one line.
func (e *InvalidError) Error() string { return strings.Join(e.Problems, "; ") }

// setting is one annotation: what it sets, and what it allows in words.
type setting struct {
	name    string
	allowed string
	set     func(*Settings, string) bool
}

var settings = []setting{
	{AnnotationAPIPort, fmt.Sprintf("a TCP port from 1 to 65535 other than %d and %d, which H2O uses itself", PortREST, PortInternal), setAPIPort},
	{AnnotationContainer, "the name of one of the pod's containers", setContainer},
	{AnnotationLookupTimeout, "a whole number of seconds from 1 to 86400", setLookupTimeout},
	{AnnotationOnMemberLoss, oneOf(MemberLossRestart, MemberLossIgnore), func(s *Settings, v string) bool {
		return choose(&s.OnMemberLoss, v, MemberLossRestart, MemberLossIgnore)
	}},
	{AnnotationReadiness, oneOf(ReadinessLeader, ReadinessKeep), func(s *Settings, v string) bool {
		return choose(&s.Readiness, v, ReadinessLeader, ReadinessKeep)
	}},
	{AnnotationRecoveryDir, "an absolute path or a URL (s3://…, gs://…, hdfs://…) without spaces, quotes or \"$(\"", setRecoveryDir},
	{AnnotationResize, oneOf(ResizeAllow, ResizeDeny), func(s *Settings, v string) bool {
		return choose(&s.Resize, v, ResizeAllow, ResizeDeny)
	}},
	{AnnotationUpdateStrategy, oneOf(UpdateOnDelete, UpdateKeep), func(s *Settings, v string) bool {
		return choose(&s.UpdateStrategy, v, UpdateOnDelete, UpdateKeep)
	}},
}

// Resolve gives the settings that hold for a StatefulSet with these
// annotations: the defaults, overridden by what the annotations say. Every
// annotation under Prefix that is unknown, or whose value does not parse, is a
// problem in the *InvalidError; nothing is guessed.
func Resolve(defaults Settings, annotations map[string]string) (Settings, error) {
	resolved := defaults
	var problems []string
	for name, value := range annotations {
		if !IsSetting(name) {
			continue
		}
		known := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		switch {
		case known < 0:
			problems = append(problems, fmt.Sprintf("annotation %s is unknown: allowed are %s", name, strings.Join(Names(), ", ")))
		case !settings[known].set(&resolved, value):
			problems = append(problems, fmt.Sprintf("annotation %s: %q is not allowed: want %s", name, value, settings[known].allowed))
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		return Settings{}, &InvalidError{Problems: problems}
	}
	return resolved, nil
}

// Names lists the annotations that a user may set, in alphabetical order.
func Names() []string {
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		names = append(names, s.name)
	}
	return names
}

func oneOf[T ~string](values ...T) string {
	quoted := make([]string, 0, len(values))
	for _, v := range values {
		quoted = append(quoted, strconv.Quote(string(v)))
	}
	return strings.Join(quoted, " or ")
}

func choose[T ~string](into *T, value string, allowed ...T) bool {
	if !slices.Contains(allowed, T(value)) {
		return false
	}
	*into = T(value)
	return true
}

func setContainer(s *Settings, value string) bool {
	s.Container = value
	return len(validation.IsDNS1123Label(value)) == 0
}

func setAPIPort(s *Settings, value string) bool {
	port, ok := ParseAPIPort(value)
	s.APIPort = port
	return ok
}

// ParseAPIPort reads a port that H2O's probe server could listen on: 1 to
// 65535, and none that H2O itself uses. H2O reads the variable with
// Integer.parseInt, which takes no spaces.
// Source: water.k8s.api.KubernetesRestApi.
func ParseAPIPort(value string) (int32, bool) {
	port, err := strconv.ParseInt(value, 10, 32)
	if err != nil || port < 1 || port > 65535 || int32(port) == PortREST || int32(port) == PortInternal {
		return 0, false
	}
	return int32(port), true
}

func setLookupTimeout(s *Settings, value string) bool {
	seconds, err := strconv.ParseInt(value, 10, 32)
	if err != nil || seconds < 1 || seconds > 86400 {
		return false
	}
	s.LookupTimeout = int32(seconds)
	return true
}

// setRecoveryDir takes what survives the way into JAVA_TOOL_OPTIONS: the JVM
// splits that variable at white space and reads quotes, Kubernetes expands $().
func setRecoveryDir(s *Settings, value string) bool {
	if strings.ContainsAny(value, " \t\r\n\v\f'\"") || strings.Contains(value, "$(") {
		return false
	}
	if strings.HasPrefix(value, "/") {
		s.RecoveryDir = path.Clean(value)
		return true
	}
	u, err := url.Parse(value)
	if err != nil || u.Scheme == "" || !strings.Contains(value, "://") || (u.Host == "" && u.Path == "") {
		return false
	}
	s.RecoveryDir = strings.TrimRight(value, "/")
	return true
}
