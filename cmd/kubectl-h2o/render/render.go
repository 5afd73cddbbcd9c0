package render

import (
	"fmt"
	"strings"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Input is one file of manifests: YAML of any number of documents, or JSON.
type Input struct {
	// Name is the input's name in errors.
	Name string
	Data []byte
}

// Options say how inputs are rendered. The zero value is good.
type Options struct {
	// Settings hold where a StatefulSet's annotations do not say otherwise; the
	// zero value stands for policy.Defaults().
	Settings policy.Settings
	// Namespace is the one of objects that name none, "default" when empty. It
	// is used for names inside the objects, and never written to metadata.
	Namespace string
	// NamespaceAssumed says that nobody asked for Namespace: a StatefulSet that
	// depends on it gets a warning.
	NamespaceAssumed bool
	// Label sets (Uninject: removes) the label of managed StatefulSets on every
	// StatefulSet of the inputs first.
	Label bool
}

func (o Options) withDefaults() Options {
	if o.Settings == (policy.Settings{}) {
		o.Settings = policy.Defaults()
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	return o
}

// Output is what comes out of all inputs together, in their order.
type Output struct {
	Documents []Document
	// Warnings are what the user should hear.
	Warnings []Warning
}

// Warning is something replaced, dangerous or ignored.
type Warning struct {
	// Object is whom it is about, as "statefulset NAME"; empty for the whole input.
	Object string
	// Message is one line.
	Message string
}

// String gives the warning with its object in one line.
func (w Warning) String() string {
	if w.Object == "" {
		return w.Message
	}
	return w.Object + ": " + w.Message
}

// State says what rendering did to a document.
type State string

// All states of a document.
const (
	Kept    State = "kept"
	Changed State = "changed"
	Added   State = "added"
	Removed State = "removed"
)

// Document is one object of the output.
type Document struct {
	APIVersion, Kind string
	// Namespace is where the object goes, also where its metadata leaves it out.
	Namespace, Name string
	State           State
	// JSON is the object; of a removed one, as it was.
	JSON []byte
	// Patch is the JSON patch (RFC 6902) from the object as it came, "[]" where
	// nothing differs. It is nil for all but the StatefulSets dealt with.
	Patch []byte
	// Explanation says in words what the patch does, a line for each change.
	Explanation []string

	came, is *object
}

// YAML gives the document as text that ends in a line feed: the author's own
// where nothing was changed.
func (d *Document) YAML() string { return d.is.yaml() }

// ID names the document as kind/namespace/name.
func (d *Document) ID() string { return d.Kind + "/" + d.Namespace + "/" + d.Name }

// NoObjectsError says that the inputs are empty.
type NoObjectsError struct{ Inputs []string }

// Error names all inputs.
func (e *NoObjectsError) Error() string {
	if len(e.Inputs) == 0 {
		return "no objects: there is no input"
	}
	return "no objects in " + strings.Join(e.Inputs, ", ")
}

// DocumentError says what is wrong with which document of an input.
type DocumentError struct {
	// Input is the input's name.
	Input string
	// Document counts the input's documents from 1; Items leads into lists, each
	// counted from 1.
	Document int
	Items    []int
	// Line counts the input's lines from 1; 0 where it is not known.
	Line int
	// Object is whom it is about, empty where that is not known.
	Object string
	Err    error
}

// Error names input, document and reason on one line.
func (e *DocumentError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: document %d: ", e.Input, e.Document)
	for _, item := range e.Items {
		fmt.Fprintf(&b, "item %d: ", item)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", e.Line)
	}
	if e.Object != "" {
		b.WriteString(e.Object + ": ")
	}
	b.WriteString(strings.Join(strings.Fields(e.Err.Error()), " "))
	return b.String()
}

// Unwrap gives the reason, such as an *inject.RejectedError.
func (e *DocumentError) Unwrap() error { return e.Err }
