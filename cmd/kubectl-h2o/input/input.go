// Package input reads the files that a user names with -f.
//
// It decides which files those are, as kubectl does, and never what is in them.
package input

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/render"
)

// Stdin is the name that stands for standard input.
const Stdin = "-"

// stdinName is what standard input is called in messages.
const stdinName = "stdin"

// endings are those of the files that are read from a folder.
var endings = []string{".yaml", ".yml", ".json"}

// Read reads files, the YAML and JSON files of folders in the order of their
// names, and stdin for "-". Folders in folders are read where recursive is set.
func Read(names []string, recursive bool, stdin io.Reader) ([]render.Input, error) {
	var inputs []render.Input
	for _, name := range names {
		found, err := readOne(name, recursive, stdin)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			found = []render.Input{{Name: name}} // a folder without files is an empty input
		}
		inputs = append(inputs, found...)
	}
	return inputs, nil
}

func readOne(name string, recursive bool, stdin io.Reader) ([]render.Input, error) {
	if name == Stdin {
		data, err := io.ReadAll(stdin)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", stdinName, err)
		}
		return []render.Input{{Name: stdinName, Data: data}}, nil
	}
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return nil, fmt.Errorf("cannot read %s: this command reads no URLs; fetch it and use -f -", name)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, cannotRead(name, err)
	}
	if !info.IsDir() {
		return readFiles([]string{name})
	}
	files, err := list(name, recursive)
	if err != nil {
		return nil, err
	}
	return readFiles(files)
}

// list finds the files of a folder. Links count for what they lead to, but
// folders behind them are not entered.
func list(folder string, recursive bool) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return cannotRead(path, err)
		}
		if entry.IsDir() {
			if path != folder && !recursive {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.Contains(endings, filepath.Ext(path)) {
			return nil
		}
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return nil
		}
		files = append(files, path)
		return nil
	})
	return files, err
}

func readFiles(names []string) ([]render.Input, error) {
	inputs := make([]render.Input, 0, len(names))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, cannotRead(name, err)
		}
		inputs = append(inputs, render.Input{Name: name, Data: data})
	}
	return inputs, nil
}

// cannotRead names a file once: the errors of package os name it too.
func cannotRead(name string, err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		err = of.Err
	}
	return fmt.Errorf("cannot read %s: %w", name, err)
}
