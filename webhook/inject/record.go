package inject

import (
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// recordVersion is the form of the record that this build writes. A reader
// takes this one and any older.
const recordVersion = 1

// record is what annotation h2o.ai/injected holds: every field that an
// injection changed, with its value before and after.
type record struct {
	Version int          `json:"version"`
	Changes []recordItem `json:"changes"`
}

type recordItem struct {
	Field
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// newRecord writes down changes; the record annotation itself is not among
// them. Values are encoded once here and once more used by Patch, which is why
// the document is put together by hand: it is most of an injection's time.
func newRecord(changes []Change) (string, error) {
	text := append(make([]byte, 0, 256*(len(changes)+1)), `{"version":`...)
	text = append(strconv.AppendInt(text, recordVersion, 10), `,"changes":[`...)
	for i := range changes {
		c := &changes[i]
		field, err := json.Marshal(c.Field)
		if err != nil {
			return "", fmt.Errorf("cannot record %s: %w", c.Field, err)
		}
		old, err := encode(c.Old)
		if err != nil {
			return "", fmt.Errorf("cannot record %s: %w", c.Field, err)
		}
		if c.encoded, err = encode(c.New); err != nil {
			return "", fmt.Errorf("cannot record %s: %w", c.Field, err)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, field[:len(field)-1]...) // an object is never empty here: At is always written
		text = appendMember(text, "old", old)
		text = appendMember(text, "new", c.encoded)
		text = append(text, '}')
	}
	return string(append(text, "]}"...)), nil
}

// appendMember appends a further member to a JSON object, and nothing where
// there is no value.
func appendMember(text []byte, name string, value json.RawMessage) []byte {
	if value == nil {
		return text
	}
	text = append(text, `,"`...)
	text = append(text, name...)
	text = append(text, `":`...)
	return append(text, value...)
}

// encode renders a value as JSON, and no value as nothing.
func encode(value any) (json.RawMessage, error) {
	if value == nil {
		return nil, nil
	}
	return json.Marshal(value)
}

// readRecord reads the record of a StatefulSet, nil when it has none. A record
// that cannot be read is an error: somebody edited it, or a newer build wrote it.
func readRecord(set *appsv1.StatefulSet) (*record, error) {
	text, ok := set.Annotations[policy.AnnotationInjected]
	if !ok {
		return nil, nil
	}
	var r record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, fmt.Errorf("annotation %s is not a record of this product: %w", policy.AnnotationInjected, err)
	}
	if r.Version < 1 || r.Version > recordVersion {
		return nil, fmt.Errorf("annotation %s has version %d, this build reads up to %d", policy.AnnotationInjected, r.Version, recordVersion)
	}
	return &r, nil
}

// Injected says whether a StatefulSet carries a record of an injection.
func Injected(set *appsv1.StatefulSet) bool {
	r, err := readRecord(set)
	return err == nil && r != nil
}

// recordFor finds the record that says what was injected into object: its own,
// or the stored one's where a replaced object lacks it or it cannot be read.
func recordFor(old, object *appsv1.StatefulSet) (*record, []Warning) {
	rec, err := readRecord(object)
	if err == nil && rec != nil || old == nil && err == nil {
		return rec, nil
	}
	var warnings []Warning
	if err != nil {
		warnings = append(warnings, newWarning(ReasonRecord, "%v: it is not used", err))
	}
	if old == nil {
		return nil, warnings
	}
	stored, err := readRecord(old)
	if err != nil {
		return nil, warnings
	}
	return stored, warnings
}

// annotationsLimit is how large all annotations of an object may be together,
// in bytes. Source: k8s.io/apimachinery pkg/api/validation, TotalAnnotationSizeLimitB.
const annotationsLimit = 256 * 1024

// writeRecord writes down in wanted what leads to it from what its user means.
// Where the user's own annotations leave no room it is left out, and said.
func writeRecord(changes []Change, wanted *appsv1.StatefulSet) ([]Warning, error) {
	text, err := newRecord(changes)
	if err != nil {
		return nil, err
	}
	size := len(policy.AnnotationInjected) + len(text)
	for name, value := range wanted.Annotations {
		size += len(name) + len(value)
	}
	if size > annotationsLimit {
		return []Warning{newWarning(ReasonRecord, "the annotations are too large for the record of what was injected: it cannot be taken back by itself")}, nil
	}
	if wanted.Annotations == nil {
		wanted.Annotations = map[string]string{}
	}
	wanted.Annotations[policy.AnnotationInjected] = text
	return nil, nil
}
