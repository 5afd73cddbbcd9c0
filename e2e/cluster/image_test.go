package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImageIsWhole(t *testing.T) {
	program := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(program, []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "i.tar")
	if err := (image{"localhost/i:1", program}).write(path, "run"); err != nil {
		t.Fatal(err)
	}
	files := untar(t, path)
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("cannot read the manifest: %v %s", err, files["manifest.json"])
	}
	config := files[manifest[0].Config]
	layer := files[manifest[0].Layers[0]]
	if manifest[0].Config != digest(config)+".json" || !strings.Contains(string(config), `"diff_ids":["sha256:`+digest(layer)+`"]`) {
		t.Errorf("the parts do not name each other: %s", files["manifest.json"])
	}
	if !strings.Contains(string(config), `"Entrypoint":["/run"]`) || manifest[0].RepoTags[0] != "localhost/i:1" {
		t.Errorf("want localhost/i:1 that runs /run, got %s", config)
	}
	if err := os.WriteFile(path, layer, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := untar(t, path)["run"]; string(got) != "#!" {
		t.Errorf("the layer holds %q", got)
	}
}

func untar(t *testing.T, path string) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for archive := tar.NewReader(bytes.NewReader(text)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
	}
}
