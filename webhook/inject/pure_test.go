package inject_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPure proves that the brain cannot do anything but decide: neither of its
// packages reaches a network, a cluster, a clock or a log.
func TestPure(t *testing.T) {
	forbidden := []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go", "net/http", "context", "time", "os", "github.com/go-logr/logr", "log", "math/rand"}
	seen := 0
	for _, pattern := range []string{"*.go", "../policy/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			seen++
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, spec := range parsed.Imports {
				path, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range forbidden {
					if path == f || strings.HasPrefix(path, f+"/") {
						t.Errorf("%s imports %s", file, path)
					}
				}
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d files were looked at", seen)
	}
}
