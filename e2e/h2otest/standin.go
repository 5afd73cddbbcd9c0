package h2otest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/h2o-webhook/h2o-webhook/e2e/harness"
)

// ImageStandin is the image of the stand-in for H2O (e2e/standin).
const ImageStandin = "localhost/h2o-standin:1"

// LoadStandin builds the stand-in's image and brings it into the nodes. A cluster
// of somebody else's must have it.
func (c *Cluster) LoadStandin(ctx context.Context) error {
	if c.Folder == "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "h2o-standin-")
	if err != nil {
		return fmt.Errorf("cannot make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	root, err := harness.Repository()
	if err != nil {
		return err
	}
	program, archive := filepath.Join(dir, "standin"), filepath.Join(dir, "standin.tar")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./e2e/standin")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build the stand-in: %w\n%s", err, output)
	}
	if _, err := c.Command(ctx, c.out, "image", ImageStandin, program, archive); err != nil {
		return err
	}
	_, err = c.Command(ctx, c.out, "load", archive)
	return err
}
