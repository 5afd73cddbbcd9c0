package inject

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Field names one place of a StatefulSet that an injection may touch. Elements
// of lists are named by key, not by position, so that a Field stays true while
// others edit the object.
type Field struct {
	// At is one of the At constants.
	At At `json:"at"`
	// Container is the container that holds the field; empty outside of one.
	Container string `json:"container,omitempty"`
	// Key is the variable's name, the port as number/protocol, or the label.
	Key string `json:"key,omitempty"`
	// Nth tells variables of the same name apart: 0 for the first.
	Nth int `json:"nth,omitempty"`
}

// At is the kind of place that a Field names.
type At string

// All places that an injection may touch.
const (
	AtAnnotation          At = "annotation"
	AtServiceName         At = "serviceName"
	AtPodManagementPolicy At = "podManagementPolicy"
	AtUpdateStrategy      At = "updateStrategy"
	AtTemplateLabel       At = "label"
	AtEnv                 At = "env"
	AtPort                At = "port"
	AtReadinessProbe      At = "readinessProbe"
)

// String gives the field in the user's terms.
func (f Field) String() string {
	const container = "spec.template.spec.containers[%s]"
	switch f.At {
	case AtAnnotation:
		return fmt.Sprintf("metadata.annotations[%s]", f.Key)
	case AtTemplateLabel:
		return fmt.Sprintf("spec.template.metadata.labels[%s]", f.Key)
	case AtEnv:
		return fmt.Sprintf(container+".env[%s]", f.Container, f.Key)
	case AtPort:
		return fmt.Sprintf(container+".ports[%s]", f.Container, f.Key)
	case AtReadinessProbe:
		return fmt.Sprintf(container+".readinessProbe", f.Container)
	default:
		return "spec." + string(f.At)
	}
}

// Change is one difference between the object as it came and the one wanted.
type Change struct {
	Field Field
	// Path is the field's JSON pointer (RFC 6901). It is true when the changes
	// are made in the order of their list.
	Path string
	// Old and New are the values before and after, nil where there is none.
	Old, New any
	// Reason says why, in a code that stays the same over releases.
	Reason Reason

	// makes are empty parents to be made before, "{}" or "[]" by pointer, and
	// drops a parent that the change leaves empty: an object without a list is
	// another document than one with an empty list.
	makes []parent
	drops string
	// encoded is New as JSON, where it was rendered before.
	encoded json.RawMessage
}

type parent struct{ path, value string }

// Reason is a stable code that says why something was changed or said.
type Reason string

// Why a field is changed. Each is documented by Explain.
const (
	ReasonDiscovery     Reason = "Discovery"
	ReasonExpectedCount Reason = "ExpectedCount"
	ReasonLookupTimeout Reason = "LookupTimeout"
	ReasonAPIPort       Reason = "APIPort"
	ReasonCloudName     Reason = "CloudName"
	ReasonPort          Reason = "Port"
	ReasonLeaderProbe   Reason = "LeaderProbe"
	ReasonClusterLabel  Reason = "ClusterLabel"
	ReasonServiceName   Reason = "ServiceName"
	ReasonParallel      Reason = "Parallel"
	ReasonWholeRestart  Reason = "WholeRestart"
	ReasonRecord        Reason = "Record"
	ReasonNotManaged    Reason = "NotManaged"
	ReasonStatus        Reason = "Status"
)

// Why something is said besides.
const (
	ReasonRecovery    Reason = "Recovery"
	ReasonJavaOptions Reason = "JavaOptions"
	ReasonArguments   Reason = "Arguments"
	ReasonImmutable   Reason = "Immutable"
	ReasonResize      Reason = "Resize"
)

var explanations = map[Reason]string{
	ReasonDiscovery:     "the headless Service through which the nodes find each other",
	ReasonExpectedCount: "the number of nodes is spec.replicas",
	ReasonLookupTimeout: "seconds after which a node stops looking for its peers",
	ReasonAPIPort:       "the port on which H2O answers the readiness probe",
	ReasonCloudName:     "a cloud name of its own, so that two clusters never merge",
	ReasonPort:          "a port that H2O listens on",
	ReasonLeaderProbe:   "only the leader answers clients, so only the leader is ready",
	ReasonClusterLabel:  "the Services select the cluster's pods by it",
	ReasonServiceName:   "names the discovery Service",
	ReasonParallel:      "nodes look for each other, so they must start together",
	ReasonWholeRestart:  "an H2O cluster restarts as a whole, never pod by pod",
	ReasonImmutable:     "cannot be changed once it is stored",
	ReasonRecord:        "the record from which all of this can be taken back",
	ReasonStatus:        "what is known of a cluster's life belongs to that cluster only",
	ReasonNotManaged:    "no longer injected: what the user wrote is back",
}

// Explain says in words what a reason means; empty for one it does not know.
func (r Reason) Explain() string { return explanations[r] }

// reasonOf gives the reason for a change of a field.
func reasonOf(c Change) Reason {
	switch {
	case c.Field.Key == policy.AnnotationPhase || c.Field.Key == policy.AnnotationStatus:
		return ReasonStatus
	case c.New == nil:
		return ReasonNotManaged
	}
	switch c.Field.At {
	case AtServiceName:
		return ReasonServiceName
	case AtPodManagementPolicy:
		return ReasonParallel
	case AtUpdateStrategy:
		return ReasonWholeRestart
	case AtTemplateLabel:
		return ReasonClusterLabel
	case AtReadinessProbe:
		return ReasonLeaderProbe
	case AtPort:
		return ReasonPort
	case AtAnnotation:
		return ReasonRecord
	}
	switch c.Field.Key {
	case EnvServiceDNS:
		return ReasonDiscovery
	case EnvExpectedCount:
		return ReasonExpectedCount
	case EnvLookupTimeout:
		return ReasonLookupTimeout
	case EnvAPIPort:
		return ReasonAPIPort
	}
	return ReasonCloudName
}

// String gives a change as a line for people.
func (c Change) String() string {
	switch {
	case c.New == nil:
		return fmt.Sprintf("remove %s: %s", c.Field, c.Reason.Explain())
	case c.Field.At == AtAnnotation && c.Reason == ReasonRecord:
		return fmt.Sprintf("record in %s: %s", c.Field, c.Reason.Explain())
	case c.Old == nil:
		return fmt.Sprintf("set %s to %s: %s", c.Field, compact(c.New), c.Reason.Explain())
	default:
		return fmt.Sprintf("set %s to %s (was %s): %s", c.Field, compact(c.New), compact(c.Old), c.Reason.Explain())
	}
}

// compact renders a value in few characters: a variable by its value alone,
// since the field names it.
func compact(value any) string {
	if v, ok := value.(corev1.EnvVar); ok && v.ValueFrom == nil {
		return strconv.Quote(v.Value)
	}
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(b)
}

// Patch renders changes as a JSON patch (RFC 6902), nil when there are none.
// It touches exactly the changes' paths, so fields that this build does not
// know survive.
func Patch(changes []Change) ([]byte, error) {
	if len(changes) == 0 {
		return nil, nil
	}
	patch := append(make([]byte, 0, 256*len(changes)+2048), '[')
	for i := range changes {
		c := &changes[i]
		for _, m := range c.makes {
			patch = appendOperation(patch, "add", m.path, json.RawMessage(m.value))
		}
		value := c.encoded
		if value == nil {
			var err error
			if value, err = encode(c.New); err != nil {
				return nil, fmt.Errorf("cannot render %s: %w", c.Field, err)
			}
		}
		switch {
		case c.New == nil:
			patch = appendOperation(patch, "remove", c.Path, nil)
		case c.Old == nil:
			patch = appendOperation(patch, "add", c.Path, value)
		default:
			patch = appendOperation(patch, "replace", c.Path, value)
		}
		if c.drops != "" {
			patch = appendOperation(patch, "remove", c.drops, nil)
		}
	}
	patch[len(patch)-1] = ']' // in the place of the last comma
	return patch, nil
}

// appendOperation appends one operation and a comma. A pointer needs no
// escaping in JSON: it is made of field names, positions and label keys.
func appendOperation(patch []byte, op, path string, value json.RawMessage) []byte {
	patch = append(patch, `{"op":"`...)
	patch = append(patch, op...)
	patch = append(patch, `","path":"`...)
	patch = append(patch, path...)
	patch = append(patch, '"')
	patch = appendMember(patch, "value", value)
	return append(patch, "},"...)
}

// Apply makes changes in the JSON document of the object that they were decided for.
func Apply(document []byte, changes []Change) ([]byte, error) {
	encoded, err := Patch(changes)
	if err != nil || encoded == nil {
		return document, err
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return nil, fmt.Errorf("cannot read the changes: %w", err)
	}
	changed, err := patch.Apply(document)
	if err != nil {
		return nil, fmt.Errorf("cannot make the changes: %w", err)
	}
	return changed, nil
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer escapes one element of a JSON pointer.
func pointer(element string) string { return pointerEscapes.Replace(element) }
