package inject_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/internal/corpus"
	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

var update = flag.Bool("update", false, "write what comes out into the golden cases")

// TestCorpus drives the brain through the golden cases.
func TestCorpus(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 40 {
		t.Fatalf("only %d golden cases are left", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			old, object := decode(t, c.Old), decode(t, c.Input)
			before := []*appsv1.StatefulSet{old.Set.DeepCopy(), object.Set.DeepCopy()}
			result, err := inject.Review(old, object, c.Settings)
			if !apiequality.Semantic.DeepEqual(before, []*appsv1.StatefulSet{old.Set, object.Set}) {
				t.Errorf("%s\nthe input was changed", c.Reason)
			}
			got := render(t, c, result, err)
			if *update {
				file := filepath.Join("..", "..", "internal", "corpus", corpus.Dir, c.Name+".txtar")
				if err := os.WriteFile(file, c.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(c.Want, got); diff != "" {
				t.Errorf("%s\nwhat comes out is not what the case says (make golden writes it anew) -want +got:\n%s", c.Reason, diff)
			}
			if err == nil {
				checkGuarantees(t, c, old, object, result)
			}
		})
	}
}

// render gives what comes out of a case as its files.
func render(t *testing.T, c corpus.Case, result inject.Result, err error) map[string]string {
	t.Helper()
	if rejected, ok := errors.AsType[*inject.RejectedError](err); ok {
		return map[string]string{corpus.FileError: rejected.Error() + "\n"}
	}
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, w := range result.Warnings {
		want[corpus.FileWarnings] += w.String() + "\n"
	}
	if len(result.Changes) == 0 {
		return want
	}
	for _, change := range result.Changes {
		want[corpus.FileChanges] += change.String() + "\n"
	}
	document, err := inject.Apply(c.Input, result.Changes)
	if err != nil {
		t.Fatal(err)
	}
	want[corpus.FileObject] = toYAML(t, document)
	if inject.Managed(result.Set) {
		for _, s := range []*corev1.Service{inject.DiscoveryService(result.Set), inject.LeaderService(result.Set)} {
			text, err := yaml.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			want[corpus.FileServices] += "---\n" + strings.Replace(string(text), "status:\n  loadBalancer: {}\n", "", 1)
		}
	}
	return want
}

// checkGuarantees proves on one case what must hold for every object.
func checkGuarantees(t *testing.T, c corpus.Case, old, object inject.Object, result inject.Result) {
	t.Helper()
	document, err := inject.Apply(c.Input, result.Changes)
	if err != nil {
		t.Fatal(err)
	}
	done := decode(t, document)
	if diff := cmp.Diff(result.Set, done.Set); diff != "" {
		t.Errorf("the changes do not lead to the object decided on, -decided +changed:\n%s", diff)
	}
	if len(result.Changes) == 0 || !inject.Managed(result.Set) {
		return
	}
	for name, stored := range map[string]inject.Object{"reinvoked": old, "written again": done} {
		again, err := inject.Review(stored, done, c.Settings)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(again.Changes) > 0 {
			t.Errorf("%s: an injected set is injected again: %v", name, again.Changes)
		}
	}
	if old.Set != nil {
		return // what was stored may hold traces of earlier writes
	}
	came := object.Set.DeepCopy()
	for _, name := range policy.WrittenAnnotations() { // a record and a status are never the user's
		delete(came.Annotations, name)
	}
	if len(came.Annotations) == 0 {
		came.Annotations = nil
	}
	if diff := cmp.Diff(came, inject.Uninject(done).Set, cmp.Comparer(func(a, b []corev1.EnvVar) bool {
		return apiequality.Semantic.DeepEqual(a, b)
	})); diff != "" {
		t.Errorf("taking back does not give what came, -came +back:\n%s", diff)
	}
}

func decode(t *testing.T, document []byte) inject.Object {
	t.Helper()
	if document == nil {
		return inject.Object{}
	}
	set := &appsv1.StatefulSet{}
	if err := yaml.Unmarshal(document, set); err != nil {
		t.Fatal(err)
	}
	return inject.Object{Set: set, JSON: document}
}

func toYAML(t *testing.T, document []byte) string {
	t.Helper()
	text, err := yaml.JSONToYAML(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimLeft(text, "\n"))
}
