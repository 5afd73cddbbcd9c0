package inject_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// forbidden are packages that would let the brain do more than decide.
var forbidden = []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go", "net/http", "context", "os", "github.com/go-logr/logr", "log", "math/rand"}

// clocks are what package time knows of the present, or waits for. Times and
// durations themselves are values like others.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// TestPure proves that the brain cannot do anything but decide: none of its
// packages reaches a network, a cluster, a clock or a log. Only package life
// knows of times, which it is told.
func TestPure(t *testing.T) {
	for dir, timeless := range map[string]bool{".": true, "../policy": true, "../life": false} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			seen++
			checkPure(t, file, timeless)
		}
		if seen == 0 {
			t.Errorf("no file in %s was looked at", dir)
		}
	}
}

func checkPure(t *testing.T, file string, timeless bool) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
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
		if path == "time" && (timeless || spec.Name != nil) {
			t.Errorf("%s imports time, or under another name", file)
		}
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		s, is := n.(*ast.SelectorExpr)
		if !is {
			return true
		}
		if pkg, is := s.X.(*ast.Ident); is && pkg.Name == "time" && slices.Contains(clocks, s.Sel.Name) {
			t.Errorf("%s looks at the clock: time.%s", file, s.Sel.Name)
		}
		return true
	})
}
