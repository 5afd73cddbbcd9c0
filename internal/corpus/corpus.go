// Package corpus holds the golden cases that drive every door of the product:
// the brain itself, the admission handler and the command line must all give
// what a case says.
//
// A case is one text file in cases/, in txtar form: first why the case is there,
// then its files. What goes in is written by hand: input.yaml, and where needed
// old.yaml (what the server holds) and settings.yaml (the server's defaults).
// What comes out is written by `make golden` and read by people in review.
package corpus

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Dir is the folder of the cases below this package's.
const Dir = "cases"

//go:embed cases
var files embed.FS

// Files that go in.
const (
	fileInput    = "input.yaml"
	fileOld      = "old.yaml"
	fileSettings = "settings.yaml"
)

// Files that come out; each is missing where there is nothing to say.
const (
	FileObject   = "want-object.yaml"
	FileServices = "want-services.yaml"
	FileChanges  = "want-changes.txt"
	FileWarnings = "want-warnings.txt"
	FileError    = "want-error.txt"
)

var outputs = []string{FileError, FileWarnings, FileChanges, FileObject, FileServices}

// Case is one golden case.
type Case struct {
	// Name is the file's name without its ending.
	Name string
	// Reason says why the case is there.
	Reason string
	// Settings are the server's defaults.
	Settings policy.Settings
	// Old and Input are JSON documents; Old is nil on create.
	Old, Input []byte
	// Want holds the files that come out, by name.
	Want map[string]string

	archive *txtar.Archive
}

// Load reads all cases. An unknown file in a case is an error, so that a
// misspelt expectation is not silently without effect.
func Load() ([]Case, error) {
	entries, err := fs.ReadDir(files, Dir)
	if err != nil {
		return nil, fmt.Errorf("cannot list the golden cases: %w", err)
	}
	cases := make([]Case, 0, len(entries))
	for _, entry := range entries {
		text, err := fs.ReadFile(files, path.Join(Dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("cannot read golden case: %w", err)
		}
		c, err := parse(strings.TrimSuffix(entry.Name(), ".txtar"), text)
		if err != nil {
			return nil, fmt.Errorf("cannot read golden case %s: %w", entry.Name(), err)
		}
		cases = append(cases, c)
	}
	return cases, nil
}

func parse(name string, text []byte) (Case, error) {
	c := Case{Name: name, Settings: policy.Defaults(), Want: map[string]string{}, archive: txtar.Parse(text)}
	c.Reason = strings.TrimSpace(string(c.archive.Comment))
	for _, f := range c.archive.Files {
		var err error
		switch f.Name {
		case fileInput:
			c.Input, err = yaml.YAMLToJSONStrict(f.Data)
		case fileOld:
			c.Old, err = yaml.YAMLToJSONStrict(f.Data)
		case fileSettings:
			err = yaml.UnmarshalStrict(f.Data, &c.Settings)
		case FileObject, FileServices, FileChanges, FileWarnings, FileError:
			c.Want[f.Name] = string(f.Data)
		default:
			err = fmt.Errorf("it is none of a case's files")
		}
		if err != nil {
			return c, fmt.Errorf("file %s: %w", f.Name, err)
		}
	}
	switch {
	case c.Reason == "":
		return c, fmt.Errorf("it does not say why it is there")
	case c.Input == nil:
		return c, fmt.Errorf("it has no %s", fileInput)
	}
	return c, nil
}

// Format gives the case's file with other outputs; empty ones are left out.
func (c Case) Format(want map[string]string) []byte {
	archive := &txtar.Archive{Comment: c.archive.Comment}
	for _, f := range c.archive.Files {
		if !strings.HasPrefix(f.Name, "want-") {
			archive.Files = append(archive.Files, f)
		}
	}
	for _, name := range outputs {
		if text := want[name]; text != "" {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	return bytes.TrimLeft(txtar.Format(archive), "\n")
}
