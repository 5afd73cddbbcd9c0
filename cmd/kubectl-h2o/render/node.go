package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parseNode reads the text of one YAML document into a tree that keeps order,
// comments and style. Lines in the tree count from the text's first.
func parseNode(text string) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	root := &yaml.Node{}
	if err := decoder.Decode(root); err != nil {
		return nil, err
	}
	if err := decoder.Decode(&yaml.Node{}); err != io.EOF { //nolint:errorlint // the decoder gives it unwrapped
		return nil, errSecondDocument
	}
	return root, nil
}

var errSecondDocument = fmt.Errorf("another document begins in it without a line of its own for ---")

// top gives the value of a document's tree.
func top(root *yaml.Node) *yaml.Node {
	if root != nil && root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		return root.Content[0]
	}
	return root
}

// child finds a key's value in a mapping, nil when there is none.
func child(mapping *yaml.Node, key string) *yaml.Node {
	if at := keyIndex(mapping, key); at >= 0 {
		return mapping.Content[at+1]
	}
	return nil
}

func keyIndex(mapping *yaml.Node, key string) int {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// checkDuplicates looks for a key that a mapping has twice, which readers of
// YAML silently resolve each in its way.
func checkDuplicates(node *yaml.Node) error {
	if node.Kind == yaml.MappingNode {
		first := map[string]int{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := node.Content[i]
			if key.Kind != yaml.ScalarNode {
				continue
			}
			if line, twice := first[key.Value]; twice {
				return &lineError{key.Line, fmt.Errorf("key %q is there twice, first in line %d", key.Value, line)}
			}
			first[key.Value] = key.Line
		}
	}
	for _, c := range node.Content {
		if err := checkDuplicates(c); err != nil {
			return err
		}
	}
	return nil
}

// lineError is an error in a line of a text, counted from 1.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

// copyNode copies a tree, so that it can be edited.
func copyNode(node *yaml.Node) *yaml.Node {
	if node == nil {
		return nil
	}
	c := *node
	c.Content = make([]*yaml.Node, 0, len(node.Content))
	for _, n := range node.Content {
		c.Content = append(c.Content, copyNode(n))
	}
	return &c
}

// jsonNode reads a JSON value into a tree. It keeps the order of keys and the
// text of numbers.
func jsonNode(data []byte) (*yaml.Node, error) {
	r := &jsonReader{data: data, line: 1, decoder: json.NewDecoder(bytes.NewReader(data))}
	r.decoder.UseNumber()
	return r.value()
}

type jsonReader struct {
	data    []byte
	decoder *json.Decoder
	at      int64 // up to where lines are counted
	line    int
}

func (r *jsonReader) value() (*yaml.Node, error) {
	token, err := r.decoder.Token()
	if err != nil {
		return nil, err
	}
	end := r.decoder.InputOffset()
	r.line += bytes.Count(r.data[r.at:end], []byte("\n"))
	r.at = end
	node := &yaml.Node{Line: r.line}
	switch token := token.(type) {
	case json.Delim:
		return node, r.children(node, token)
	case string:
		*node = *stringNode(token)
		node.Line = r.line
	case json.Number:
		node.Kind, node.Value = yaml.ScalarNode, token.String() // as it is: readers differ in what is an integer
	case bool:
		node.Kind, node.Tag, node.Value = yaml.ScalarNode, "!!bool", fmt.Sprint(token)
	default:
		node.Kind, node.Tag, node.Value = yaml.ScalarNode, "!!null", "null"
	}
	return node, nil
}

func (r *jsonReader) children(node *yaml.Node, open json.Delim) error {
	node.Kind, node.Tag = yaml.SequenceNode, "!!seq"
	if open == '{' {
		node.Kind, node.Tag = yaml.MappingNode, "!!map"
	}
	for r.decoder.More() {
		c, err := r.value()
		if err != nil {
			return err
		}
		node.Content = append(node.Content, c)
	}
	_, err := r.decoder.Token()
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	return err
}

// Strings that every reader of YAML, 1.1 or 1.2, takes for strings without
// quotes: words and paths, and quantities.
var (
	plainText = regexp.MustCompile(`^([A-Za-z/_]|-[A-Za-z])[A-Za-z0-9_./=@+-]*([: ,][A-Za-z0-9_./=@+-]+)*$|^[0-9]+(m|[KMGT]i)$`)
	notPlain  = regexp.MustCompile(`(?i)^(y|yes|n|no|on|off|true|false|null)$`)
)

// stringNode makes a scalar of a string, in the style a person would choose.
func stringNode(value string) *yaml.Node {
	node := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
	switch {
	case plainText.MatchString(value) && !notPlain.MatchString(value):
	case strings.Contains(value, "\n"):
		node.Style = yaml.LiteralStyle
	case strings.ContainsAny(value, `"\`):
		node.Style = yaml.SingleQuotedStyle
	default:
		node.Style = yaml.DoubleQuotedStyle
	}
	return node
}
