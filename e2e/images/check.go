package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// user is who every image runs as: nobody's account, the same everywhere.
const user = "65532:65532"

// claims are what an image is said to be, beside running as the user.
type claims struct {
	entrypoint string   // the program, empty for none
	args       string   // that it is called with unless others are given
	has        []string // files
	static     string   // a file that is a static program, empty for none
	runs       []run
}

// run is a command in the image and what it prints.
type run struct {
	command []string
	prints  string
}

// built is what an archive says about its image.
type built struct {
	Name   string
	Layers []string
	Size   int64 // bytes of all layers
	Config struct {
		User            string
		Entrypoint, Cmd []string
	}
	files map[string][]byte // of the programs asked for, the content
}

// check proves an image's claims on its archive, and by running it.
func (b *builder) check(i image, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot check: %w", err)
	}
	defer file.Close()
	is, err := readArchive(file, i.claims.static)
	if err != nil {
		return fmt.Errorf("cannot check: %w", err)
	}
	if is.Name != i.full() {
		return fmt.Errorf("it is named %s, want %s", is.Name, i.full())
	}
	if err := i.claims.hold(is); err != nil {
		return err
	}
	container, err := b.output("from", "--quiet", "--pull-never", i.full())
	if err != nil {
		return fmt.Errorf("cannot check: %w", err)
	}
	for _, r := range i.claims.runs {
		output, err := b.output(append([]string{"run", "--isolation", "chroot", strings.TrimSpace(container), "--"}, r.command...)...)
		if err != nil {
			return fmt.Errorf("%s cannot run: %w", r.command[0], err)
		}
		if !strings.Contains(output, r.prints) {
			return fmt.Errorf("%s prints %q, want %q", strings.Join(r.command, " "), output, r.prints)
		}
	}
	fmt.Fprintf(b.out, "  %s: %d MB, runs as %s, as claimed\n", i.name, is.Size>>20, is.Config.User)
	return b.buildah("rm", strings.TrimSpace(container))
}

// hold says the first claim that is not true.
func (c claims) hold(is built) error {
	if is.Config.User != user {
		return fmt.Errorf("it runs as %q, want %s", is.Config.User, user)
	}
	if c.entrypoint != "" && (len(is.Config.Entrypoint) == 0 || is.Config.Entrypoint[0] != c.entrypoint) {
		return fmt.Errorf("its entrypoint is %q, want %s", is.Config.Entrypoint, c.entrypoint)
	}
	if args := strings.Join(is.Config.Cmd, " "); c.args != "" && args != c.args {
		return fmt.Errorf("its arguments are %q, want %q", args, c.args)
	}
	for _, name := range c.has {
		if _, found := is.files[name]; !found {
			return fmt.Errorf("it has no %s", name)
		}
	}
	if c.static != "" {
		return isStatic(is.files[c.static])
	}
	return nil
}

// isStatic says why a program would need a dynamic linker.
func isStatic(program []byte) error {
	read, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("it has no program: %w", err)
	}
	if slices.ContainsFunc(read.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return errors.New("its program is not static")
	}
	return nil
}

// readArchive reads a docker archive, and of one file of the image the content.
func readArchive(from io.Reader, content string) (built, error) {
	is := built{files: map[string][]byte{}}
	configs := map[string][]byte{}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	err := eachFile(from, func(h *tar.Header, r io.Reader) error {
		switch {
		case h.Name == "manifest.json":
			return json.NewDecoder(r).Decode(&manifest)
		case strings.HasSuffix(h.Name, ".json"):
			text, err := io.ReadAll(r)
			configs[h.Name] = text
			return err
		case h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, ".tar"):
			is.Size += h.Size
			return is.readLayer(r, content)
		}
		return nil
	})
	if err != nil {
		return built{}, fmt.Errorf("cannot read the archive: %w", err)
	}
	if len(manifest) != 1 || len(manifest[0].RepoTags) != 1 {
		return built{}, fmt.Errorf("the archive holds %+v, want one image with one name", manifest)
	}
	is.Name, is.Layers = manifest[0].RepoTags[0], manifest[0].Layers
	if err := json.Unmarshal(configs[manifest[0].Config], &is); err != nil {
		return built{}, fmt.Errorf("cannot read the image's configuration: %w", err)
	}
	return is, nil
}

func (is *built) readLayer(layer io.Reader, content string) error {
	return eachFile(layer, func(h *tar.Header, r io.Reader) error {
		name := strings.TrimPrefix(h.Name, "./")
		is.files[name] = nil
		if name != content {
			return nil
		}
		text, err := io.ReadAll(r)
		is.files[name] = text
		return err
	})
}

func eachFile(from io.Reader, visit func(*tar.Header, io.Reader) error) error {
	for files := tar.NewReader(from); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := visit(header, files); err != nil {
			return err
		}
	}
}
