package h2otest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// loadImages brings the images into the nodes, built if missing. A cluster that
// runs already has some of them.
func (c *Cluster) loadImages(ctx context.Context) error {
	archives, err := buildImages(ctx, c.out)
	if err != nil {
		return err
	}
	record := filepath.Join(c.Folder, "loaded-images")
	before, err := os.ReadFile(record)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read which images are loaded: %w", err)
	}
	// An archive is named after what it was built from.
	loaded := strings.Fields(string(before))
	missing := slices.DeleteFunc(slices.Clone(archives), func(path string) bool { return slices.Contains(loaded, path) })
	if len(missing) == 0 {
		return nil
	}
	if _, err := c.Command(ctx, c.out, append([]string{"load"}, missing...)...); err != nil {
		return err
	}
	c.newImages = true
	if err := os.WriteFile(record, []byte(strings.Join(archives, "\n")), 0o600); err != nil {
		return fmt.Errorf("cannot write down which images are loaded: %w", err)
	}
	return nil
}

// buildImages gives the archives of all images.
func buildImages(ctx context.Context, out io.Writer) ([]string, error) {
	root, err := harness.Repository()
	if err != nil {
		return nil, err
	}
	// A version of its own, so that a commit which changes nothing builds nothing.
	cmd := exec.CommandContext(ctx, "go", "run", "./e2e/images", "-version", "e2e")
	cmd.Dir, cmd.Stderr = root, out
	list, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot build the images: %w", err)
	}
	var archives []string
	for line := range strings.Lines(string(list)) {
		if words := strings.Fields(line); len(words) == 2 {
			archives = append(archives, words[1])
		}
	}
	return archives, nil
}
