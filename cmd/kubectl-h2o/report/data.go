package report

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"
)

// NewList makes the document for several clusters.
func NewList(clusters []ClusterStatus) ClusterStatusList {
	if clusters == nil {
		clusters = []ClusterStatus{} // an empty list, not none
	}
	return ClusterStatusList{APIVersion: APIVersion, Kind: ListKind, Items: clusters}
}

// WriteJSON writes a document as JSON.
func WriteJSON(out io.Writer, document any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "    ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("cannot write JSON: %w", err)
	}
	return nil
}

// WriteYAML writes a document as YAML; a following one is parted from it.
func WriteYAML(out io.Writer, document any, following bool) error {
	text, err := yaml.Marshal(document)
	if err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	if following {
		text = append([]byte("---\n"), text...)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("cannot write YAML: %w", err)
	}
	return nil
}
