package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestResolve(t *testing.T) {
	with := func(change func(*Settings)) Settings {
		s := Defaults()
		change(&s)
		return s
	}
	for name, test := range map[string]struct {
		annotations map[string]string
		want        Settings
		problems    []string
	}{
		"nothing said":                        {nil, Defaults(), nil},
		"annotations of others":               {map[string]string{"example.org/x": "y", "h2o.aix/y": "z"}, Defaults(), nil},
		"annotations that we write":           {map[string]string{"h2o.ai/injected": "x", "h2o.ai/phase": "Formed"}, Defaults(), nil},
		"a port":                              {map[string]string{"h2o.ai/api-port": "8080"}, with(func(s *Settings) { s.APIPort = 8080 }), nil},
		"the lowest and highest port":         {map[string]string{"h2o.ai/api-port": "65535"}, with(func(s *Settings) { s.APIPort = 65535 }), nil},
		"a port with a sign":                  {map[string]string{"h2o.ai/api-port": "-1"}, Settings{}, []string{"h2o.ai/api-port"}},
		"a port with a space":                 {map[string]string{"h2o.ai/api-port": " 8080"}, Settings{}, []string{"h2o.ai/api-port"}},
		"a port that H2O uses":                {map[string]string{"h2o.ai/api-port": "54322"}, Settings{}, []string{"54321 and 54322"}},
		"a directory is cleaned":              {map[string]string{"h2o.ai/recovery-dir": "/a//b/../c/"}, with(func(s *Settings) { s.RecoveryDir = "/a/c" }), nil},
		"an address keeps its form":           {map[string]string{"h2o.ai/recovery-dir": "hdfs://nn:8020/x/"}, with(func(s *Settings) { s.RecoveryDir = "hdfs://nn:8020/x" }), nil},
		"a directory that the shell expands":  {map[string]string{"h2o.ai/recovery-dir": "/a/$(X)"}, Settings{}, []string{"h2o.ai/recovery-dir"}},
		"an empty directory":                  {map[string]string{"h2o.ai/recovery-dir": ""}, Settings{}, []string{"h2o.ai/recovery-dir"}},
		"resizing denied":                     {map[string]string{"h2o.ai/resize": "deny"}, with(func(s *Settings) { s.Resize = ResizeDeny }), nil},
		"resizing neither allowed nor denied": {map[string]string{"h2o.ai/resize": "never"}, Settings{}, []string{`h2o.ai/resize: "never" is not allowed: want "allow" or "deny"`}},
		"all problems at once":                {map[string]string{"h2o.ai/a": "", "h2o.ai/readiness": "x"}, Settings{}, []string{"h2o.ai/a is unknown", `want "leader" or "keep"`}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Resolve(Defaults(), test.annotations)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			invalid, is := errors.AsType[*InvalidError](err)
			if is != (len(test.problems) > 0) {
				t.Fatalf("want problems %q, got %v", test.problems, err)
			}
			for _, problem := range test.problems {
				if !strings.Contains(invalid.Error(), problem) {
					t.Errorf("want %q said in %q", problem, invalid)
				}
			}
		})
	}
}
