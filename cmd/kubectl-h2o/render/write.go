package render

import (
	"bytes"
	"encoding/json"
	"strings"

	"go.yaml.in/yaml/v3"
	kyaml "sigs.k8s.io/yaml"
)

// yaml gives an object as text that ends in a line feed: its author's own where
// it has that, else its tree's, else one made from its JSON.
func (o *object) yaml() string {
	if o.text != "" {
		return o.text
	}
	if text, ok := o.written(); ok {
		return text
	}
	return o.plain()
}

// written writes an object's tree; false where that would not mean the same.
func (o *object) written() (string, bool) {
	if o.node == nil {
		return "", false
	}
	text, err := encodeNode(o.node)
	return text, err == nil && means(text, o.json)
}

// plain writes an object from its JSON, without order and comments.
func (o *object) plain() string {
	text, err := kyaml.JSONToYAML(o.json)
	if err != nil {
		return string(o.json) + "\n" // JSON is YAML
	}
	return string(text)
}

// means says whether kubectl reads a text as the same object.
func means(text string, object []byte) bool {
	read, err := kyaml.YAMLToJSON([]byte(text))
	return err == nil && sameJSON(read, object)
}

// encodeNode writes a tree in its author's indentation.
func encodeNode(node *yaml.Node) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	indent, compact := layout(node)
	e.SetIndent(indent)
	if compact {
		e.CompactSeqIndent()
	}
	if err := e.Encode(node); err != nil {
		return "", err
	}
	if err := e.Close(); err != nil {
		return "", err
	}
	return b.String(), nil
}

// layout finds how a tree was indented: by how many columns, and whether lists
// stand right below their keys. Without an example it is as kubectl writes.
func layout(node *yaml.Node) (int, bool) {
	indent, compact := 0, 0
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, c := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 1 && c.Style&yaml.FlowStyle == 0 && c.Column > 0 && c.Line > n.Content[i-1].Line {
				by := c.Column - n.Content[i-1].Column
				switch {
				case c.Kind == yaml.MappingNode && indent == 0:
					indent = by
				case c.Kind == yaml.SequenceNode && by == 0:
					compact++
				case c.Kind == yaml.SequenceNode:
					compact--
				}
			}
			walk(c)
		}
	}
	walk(node)
	if indent < 2 || indent > 8 {
		indent = 2
	}
	return indent, compact >= 0
}

// sameJSON says whether two JSON documents mean the same: keys in any order,
// integers digit by digit, other numbers by value.
func sameJSON(a, b []byte) bool {
	x, err := jsonValue(a)
	if err != nil {
		return false
	}
	y, err := jsonValue(b)
	return err == nil && sameValue(x, y)
}

func jsonValue(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	err := decoder.Decode(&value)
	return value, err
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for key, value := range a {
			if other, has := b[key]; !has || !sameValue(value, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(a, b)
	default:
		return a == b
	}
}

func sameNumber(a, b json.Number) bool {
	if a == b || strings.Trim(string(a+b), "-0") == "" {
		return true // also -0, which readers of YAML make 0
	}
	if !strings.ContainsAny(string(a), ".eE") && !strings.ContainsAny(string(b), ".eE") {
		return false
	}
	x, err := a.Float64()
	if err != nil {
		return false
	}
	y, err := b.Float64()
	return err == nil && x == y
}
