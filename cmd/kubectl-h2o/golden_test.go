package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

var update = flag.Bool("update", false, "write what comes out into the golden files")

// What comes out of a golden file's command; a file that is not there is empty.
const (
	wantCode   = "want-code"
	wantStdout = "want-stdout"
	wantStderr = "want-stderr"
)

// execute runs a command line as main does, with buffers for streams.
func execute(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	code = run(args, genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: &out, ErrOut: &errOut})
	return code, out.String(), errOut.String()
}

// alone makes a test independent of the kubeconfig of whoever runs it.
func alone(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HOME", dir)
	t.Setenv("KUBECONFIG", "")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("POD_NAMESPACE", "")
	return dir
}

// TestGolden runs the command of each golden file among its files. The file
// begins with why it is there; "command" is the command line, "stdin" its input.
func TestGolden(t *testing.T) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, name := range names {
		file, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { runGolden(t, file) })
	}
}

func runGolden(t *testing.T, file string) {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := alone(t)
	want := map[string]string{}
	var command, stdin string
	written := &txtar.Archive{Comment: archive.Comment}
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want-") {
			want[f.Name] = string(f.Data)
			continue
		}
		written.Files = append(written.Files, f)
		switch f.Name {
		case "command":
			command = string(f.Data)
		case "stdin":
			stdin = string(f.Data)
		default:
			path := filepath.Join(dir, filepath.FromSlash(f.Name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	code, stdout, stderr := execute(stdin, strings.Fields(command)...)
	got := map[string]string{}
	for _, out := range []txtar.File{
		{Name: wantCode, Data: fmt.Appendln(nil, code)}, {Name: wantStderr, Data: []byte(stderr)}, {Name: wantStdout, Data: []byte(stdout)},
	} {
		if len(out.Data) > 0 {
			got[out.Name] = string(out.Data)
			written.Files = append(written.Files, out)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(written), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\nwhat comes out is not what the file says (go test ./cmd/kubectl-h2o -update writes it anew) -want +got:\n%s", archive.Comment, diff)
	}
}
