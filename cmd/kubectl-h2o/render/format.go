package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/aymanbagabas/go-udiff"
)

// Format is a form that an output can be written in.
type Format string

// All formats.
const (
	// YAML is every object as a document, in order.
	YAML Format = "yaml"
	// JSON is the one object, or a v1 List of several.
	JSON Format = "json"
	// Patch is the JSON patch of the one StatefulSet dealt with, or one object
	// for each of several, a line each, that says whose the patch is.
	Patch Format = "patch"
	// Diff is a unified diff of what is not as it came, explained in comments.
	Diff Format = "diff"
)

// Formats lists all formats.
func Formats() []Format { return []Format{YAML, JSON, Patch, Diff} }

// Write gives the output in a format.
func (o Output) Write(format Format) ([]byte, error) {
	switch format {
	case YAML:
		return o.writeYAML(), nil
	case JSON:
		return o.writeJSON()
	case Patch:
		return o.writePatch()
	case Diff:
		return o.writeDiff(), nil
	default:
		return nil, fmt.Errorf("format %q is unknown", format)
	}
}

// left gives the documents that are there afterwards.
func (o Output) left() []Document {
	documents := make([]Document, 0, len(o.Documents))
	for _, d := range o.Documents {
		if d.State != Removed {
			documents = append(documents, d)
		}
	}
	return documents
}

func (o Output) writeYAML() []byte {
	var b bytes.Buffer
	for i, d := range o.left() {
		if i > 0 {
			b.WriteString("---\n")
		}
		b.WriteString(d.YAML())
	}
	return b.Bytes()
}

func (o Output) writeJSON() ([]byte, error) {
	documents := o.left()
	if len(documents) == 1 {
		return indented(documents[0].JSON)
	}
	list := struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Items      []json.RawMessage `json:"items"`
	}{"v1", "List", make([]json.RawMessage, 0, len(documents))}
	for _, d := range documents {
		list.Items = append(list.Items, d.JSON)
	}
	document, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("cannot write the list: %w", err)
	}
	return indented(document)
}

func indented(document []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(document), "", "    "); err != nil {
		return nil, fmt.Errorf("cannot write JSON: %w", err)
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

func (o Output) writePatch() ([]byte, error) {
	var dealtWith []Document
	for _, d := range o.Documents {
		if d.Patch != nil {
			dealtWith = append(dealtWith, d)
		}
	}
	if len(dealtWith) == 1 {
		return append(bytes.Clone(dealtWith[0].Patch), '\n'), nil
	}
	var b bytes.Buffer
	for _, d := range dealtWith {
		line, err := json.Marshal(struct {
			APIVersion string          `json:"apiVersion"`
			Kind       string          `json:"kind"`
			Namespace  string          `json:"namespace"`
			Name       string          `json:"name"`
			Patch      json.RawMessage `json:"patch"`
		}{d.APIVersion, d.Kind, d.Namespace, d.Name, d.Patch})
		if err != nil {
			return nil, fmt.Errorf("cannot write the patch of %s: %w", d.ID(), err)
		}
		b.Write(append(line, '\n'))
	}
	return b.Bytes(), nil
}

func (o Output) writeDiff() []byte {
	const nothing = "/dev/null"
	var b bytes.Buffer
	for _, d := range o.Documents {
		switch d.State {
		case Changed:
			before, after := bothYAML(d.came, d.is)
			b.WriteString(udiff.Unified(d.ID(), d.ID(), before, after))
		case Added:
			b.WriteString(udiff.Unified(nothing, d.ID(), "", d.is.yaml()))
		case Removed:
			b.WriteString(udiff.Unified(d.ID(), nothing, d.came.yaml(), ""))
		}
		for _, line := range d.Explanation {
			b.WriteString("# " + strings.ReplaceAll(line, "\n", " ") + "\n")
		}
	}
	return b.Bytes()
}

// bothYAML writes an object before and after in the same way, so that only what
// means something differs.
func bothYAML(before, after *object) (string, string) {
	if came, ok := before.written(); ok {
		if is, ok := after.written(); ok {
			return came, is
		}
	}
	return before.plain(), after.plain()
}
