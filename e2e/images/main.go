// Command images builds the images that the tests run from this repository's
// Dockerfiles: the webhook, H2O and a client. No registry is asked: the bases are
// made here, of Debian's packages and of this machine's Go. Each image is kept in
// the user's cache folder as a docker archive named after what it was built from.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
)

const usage = `usage: images [-version VERSION] [NAME ...]

Builds what is missing of h2o-webhook, h2o and h2o-client (all, if none is named)
and prints one line for each: the name that manifests use, and its archive.
`

func main() {
	version := flag.String("version", "unknown", "")
	flag.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := build(ctx, *version, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, version string, names []string) error {
	wanted, err := choose(images(version), names)
	if err != nil {
		return err
	}
	b, err := newBuilder(ctx, os.Stderr)
	if err != nil {
		return err
	}
	paths, err := b.build(wanted)
	if err != nil {
		return err
	}
	for i, path := range paths {
		fmt.Println(wanted[i].name, path)
	}
	return nil
}

// choose gives the images of these names, all of them for none.
func choose(all []image, names []string) ([]image, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	var chosen []image
	for _, i := range all {
		known = append(known, i.short())
		if slices.Contains(names, i.short()) {
			chosen = append(chosen, i)
		}
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("unknown image %q: want %s", name, strings.Join(known, ", "))
		}
	}
	return chosen, nil
}

// needs are the programs that a build calls and the Debian packages they are in.
var needs = [][2]string{
	{"mmdebstrap", "mmdebstrap"},
	{"buildah", "buildah"},
	{"unshare", "util-linux"},
	{"ip", "iproute2"},
	{"pip3", "python3-pip"},
}

// checkMachine says in one line what is missing here.
func checkMachine(find func(string) (string, error)) error {
	var missing []string
	for _, need := range needs {
		if _, err := find(need[0]); err != nil {
			missing = append(missing, need[1])
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("packages are missing: apt-get install -y --no-install-recommends %s", strings.Join(missing, " "))
	}
	return nil
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("building images needs root, for the owners of their files")
	}
	return checkMachine(exec.LookPath)
}
