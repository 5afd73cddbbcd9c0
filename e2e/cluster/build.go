package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// builder makes the cluster's programs out of their modules.
type builder struct {
	source string // folder of this module
	cache  string // folder of built programs
	assets string // KUBEBUILDER_ASSETS, empty for none
	out    io.Writer
}

func newBuilder(out io.Writer) (*builder, error) {
	source, err := sourceDir()
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("cannot find the user's cache folder: %w", err)
	}
	cache = filepath.Join(cache, "h2o-webhook", "bin")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the cache folder: %w", err)
	}
	return &builder{source: source, cache: cache, assets: os.Getenv("KUBEBUILDER_ASSETS"), out: out}, nil
}

// module is the folder that a part is built in.
func (b *builder) module(p part) string {
	if p.own() {
		return b.source
	}
	return filepath.Join(b.source, "parts", p.module)
}

func (b *builder) version(p part) (string, error) {
	if p.own() {
		return "own", nil
	}
	gomod, err := os.ReadFile(filepath.Join(b.module(p), "go.mod"))
	if err != nil {
		return "", fmt.Errorf("cannot read the version of %s: %w", p.name, err)
	}
	return versionIn(string(gomod), p.of)
}

// build gives the path of each part's program by its name, made if missing.
func (b *builder) build(ctx context.Context, names []string) (map[string]string, error) {
	paths := map[string]string{}
	var missing []part
	for _, p := range parts {
		if !slices.Contains(names, p.name) {
			continue
		}
		path, err := b.path(p)
		if err != nil {
			return nil, err
		}
		paths[p.name] = path
		if !exists(path) {
			missing = append(missing, p)
		}
	}
	for _, name := range names {
		if _, err := partNamed(name); err != nil {
			return nil, err
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	return paths, b.buildMissing(ctx, missing, paths)
}

// path is where a part's program is or will be.
func (b *builder) path(p part) (string, error) {
	if b.assets != "" {
		if asset := filepath.Join(b.assets, p.name); exists(asset) {
			return asset, nil
		}
	}
	version, err := b.version(p)
	if err != nil {
		return "", err
	}
	sources, err := b.sources(p)
	if err != nil {
		return "", fmt.Errorf("cannot read what %s is built from: %w", p.name, err)
	}
	return filepath.Join(b.cache, binaryName(p.name, version, sources...)), nil
}

// sources are what a part's program follows from.
func (b *builder) sources(p part) ([][]byte, error) {
	files := []string{"go.mod", "go.sum"}
	if p.own() {
		files = []string{"go.mod", filepath.Join(p.pkg, "main.go")}
	}
	var sources [][]byte
	for _, name := range files {
		source, err := os.ReadFile(filepath.Join(b.module(p), name))
		if err != nil {
			return nil, err
		}
		sources = append(sources, source)
	}
	return sources, nil
}

func (b *builder) buildMissing(ctx context.Context, missing []part, paths map[string]string) error {
	unlock, err := lockFile(ctx, filepath.Join(b.cache, ".lock"), func() {
		fmt.Fprintln(b.out, "waiting for another build of the same programs")
	})
	if err != nil {
		return err
	}
	defer unlock()
	var total time.Duration
	for _, p := range missing {
		total += p.about
	}
	fmt.Fprintf(b.out, "building %d programs of a real Kubernetes, once: about %s on 2 cores with nothing cached\n", len(missing), total)
	start := time.Now()
	for i, p := range missing {
		if exists(paths[p.name]) {
			continue // another build made it while we waited
		}
		shown := progress{out: b.out, start: start, about: total, what: fmt.Sprintf("%d/%d %s", i+1, len(missing), p.name)}
		if err := shown.during(func() error { return b.buildOne(ctx, p, paths[p.name]) }); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "built in %s, kept in %s\n", since(start), b.cache)
	return nil
}

// buildOne compiles a program beside its place and moves it there, so that one
// that is there is whole.
func (b *builder) buildOne(ctx context.Context, p part, path string) error {
	version, err := b.version(p)
	if err != nil {
		return err
	}
	half := path + ".half"
	defer os.Remove(half)
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", linkFlags(p, version), "-o", half, p.pkg)
	cmd.Dir = b.module(p)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.SysProcAttr = dieWithParent()
	output, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("cannot build %s: %w\n%s", p.name, err, tail(string(output), 20))
	}
	if err := os.Rename(half, path); err != nil {
		return fmt.Errorf("cannot keep %s: %w", p.name, err)
	}
	return nil
}

// lockFile waits until this process alone holds a lock; the kernel gives it back
// however the process ends.
func lockFile(ctx context.Context, path string, waiting func()) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot open lock: %w", err)
	}
	for first := true; ; first = false {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if first {
			waiting()
		}
		select {
		case <-ctx.Done():
			_ = file.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// tail gives the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
