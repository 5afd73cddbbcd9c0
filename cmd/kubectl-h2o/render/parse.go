package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kyaml "sigs.k8s.io/yaml"
)

// object is one Kubernetes object of an input.
type object struct {
	json []byte
	node *yaml.Node // the same as a tree; nil where it cannot be had
	text string     // the same as its author wrote it; empty where it must be written anew
	at   origin

	header
	set     *appsv1.StatefulSet // of apps/v1, as it is in the input
	service *corev1.Service     // of v1
}

// origin is where an object was found.
type origin struct {
	input    string
	document int
	items    []int
	line     int // of the object's tree's first line, from 1
}

// fail says what is wrong with the object there. A line in the error is one of
// the document's text.
func (o origin) fail(err error) error {
	e := &DocumentError{Input: o.input, Document: o.document, Items: o.items, Err: err}
	var in *lineError
	if errors.As(err, &in) && in.line > 0 {
		e.Line, e.Err = in.line+o.line-1, in.err
	}
	return e
}

// readAll reads the objects of all inputs, in their order.
func readAll(inputs []Input) ([]*object, error) {
	var objects []*object
	names := make([]string, 0, len(inputs))
	for _, in := range inputs {
		names = append(names, in.Name)
		found, err := read(in)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	if len(objects) == 0 {
		return nil, &NoObjectsError{Inputs: names}
	}
	return objects, nil
}

func read(in Input) ([]*object, error) {
	text, err := decodeText(in.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	chunks, err := split(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", in.Name, err)
	}
	var objects []*object
	more := 0 // JSON values that follow another one in the same document
	for _, c := range chunks {
		at := origin{input: in.Name, document: c.number + more, line: c.line}
		documents, err := c.documents(at)
		if err != nil {
			return nil, err
		}
		more += max(0, len(documents)-1)
		for _, document := range documents {
			found, err := document.flatten()
			if err != nil {
				return nil, err
			}
			objects = append(objects, found...)
		}
	}
	return objects, nil
}

// documents reads a chunk: one YAML document, or one JSON value after another.
func (c chunk) documents(at origin) ([]*object, error) {
	trimmed := strings.TrimSpace(c.text)
	if !strings.HasPrefix(trimmed, "{") {
		return c.yaml(at)
	}
	documents, err := c.json(at)
	if err == nil {
		return documents, nil
	}
	fromYAML, yamlErr := c.yaml(at)
	if yamlErr != nil && strings.HasPrefix(strings.TrimSpace(trimmed[1:]), `"`) {
		return nil, err // it looks like JSON
	}
	return fromYAML, yamlErr
}

func (c chunk) json(at origin) ([]*object, error) {
	decoder := json.NewDecoder(strings.NewReader(c.text))
	var documents []*object
	for {
		var raw json.RawMessage
		err := decoder.Decode(&raw)
		end := decoder.InputOffset()
		if err == io.EOF { //nolint:errorlint // the decoder gives it unwrapped
			return documents, nil
		}
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, at.fail(&lineError{lineAt(c.text, syntax.Offset), err})
		}
		if err != nil {
			return nil, at.fail(err)
		}
		o := &object{json: raw, at: at}
		o.at.line += lineAt(c.text, end-int64(len(raw))) - 1
		if o.node, err = jsonNode(raw); err != nil {
			return nil, at.fail(err)
		}
		if err := checkDuplicates(o.node); err != nil {
			return nil, o.at.fail(err)
		}
		documents = append(documents, o)
		at.document++
	}
}

func lineAt(text string, offset int64) int {
	return 1 + strings.Count(text[:min(int(offset), len(text))], "\n")
}

// yaml reads a YAML document as kubectl does; nothing comes from one that is empty.
func (c chunk) yaml(at origin) ([]*object, error) {
	document, err := kyaml.YAMLToJSON([]byte(c.text))
	if err != nil {
		return nil, at.fail(yamlError(err))
	}
	o := &object{json: document, at: at}
	node, err := parseNode(c.text)
	switch {
	case errors.Is(err, errSecondDocument):
		return nil, at.fail(err)
	case err == nil:
		o.node = node
		err = checkDuplicates(node)
	case bytes.Equal(bytes.TrimSpace(document), []byte("null")):
		return nil, nil
	default: // what only kubectl's reader takes is checked by it
		_, err = kyaml.YAMLToJSONStrict([]byte(c.text))
	}
	if err != nil {
		return nil, at.fail(yamlError(err))
	}
	if bytes.Equal(bytes.TrimSpace(document), []byte("null")) {
		return nil, nil
	}
	o.text = c.text
	if !strings.HasSuffix(o.text, "\n") {
		if o.text += "\n"; !means(o.text, o.json) {
			o.text = ""
		}
	}
	return []*object{o}, nil
}

var yamlMessage = regexp.MustCompile(`(?s)^(?:error converting YAML to JSON: )?yaml: (?:unmarshal errors:\s*)?(?:line (\d+): )?(.*)$`)

// yamlError takes the line out of a YAML reader's message.
func yamlError(err error) error {
	found := yamlMessage.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	line, _ := strconv.Atoi(found[1])
	return &lineError{line, errors.New(found[2])}
}

// flatten reads an object's header and takes lists apart.
func (o *object) flatten() ([]*object, error) {
	if err := o.readHeader(); err != nil {
		return nil, err
	}
	items, isList, err := o.listItems()
	if err != nil {
		return nil, err
	}
	if !isList {
		return []*object{o}, o.decode()
	}
	var objects []*object
	for _, item := range items {
		found, err := item.flatten()
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	return objects, nil
}

// listItems gives the items of a list: a v1 List, or any kind in …List that has
// items. Typed lists of a server's leave out what their items are.
func (o *object) listItems() ([]*object, bool, error) {
	var list struct {
		Items json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(o.json, &list); err != nil {
		return nil, false, o.at.fail(err)
	}
	isList := o.kind == "List" && o.apiVersion == "v1"
	if !isList && (!strings.HasSuffix(o.kind, "List") || !bytes.HasPrefix(list.Items, []byte("["))) {
		return nil, false, nil
	}
	var raws []json.RawMessage
	if len(list.Items) > 0 && json.Unmarshal(list.Items, &raws) != nil {
		return nil, true, o.fieldError([]string{"items"}, "is no list")
	}
	nodes := child(top(o.node), "items")
	items := make([]*object, 0, len(raws))
	for i, raw := range raws {
		item := &object{json: raw, at: o.at}
		item.at.items = append(append([]int{}, o.at.items...), i+1)
		if nodes != nil && len(nodes.Content) == len(raws) {
			item.node = nodes.Content[i]
		}
		if kind := strings.TrimSuffix(o.kind, "List"); kind != "" {
			item.complete(o.apiVersion, kind)
		}
		items = append(items, item)
	}
	return items, true, nil
}

// complete says what an item of a typed list is, where it does not say so itself.
func (o *object) complete(apiVersion, kind string) {
	var own map[string]json.RawMessage
	if json.Unmarshal(o.json, &own) != nil || own == nil || own["kind"] != nil || own["apiVersion"] != nil {
		return
	}
	ops := []operation{
		{Op: "add", Path: "/apiVersion", Value: json.RawMessage(strconv.Quote(apiVersion))},
		{Op: "add", Path: "/kind", Value: json.RawMessage(strconv.Quote(kind))},
	}
	completed, err := applyJSON(o.json, ops)
	if err != nil {
		return // it is found to have no kind
	}
	o.json = completed
	if o.node != nil {
		o.node = copyNode(o.node)
		if applyNode(o.node, ops) != nil {
			o.node = nil
		}
	}
}
