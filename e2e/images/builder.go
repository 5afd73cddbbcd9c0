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

// kept is how many archives of one image stay in the cache folder.
const kept = 3

// builder makes images with buildah, in a storage of its own that goes with it.
type builder struct {
	ctx    context.Context
	source string // the repository
	cache  string // what is kept
	work   string // what is not
	out    io.Writer
	made   map[string]bool // the base images in the storage
}

func newBuilder(ctx context.Context, out io.Writer) (*builder, error) {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return nil, fmt.Errorf("cannot find the repository: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("cannot find the user's cache folder: %w", err)
	}
	cache = filepath.Join(cache, "h2o-webhook", "images")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the cache folder: %w", err)
	}
	return &builder{ctx: ctx, source: filepath.Dir(string(gomod)), cache: cache, out: out, made: map[string]bool{}}, nil
}

// build gives the archive of each image, made if missing.
func (b *builder) build(all []image) ([]string, error) {
	var paths []string
	var missing []image
	for _, i := range all {
		path, err := b.path(i)
		if err != nil {
			return nil, err
		}
		paths = append(paths, path)
		if !exists(path) {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return paths, nil
	}
	if err := checkRoot(); err != nil {
		return nil, err
	}
	return paths, b.locked(func() error {
		for _, i := range missing {
			if err := b.buildOne(i); err != nil {
				return fmt.Errorf("cannot build %s: %w", i.name, err)
			}
		}
		return nil
	})
}

// path is where an image's archive is or will be.
func (b *builder) path(i image) (string, error) {
	dockerfile, err := os.ReadFile(filepath.Join(b.source, i.dockerfile))
	if err != nil {
		return "", fmt.Errorf("cannot read what %s is built from: %w", i.name, err)
	}
	sources, err := i.sources(b)
	if err != nil {
		return "", fmt.Errorf("cannot find what %s is built from: %w", i.name, err)
	}
	return filepath.Join(b.cache, i.file(append(sources, dockerfile)...)), nil
}

// locked works while no other process does, in a folder that is gone afterwards.
// What one that was killed left behind goes first.
func (b *builder) locked(work func() error) error {
	lock, err := os.OpenFile(filepath.Join(b.cache, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("cannot open lock: %w", err)
	}
	defer lock.Close()
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		fmt.Fprintln(b.out, "waiting for another build of images")
		if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
			return fmt.Errorf("cannot wait for another build: %w", err)
		}
	}
	b.work = filepath.Join(b.cache, "work")
	defer os.RemoveAll(b.work)
	if err := os.RemoveAll(b.work); err != nil {
		return fmt.Errorf("cannot remove what an earlier build left: %w", err)
	}
	if err := os.MkdirAll(b.work, 0o755); err != nil {
		return fmt.Errorf("cannot make a folder to work in: %w", err)
	}
	return work()
}

func (b *builder) buildOne(i image) error {
	path, err := b.path(i)
	if err != nil || exists(path) { // another build made it while we waited
		return err
	}
	folder, err := b.context(i)
	if err != nil {
		return err
	}
	args := []string{"bud", "--isolation", "chroot", "--layers=false", "--pull-never", "--format", "docker", "-t", i.full(), "-f", filepath.Join(b.source, i.dockerfile)}
	half := path + ".half"
	defer os.Remove(half)
	err = b.step(i.name, i.about, func() error {
		bases, err := b.bases(i)
		if err != nil {
			return err
		}
		more, err := i.prepare(b, folder)
		if err != nil {
			return err
		}
		if err := b.buildah(slices.Concat(args, bases, more, []string{folder})...); err != nil {
			return err
		}
		return b.buildah("push", "--quiet", i.full(), "docker-archive:"+half+":"+i.full())
	})
	if err != nil {
		return err
	}
	if err := b.check(i, half); err != nil {
		return err
	}
	if err := os.Rename(half, path); err != nil {
		return fmt.Errorf("cannot keep the image: %w", err)
	}
	return b.prune(i)
}

// context gives the folder that an image is built from: the repository, or a
// copy of the Dockerfile's own to which more can be added.
func (b *builder) context(i image) (string, error) {
	folder := filepath.Dir(i.dockerfile)
	if folder == "." {
		return b.source, nil
	}
	work := filepath.Join(b.work, i.short())
	if err := os.CopyFS(work, os.DirFS(filepath.Join(b.source, folder))); err != nil {
		return "", fmt.Errorf("cannot make the build context: %w", err)
	}
	return work, nil
}

// prune removes old archives of an image, which every change leaves behind.
func (b *builder) prune(i image) error {
	files, err := filepath.Glob(filepath.Join(b.cache, i.short()+"-????????????.tar"))
	if err != nil {
		return fmt.Errorf("cannot list old images: %w", err)
	}
	slices.SortFunc(files, func(x, y string) int { return modified(y).Compare(modified(x)) })
	for _, file := range outdated(files, kept) {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("cannot remove an old image: %w", err)
		}
	}
	return nil
}

func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// step says what is being made, how long that takes, and how long it took.
func (b *builder) step(what string, about time.Duration, work func() error) error {
	start := time.Now()
	fmt.Fprintf(b.out, "  %s: being made, about %s on 2 cores\n", what, about)
	tick := time.NewTicker(15 * time.Second)
	defer tick.Stop()
	done := make(chan error, 1)
	go func() { done <- work() }()
	for {
		select {
		case err := <-done:
			if err == nil {
				fmt.Fprintf(b.out, "  %s: made in %s\n", what, time.Since(start).Round(time.Second))
			}
			return err
		case <-tick.C:
			fmt.Fprintf(b.out, "  %s: %s so far, of about %s\n", what, time.Since(start).Round(time.Second), about)
		}
	}
}

// buildah runs where there is no network but a loopback: a build that fetches
// what was not prepared fails, and what it is made of is known.
func (b *builder) buildah(args ...string) error {
	_, err := b.output(args...)
	return err
}

func (b *builder) output(args ...string) (string, error) {
	args = append([]string{
		"--net", "sh", "-c", `ip link set lo up && exec buildah "$@"`, "sh", "--storage-driver", "vfs",
		"--root", filepath.Join(b.work, "storage"), "--runroot", filepath.Join(b.work, "run"),
	}, args...)
	return b.command("unshare", args...)
}

func (b *builder) command(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	output, err := cmd.CombinedOutput()
	if b.ctx.Err() != nil {
		return "", b.ctx.Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return "", fmt.Errorf("%s failed: %w\n%s", name, err, strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	return string(output), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
