package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// bases are the build arguments that name an image's bases.
func (b *builder) bases(i image) ([]string, error) {
	var args []string
	for _, base := range i.bases {
		name, err := b.base(base)
		if err != nil {
			return nil, err
		}
		args = append(args, "--build-arg", base.argument+"="+name)
	}
	return args, nil
}

// base gives the name of a base image in the storage, made if missing.
func (b *builder) base(of base) (string, error) {
	tree := filepath.Join(b.cache, of.rootfs.file())
	if !exists(tree) {
		half := tree + ".half.tar"
		defer os.Remove(half)
		err := b.step("base of "+suite+": "+strings.Join(of.rootfs.packages, " "), of.rootfs.about, func() error {
			_, err := b.command("mmdebstrap", of.rootfs.debootstrapArgs(half)...)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("cannot make base %s: %w", of.rootfs.name, err)
		}
		if err := os.Rename(half, tree); err != nil {
			return "", fmt.Errorf("cannot keep base %s: %w", of.rootfs.name, err)
		}
	}
	name := "localhost/" + strings.TrimSuffix(cacheName(of.rootfs.name, []byte(of.dockerfile())), ".tar")
	if b.made[name] {
		return name, nil
	}
	dir := filepath.Join(b.work, "base-"+filepath.Base(name))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make base %s: %w", of.rootfs.name, err)
	}
	if err := os.Link(tree, filepath.Join(dir, "rootfs.tar")); err != nil {
		return "", fmt.Errorf("cannot make base %s: %w", of.rootfs.name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(of.dockerfile()), 0o644); err != nil {
		return "", fmt.Errorf("cannot make base %s: %w", of.rootfs.name, err)
	}
	if err := b.buildah("bud", "--isolation", "chroot", "--layers=false", "-t", name, dir); err != nil {
		return "", fmt.Errorf("cannot make base %s: %w", of.rootfs.name, err)
	}
	b.made[name] = true
	return name, nil
}

// goArgs build in the repository with this machine's Go, its modules and what it
// has compiled already.
func (b *builder) goArgs(version string) ([]string, error) {
	if _, err := b.goTool("mod", "download"); err != nil {
		return nil, err
	}
	env, err := b.goTool("env", "GOROOT", "GOMODCACHE", "GOCACHE")
	if err != nil {
		return nil, err
	}
	folders := strings.Fields(env)
	if len(folders) != 3 {
		return nil, fmt.Errorf("cannot use the folders of Go: %q", env)
	}
	return []string{
		"--build-arg", "VERSION=" + version,
		"--volume", folders[0] + ":/usr/local/go:ro", "--volume", folders[1] + ":/go/pkg/mod", "--volume", folders[2] + ":/root/.cache/go-build",
	}, nil
}

// goSources are the files that are compiled into the webhook, and their compiler.
func (b *builder) goSources(version string) ([][]byte, error) {
	const files = `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	list, err := b.goTool("list", "-deps", "-f", files, "./cmd/h2o-webhook")
	if err != nil {
		return nil, err
	}
	sources := [][]byte{[]byte(version), []byte(runtime.Version())}
	for _, file := range append(strings.Fields(list), "go.mod", "go.sum", ".dockerignore") {
		if !filepath.IsAbs(file) {
			file = filepath.Join(b.source, file)
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read a source: %w", err)
		}
		sources = append(sources, []byte(strings.TrimPrefix(file, b.source)), source)
	}
	return sources, nil
}

// goTool runs go in the repository.
func (b *builder) goTool(args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	output, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return "", fmt.Errorf("go %s failed: %w\n%s", args[0], err, exit.Stderr)
	}
	if err != nil {
		return "", fmt.Errorf("cannot run go: %w", err)
	}
	return string(output), nil
}

// unpack puts what is wanted of the Python package h2o into a folder: the jar
// alone, or the code without it.
func (b *builder) unpack(prefix, dir string, jar bool) error {
	if err := b.fetchPackage(); err != nil {
		return err
	}
	file, err := os.Open(archive(b.cache))
	if err != nil {
		return fmt.Errorf("cannot read the package h2o: %w", err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("cannot read the package h2o: %w", err)
	}
	found := 0
	for files := tar.NewReader(unzipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot read the package h2o: %w", err)
		}
		name, wanted := unpackedName(header.Name, prefix, jar)
		if !wanted || header.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), files); err != nil {
			return err
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("the package h2o holds no %s", prefix)
	}
	return nil
}

// unpackedName says where a file of the archive goes, if it is wanted.
func unpackedName(name, prefix string, jar bool) (string, bool) {
	_, name, _ = strings.Cut(name, "/") // the release's folder
	if !strings.HasPrefix(name, prefix) || !filepath.IsLocal(name) || strings.HasSuffix(name, ".jar") != jar {
		return "", false
	}
	if jar {
		return filepath.Base(name), true
	}
	return name, true
}

func writeFile(path string, from io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot unpack: %w", err)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot unpack: %w", err)
	}
	if _, err := io.Copy(file, from); err != nil {
		_ = file.Close()
		return fmt.Errorf("cannot unpack: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("cannot unpack: %w", err)
	}
	return nil
}

// fetchPackage downloads the package's source archive from PyPI, once.
func (b *builder) fetchPackage() error {
	if exists(archive(b.cache)) {
		return nil
	}
	dir := filepath.Join(b.work, "pypi")
	err := b.step("h2o "+h2oVersion+" from PyPI, 266 MB", 15*time.Second, func() error {
		_, err := b.command("pip3", "download", "--quiet", "--no-deps", "--dest", dir, "h2o=="+h2oVersion)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot fetch H2O: %w", err)
	}
	if err := os.Rename(archive(dir), archive(b.cache)); err != nil {
		return fmt.Errorf("cannot keep H2O: %w", err)
	}
	return nil
}
