package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stateFile holds, in the folder of a cluster with nodes, what up printed.
const stateFile = "state.json"

// started is the line that up prints. All but the first three only with nodes.
type started struct {
	Kubeconfig string      `json:"kubeconfig"`
	Kubectl    string      `json:"kubectl"`
	Server     string      `json:"server"`
	Folder     string      `json:"folder,omitempty"` // all that the cluster has on disk
	Shared     string      `json:"shared,omitempty"` // a folder for hostPath volumes, the same on all nodes
	Domain     string      `json:"clusterDomain,omitempty"`
	DNS        string      `json:"dns,omitempty"` // the name server's address
	PID        int         `json:"pid,omitempty"` // of the supervisor
	Nodes      []nodeState `json:"nodes,omitempty"`
}

// nodeState is what others may know of a node.
type nodeState struct {
	Name      string `json:"name"`
	Address   string `json:"address"`
	Pods      string `json:"pods"`      // the addresses of its pods
	Network   string `json:"network"`   // its network namespace, a path
	Container string `json:"container"` // containerd's socket
}

func (s started) write(dir string) error {
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, stateFile), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot write down the cluster's state: %w", err)
	}
	return nil
}

// readState reads what a running cluster wrote down. None is none that is ready.
func readState(dir string) (*started, error) {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s := &started{}
	if err == nil {
		err = json.Unmarshal(text, s)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster's state: %w", err)
	}
	return s, nil
}
