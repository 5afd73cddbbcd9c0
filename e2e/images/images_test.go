package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCacheNameTellsWhatItWasMadeFrom(t *testing.T) {
	name := cacheName("h2o", []byte("ab"), []byte("c"))
	if again := cacheName("h2o", []byte("ab"), []byte("c")); again != name {
		t.Errorf("the same has two names: %s, %s", name, again)
	}
	for _, other := range []string{cacheName("h2o", []byte("a"), []byte("bc")), cacheName("h2o", []byte("abc")), cacheName("h2o")} {
		if other == name {
			t.Errorf("%s stands for two builds", name)
		}
	}
}

func TestAnotherBaseIsAnotherImage(t *testing.T) {
	one := images("v1")[1]
	other := one
	other.bases = slices.Clone(one.bases)
	other.bases[0].rootfs.packages = []string{"openjdk-11-jre-headless"}
	if one.file() == other.file() {
		t.Error("an image is taken for one on another Java")
	}
}

func TestOutdated(t *testing.T) {
	for reason, c := range map[string]struct{ files, want []string }{
		"the newest stay":       {[]string{"d", "c", "b", "a"}, []string{"a"}},
		"as many as are kept":   {[]string{"c", "b", "a"}, nil},
		"none was made so far":  {nil, nil},
		"many were left behind": {[]string{"e", "d", "c", "b", "a"}, []string{"b", "a"}},
	} {
		if got := outdated(c.files, 3); !slices.Equal(got, c.want) {
			t.Errorf("%s: want %v, got %v", reason, c.want, got)
		}
	}
}

func TestPruneLeavesOtherImagesAlone(t *testing.T) {
	b := &builder{cache: t.TempDir()}
	names := []string{"h2o-000000000001.tar", "h2o-000000000002.tar", "h2o-000000000003.tar", "h2o-000000000004.tar", "h2o-client-000000000001.tar", "h2o-3.46.0.12.tar.gz"}
	for age, name := range names {
		path := filepath.Join(b.cache, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-time.Duration(age) * time.Minute)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.prune(image{name: "h2o:1"}); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if want := name != "h2o-000000000004.tar"; exists(filepath.Join(b.cache, name)) != want {
			t.Errorf("%s: kept should be %t", name, want)
		}
	}
}

func TestChoose(t *testing.T) {
	chosen, err := choose(images("v1"), []string{"h2o-client", "h2o"})
	if err != nil || len(chosen) != 2 || chosen[0].name != "h2o:"+h2oVersion || chosen[1].name != "h2o-client:dev" {
		t.Errorf("want h2o and its client in the order of the build, got %v (%v)", chosen, err)
	}
	if _, err := choose(images("v1"), []string{"h20"}); err == nil || !strings.Contains(err.Error(), "h2o-webhook, h2o, h2o-client") {
		t.Errorf("want an error that names the images, got %v", err)
	}
}

func TestMissingPackagesAreNamedInOneLine(t *testing.T) {
	err := checkMachine(func(name string) (string, error) {
		if name == "buildah" || name == "ip" {
			return "", errors.New("not found")
		}
		return "/usr/bin/" + name, nil
	})
	if err == nil || !strings.HasSuffix(err.Error(), "apt-get install -y --no-install-recommends buildah iproute2") {
		t.Errorf("want the command that installs what is missing, got %v", err)
	}
}

func TestUnpackedName(t *testing.T) {
	for reason, c := range map[string]struct {
		name, prefix string
		jar          bool
		want         string // empty: not unpacked
	}{
		"the jar alone":          {"h2o-1/h2o/backend/bin/h2o.jar", "h2o/backend/bin/h2o.jar", true, "h2o.jar"},
		"the code beside no jar": {"h2o-1/h2o/frame.py", "h2o/", false, "h2o/frame.py"},
		"the code has no jar":    {"h2o-1/h2o/backend/bin/h2o.jar", "h2o/", false, ""},
		"what builds it is not":  {"h2o-1/setup.py", "h2o/", false, ""},
		"nothing leaves":         {"h2o-1/h2o/../../x", "h2o/", false, ""},
	} {
		if got, _ := unpackedName(c.name, c.prefix, c.jar); got != c.want {
			t.Errorf("%s: want %q, got %q", reason, c.want, got)
		}
	}
}

// TestClaims makes an archive as buildah does, and breaks one claim at a time.
func TestClaims(t *testing.T) {
	const name = "docker.io/library/x:dev"
	own := claims{entrypoint: "/x", args: "serve", static: "x", has: []string{"etc/y"}}
	for reason, c := range map[string]struct {
		config  string
		program []byte
		file    string
		want    string // empty: all claims hold
	}{
		"as claimed":             {`{"User":"65532:65532","Entrypoint":["/x"],"Cmd":["serve"]}`, program(elf.PT_LOAD), "etc/y", ""},
		"root":                   {`{"Entrypoint":["/x"],"Cmd":["serve"]}`, program(elf.PT_LOAD), "etc/y", "runs as"},
		"through a shell":        {`{"User":"65532:65532","Entrypoint":["sh","-c","/x"],"Cmd":["serve"]}`, program(elf.PT_LOAD), "etc/y", "entrypoint"},
		"without the subcommand": {`{"User":"65532:65532","Entrypoint":["/x"]}`, program(elf.PT_LOAD), "etc/y", "arguments"},
		"a dynamic program":      {`{"User":"65532:65532","Entrypoint":["/x"],"Cmd":["serve"]}`, program(elf.PT_INTERP), "etc/y", "not static"},
		"no program":             {`{"User":"65532:65532","Entrypoint":["/x"],"Cmd":["serve"]}`, nil, "etc/y", "no program"},
		"a file is missing":      {`{"User":"65532:65532","Entrypoint":["/x"],"Cmd":["serve"]}`, program(elf.PT_LOAD), "etc/z", "has no etc/y"},
	} {
		layer := tarOf(t, map[string][]byte{"x": c.program, c.file: nil})
		is, err := readArchive(bytes.NewReader(tarOf(t, map[string][]byte{
			"1.tar": layer, "c.json": []byte(`{"config":` + c.config + `}`),
			"manifest.json": []byte(`[{"Config":"c.json","RepoTags":["` + name + `"],"Layers":["1.tar"]}]`),
		})), own.static)
		if err != nil || is.Name != name || is.Size != int64(len(layer)) {
			t.Fatalf("%s: cannot read the archive: %+v (%v)", reason, is, err)
		}
		err = own.hold(is)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, got %v", reason, c.want, err)
		}
	}
}

func TestArchiveOfTwoNamesIsRefused(t *testing.T) {
	archive := tarOf(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c.json","RepoTags":["a:1","b:1"]}]`)})
	if _, err := readArchive(bytes.NewReader(archive), ""); err == nil {
		t.Error("an archive is accepted that gives the image two names")
	}
}

// TestWebhookIsMadeOfItsSources proves that a change of the code is a new image.
func TestWebhookIsMadeOfItsSources(t *testing.T) {
	b, err := newBuilder(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := b.goSources("v1")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range sources {
		names = append(names, string(s))
	}
	for _, want := range []string{"/cmd/h2o-webhook/serve.go", "/webhook/inject/services.go", "/go.sum", "v1"} {
		if !slices.Contains(names, want) {
			t.Errorf("%s does not count", want)
		}
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "_test.go") }) {
		t.Error("a change of a test makes a new image")
	}
}

func tarOf(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	writer := tar.NewWriter(&out)
	for name, content := range files {
		if err := writer.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := writer.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// program is an ELF file with one segment of a kind.
func program(kind elf.ProgType) []byte {
	var out bytes.Buffer
	header := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	_ = binary.Write(&out, binary.LittleEndian, header)
	_ = binary.Write(&out, binary.LittleEndian, elf.Prog64{Type: uint32(kind)})
	return out.Bytes()
}
