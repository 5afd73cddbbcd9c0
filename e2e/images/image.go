package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// h2oVersion is the release of H2O and of its Python package.
const h2oVersion = "3.46.0.12"

// suite is the Debian that the bases are made of.
const suite = "bookworm"

// rootfs is the file tree of a base image, made of Debian's packages.
type rootfs struct {
	name     string
	packages []string
	about    time.Duration
}

var (
	javaRootfs = rootfs{"java", []string{"openjdk-17-jre-headless", "libgomp1"}, 40 * time.Second}
	// One tree serves the client, the Go build and the unpacking of the jar.
	toolsRootfs = rootfs{"tools", []string{"ca-certificates", "curl", "dnsutils", "python3-requests", "python3-tabulate"}, 40 * time.Second}
)

// debootstrapArgs make the tree's archive, without what no program reads.
func (r rootfs) debootstrapArgs(file string) []string {
	return []string{
		"--quiet", "--variant=minbase", "--include=" + strings.Join(r.packages, ","),
		`--customize-hook=rm -rf "$1"/usr/share/doc/* "$1"/usr/share/man/* "$1"/usr/share/locale/*`,
		suite, file,
	}
}

// file is the name of the tree's archive in the cache folder.
func (r rootfs) file() string {
	return cacheName("rootfs-"+r.name, []byte(strings.Join(r.debootstrapArgs(""), "\n")))
}

// base is what an image is built upon: a build argument and its tree.
type base struct {
	argument string
	rootfs   rootfs
	env      string // a line of its Dockerfile, empty for none
}

func (b base) dockerfile() string {
	return fmt.Sprintf("FROM scratch\nADD rootfs.tar /\n%s\n", b.env)
}

// image is one image to build, and what is claimed about it.
type image struct {
	name       string // as the manifests write it
	dockerfile string // from the repository's root
	bases      []base
	about      time.Duration
	prepare    func(*builder, string) ([]string, error) // adds to the context's folder, gives more arguments
	sources    func(*builder) ([][]byte, error)         // what it is built from beside the Dockerfile
	claims     claims
}

// file is the name of the image's archive in the cache folder.
func (i image) file(sources ...[]byte) string {
	for _, b := range i.bases {
		sources = append(sources, []byte(b.argument+"="+b.rootfs.file()+"\n"+b.dockerfile()))
	}
	return cacheName(i.short(), sources...)
}

// short is the image's name without the tag.
func (i image) short() string {
	name, _, _ := strings.Cut(i.name, ":")
	return name
}

// full is the name that container runtimes make of the short one.
func (i image) full() string { return "docker.io/library/" + i.name }

// cacheName names a file after everything that it was made from.
func cacheName(name string, sources ...[]byte) string {
	sum := sha256.New()
	for _, s := range sources {
		fmt.Fprintf(sum, "%d\n", len(s)) // so that no two lists are the same bytes
		sum.Write(s)
	}
	return fmt.Sprintf("%s-%s.tar", name, hex.EncodeToString(sum.Sum(nil))[:12])
}

// outdated gives the archives of an image to remove: all but the newest few of
// the list, which is in the order of age, newest first.
func outdated(newestFirst []string, keep int) []string {
	return slices.Clone(newestFirst[min(keep, len(newestFirst)):])
}

// images are in the order in which they are built. Their times were measured on
// a machine with 2 cores; they are only ever shown as an estimate.
func images(version string) []image {
	return []image{
		{
			name: "h2o-webhook:dev", dockerfile: "Dockerfile", about: 90 * time.Second,
			bases:   []base{{"GO", toolsRootfs, "ENV PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin GOPATH=/go GOPROXY=off GOTOOLCHAIN=local"}},
			prepare: func(b *builder, _ string) ([]string, error) { return b.goArgs(version) },
			sources: func(b *builder) ([][]byte, error) { return b.goSources(version) },
			claims: claims{
				entrypoint: "/h2o-webhook", args: "serve", static: "h2o-webhook",
				runs: []run{{[]string{"/h2o-webhook", "version"}, version}},
			},
		},
		{
			name: "h2o:" + h2oVersion, dockerfile: "config/samples/h2o-image/Dockerfile", about: 60 * time.Second,
			bases: []base{{"BASE", javaRootfs, ""}, {"FETCH", toolsRootfs, ""}},
			prepare: func(b *builder, dir string) ([]string, error) {
				return h2oArgs, b.unpack("h2o/backend/bin/h2o.jar", dir, true)
			},
			sources: func(*builder) ([][]byte, error) { return [][]byte{[]byte(h2oVersion)}, nil },
			claims: claims{
				entrypoint: "java", has: []string{"opt/h2o/h2o.jar", "opt/h2o/lib/libxgboost4j_gpu.so"},
				runs: []run{{[]string{"java", "-version"}, `openjdk version "17.`}},
			},
		},
		{
			name: "h2o-client:dev", dockerfile: "e2e/images/client/Dockerfile", about: 20 * time.Second,
			bases:   []base{{"BASE", toolsRootfs, ""}},
			prepare: func(b *builder, dir string) ([]string, error) { return nil, b.unpack("h2o/", dir, false) },
			sources: func(*builder) ([][]byte, error) { return [][]byte{[]byte(h2oVersion)}, nil },
			claims: claims{
				runs: []run{
					{[]string{"python3", "-c", "import h2o; print(h2o.__version__)"}, h2oVersion},
					{[]string{"dig", "-v"}, "DiG"},
					{[]string{"curl", "--version"}, "curl"},
				},
			},
		},
	}
}

var h2oArgs = []string{"--build-arg", "H2O_VERSION=" + h2oVersion}

// archive is the Python package's source archive in the cache folder.
func archive(cache string) string { return filepath.Join(cache, "h2o-"+h2oVersion+".tar.gz") }
