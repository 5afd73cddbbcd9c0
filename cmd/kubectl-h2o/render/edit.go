package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"go.yaml.in/yaml/v3"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// operation is one operation of a JSON patch (RFC 6902).
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// operationsOf gives the brain's changes as the operations of a JSON patch.
func operationsOf(changes []inject.Change) ([]operation, error) {
	patch, err := inject.Patch(changes)
	if err != nil || patch == nil {
		return nil, err
	}
	var ops []operation
	if err := json.Unmarshal(patch, &ops); err != nil {
		return nil, fmt.Errorf("cannot read the changes: %w", err)
	}
	return ops, nil
}

// applyJSON applies operations to a JSON document.
func applyJSON(document []byte, ops []operation) ([]byte, error) {
	if len(ops) == 0 {
		return document, nil
	}
	encoded, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("cannot write a patch: %w", err)
	}
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		return nil, fmt.Errorf("cannot read a patch: %w", err)
	}
	return patch.Apply(document)
}

// applyNode applies operations to a tree. Comments, order and style of what is
// not touched stay. It is an error where the tree says things in another way
// than by plain mappings and lists, such as merge keys.
func applyNode(root *yaml.Node, ops []operation) error {
	for _, op := range ops {
		if err := applyOne(top(root), op); err != nil {
			return fmt.Errorf("cannot %s %s: %w", op.Op, op.Path, err)
		}
	}
	return nil
}

var unescape = strings.NewReplacer("~1", "/", "~0", "~")

func applyOne(node *yaml.Node, op operation) error {
	elements := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
	for i := range elements {
		elements[i] = unescape.Replace(elements[i])
	}
	last := len(elements) - 1
	for _, element := range elements[:last] {
		at, err := indexOf(node, element)
		if err != nil {
			return err
		}
		if at >= len(node.Content) {
			return fmt.Errorf("there is no %s", element)
		}
		node = follow(node.Content[at])
	}
	at, err := indexOf(node, elements[last])
	if err != nil {
		return err
	}
	var value *yaml.Node
	if op.Op != "remove" {
		if value, err = jsonNode(op.Value); err != nil {
			return err
		}
	}
	if node.Kind == yaml.MappingNode {
		return editMapping(node, at, elements[last], value)
	}
	return editSequence(node, at, op.Op == "add", value)
}

// follow makes an alias a copy of its own, which can be edited.
func follow(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		*node = *copyNode(node.Alias)
		node.Anchor = ""
	}
	return node
}

// indexOf finds where in a node's content the value of a path element stands:
// one past the end for a new key.
func indexOf(node *yaml.Node, element string) (int, error) {
	switch node.Kind {
	case yaml.MappingNode:
		if keyIndex(node, "<<") >= 0 {
			return 0, fmt.Errorf("it has a merge key")
		}
		if at := keyIndex(node, element); at >= 0 {
			return at + 1, nil
		}
		return len(node.Content), nil
	case yaml.SequenceNode:
		at, err := strconv.Atoi(element)
		if err != nil || at < 0 || at > len(node.Content) {
			return 0, fmt.Errorf("there is no element %s", element)
		}
		return at, nil
	default:
		return 0, fmt.Errorf("%s is in no mapping and no list", element)
	}
}

func editMapping(node *yaml.Node, at int, key string, value *yaml.Node) error {
	found := at < len(node.Content)
	switch {
	case value == nil && !found:
		return fmt.Errorf("there is no %s", key)
	case value == nil:
		node.Content = slices.Delete(node.Content, at-1, at+1)
	case found:
		node.Content[at] = inPlaceOf(node.Content[at], value)
	default:
		node.Content = append(node.Content, stringNode(key), value)
		if node.Style&yaml.FlowStyle != 0 && len(node.Content) == 2 {
			node.Style &^= yaml.FlowStyle // an empty mapping can only be written as {}
		}
	}
	return nil
}

func editSequence(node *yaml.Node, at int, insert bool, value *yaml.Node) error {
	if !insert && at >= len(node.Content) {
		return fmt.Errorf("there is no element %d", at)
	}
	switch {
	case value == nil:
		node.Content = slices.Delete(node.Content, at, at+1)
	case insert:
		node.Content = slices.Insert(node.Content, at, value)
		if node.Style&yaml.FlowStyle != 0 && len(node.Content) == 1 {
			node.Style &^= yaml.FlowStyle
		}
	default:
		node.Content[at] = inPlaceOf(node.Content[at], value)
	}
	return nil
}

// inPlaceOf gives a new value the comments of the old one, and its place on one
// line: a block has none beside it for a comment.
func inPlaceOf(old, value *yaml.Node) *yaml.Node {
	value.HeadComment, value.LineComment, value.FootComment = old.HeadComment, old.LineComment, old.FootComment
	switch {
	case value.Kind == yaml.ScalarNode:
	case old.Kind != yaml.ScalarNode:
		value.Style |= old.Style & yaml.FlowStyle
	case old.LineComment != "":
		value.LineComment = ""
		value.HeadComment = strings.TrimPrefix(old.HeadComment+"\n"+old.LineComment, "\n")
	}
	return value
}
