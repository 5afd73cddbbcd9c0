package render

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// header is what every object says of itself.
type header struct {
	apiVersion, kind, namespace, name string
	labels                            map[string]string
}

// readHeader reads the parts that every object has, and fails where it has not.
func (o *object) readHeader() error {
	if len(o.json) == 0 || o.json[0] != '{' {
		return o.at.fail(&lineError{o.line(nil), fmt.Errorf("it is %s, want a mapping with apiVersion and kind", describe(o.json))})
	}
	var h struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name        string            `json:"name"`
			Namespace   string            `json:"namespace"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
	}
	if err := o.into(&h); err != nil {
		return err
	}
	o.header = header{h.APIVersion, h.Kind, h.Metadata.Namespace, h.Metadata.Name, h.Metadata.Labels}
	var missing []string
	if h.APIVersion == "" {
		missing = append(missing, "apiVersion")
	}
	if h.Kind == "" {
		missing = append(missing, "kind")
	}
	if len(missing) > 0 {
		return o.at.fail(&lineError{o.line(nil), fmt.Errorf("it has no %s: it is no Kubernetes object", strings.Join(missing, " and no "))})
	}
	return nil
}

// decode reads the kinds that rendering looks into.
func (o *object) decode() error {
	switch o.apiVersion + " " + o.kind {
	case "apps/v1 StatefulSet":
		o.set = &appsv1.StatefulSet{}
		return o.into(o.set)
	case "v1 Service":
		o.service = &corev1.Service{}
		return o.into(o.service)
	}
	return nil
}

// into decodes an object with the case of its keys, and names the field that
// does not fit.
func (o *object) into(target any) error {
	decode := func(document []byte) error {
		return kjson.UnmarshalCaseSensitivePreserveInts(document, target)
	}
	err := decode(o.json)
	if err == nil {
		return nil
	}
	path, what := faultyField(o.json, decode, err)
	return o.fieldError(path, what)
}

// fieldError says what is wrong with a field; path has its keys and indices.
func (o *object) fieldError(path []string, what string) error {
	var field strings.Builder
	for i, element := range path {
		switch _, err := strconv.Atoi(element); {
		case err == nil && i > 0:
			field.WriteString("[" + element + "]")
		case i > 0:
			field.WriteString("." + element)
		default:
			field.WriteString(element)
		}
	}
	name := field.String()
	if name == "" {
		name = "it"
	}
	return o.at.fail(&lineError{o.line(path), fmt.Errorf("%s %s", name, what)})
}

// line finds a field's line in the document's text, 0 when it is not known.
func (o *object) line(path []string) int {
	node := top(o.node)
	for _, element := range path {
		if node == nil {
			return 0
		}
		if node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		if at, err := strconv.Atoi(element); err == nil && node.Kind == yaml.SequenceNode && at < len(node.Content) {
			node = node.Content[at]
			continue
		}
		node = child(node, element)
	}
	if node == nil {
		return 0
	}
	return node.Line
}

// faultyField finds the field for which a document cannot be decoded, and says
// what is wrong with it: each part is tried alone.
func faultyField(document []byte, decode func([]byte) error, fault error) ([]string, string) {
	children, wrap := childrenOf(document)
	keys := make([]string, 0, len(children))
	for key := range children {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if len(a) != len(b) && wrap("", nil)[0] == '[' {
			return len(a) - len(b) // by number
		}
		return strings.Compare(a, b)
	})
	for _, key := range keys {
		alone := func(part []byte) error { return decode(wrap(key, part)) }
		if err := alone(children[key]); err != nil {
			path, what := faultyField(children[key], alone, err)
			return append([]string{key}, path...), what
		}
	}
	return nil, mismatch(fault, decode)
}

// childrenOf takes a JSON document apart and gives what puts one child back alone.
func childrenOf(document []byte) (map[string]json.RawMessage, func(key string, part []byte) []byte) {
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) == nil {
		return fields, func(key string, part []byte) []byte {
			quoted, _ := json.Marshal(key) //nolint:errchkjson // a string can always be written
			return slices.Concat([]byte("{"), quoted, []byte(":"), part, []byte("}"))
		}
	}
	var list []json.RawMessage
	_ = json.Unmarshal(document, &list) // else it is a leaf
	fields = make(map[string]json.RawMessage, len(list))
	for i, element := range list {
		fields[strconv.Itoa(i)] = element
	}
	return fields, func(_ string, part []byte) []byte {
		return slices.Concat([]byte("["), part, []byte("]"))
	}
}

var typeMismatch = regexp.MustCompile(`^json: cannot unmarshal (.+) into Go (?:struct field \S+|value) of type \S+$`)

// mismatch puts a decoder's message in the words of manifests. What the field
// takes is found by trying.
func mismatch(why error, decode func([]byte) error) string {
	found := typeMismatch.FindStringSubmatch(why.Error())
	if found == nil {
		return "cannot be read: " + why.Error()
	}
	is := "is " + article(found[1])
	for _, try := range []struct{ value, name string }{
		{`""`, "a string"}, {`0`, "an integer"}, {`true`, "true or false"}, {`{}`, "a mapping"}, {`[]`, "a list"},
	} {
		if decode([]byte(try.value)) == nil {
			return is + ", want " + try.name
		}
	}
	return is
}

func article(value string) string {
	switch {
	case value == "array":
		return "a list"
	case value == "object":
		return "a mapping"
	case value == "bool":
		return "true or false"
	case strings.HasPrefix(value, "number "):
		return "the " + value
	default:
		return "a " + value
	}
}

// describe says what a JSON value is.
func describe(document []byte) string {
	value, err := jsonValue(document)
	if err != nil {
		return "nothing that can be read"
	}
	switch value.(type) {
	case []any:
		return "a list"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case bool:
		return "true or false"
	default:
		return "nothing"
	}
}
