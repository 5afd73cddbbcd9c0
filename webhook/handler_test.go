package webhook

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/h2o-webhook/h2o-webhook/internal/corpus"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

func newServer(settings policy.Settings) (http.Handler, *Metrics) {
	metrics := NewMetrics(prometheus.NewRegistry())
	return Serve(&Handler{Settings: func() policy.Settings { return settings }, Log: logr.Discard(), Metrics: metrics}, logr.Discard()), metrics
}

// review makes the request that an API server would send.
func review(old, object []byte) admissionv1.AdmissionReview {
	request := &admissionv1.AdmissionRequest{
		UID:       "3c1b3c5e-0000-4000-8000-000000000001",
		Kind:      metav1.GroupVersionKind{Group: "apps", Version: "v1", Kind: "StatefulSet"},
		Resource:  metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"},
		Namespace: "science", Name: "demo", Operation: admissionv1.Create,
		Object: runtime.RawExtension{Raw: object},
	}
	if old != nil {
		request.Operation, request.OldObject = admissionv1.Update, runtime.RawExtension{Raw: old}
	}
	return admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Request: request}
}

func post(t *testing.T, handler http.Handler, body []byte) *admissionv1.AdmissionResponse {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Path, bytes.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	var answer admissionv1.AdmissionReview
	if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil {
		t.Fatalf("the answer is no admission review: %v\n%s", err, recorder.Body)
	}
	if answer.Response == nil {
		t.Fatalf("the answer has no response: %s", recorder.Body)
	}
	return answer.Response
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// TestCorpus drives the admission door through the golden cases.
func TestCorpus(t *testing.T) {
	cases, err := corpus.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			server, _ := newServer(c.Settings)
			response := post(t, server, encode(t, review(c.Old, c.Input)))
			if want := strings.TrimSpace(c.Want[corpus.FileError]); want != "" {
				if response.Allowed || response.Result.Message != want || response.Result.Code != http.StatusUnprocessableEntity {
					t.Fatalf("%s\nwant it refused with %q, got %+v", c.Reason, want, response)
				}
				return
			}
			if !response.Allowed {
				t.Fatalf("%s\nrefused: %v", c.Reason, response.Result)
			}
			if diff := cmp.Diff(c.Want[corpus.FileWarnings], lines(response.Warnings)); diff != "" {
				t.Errorf("%s\nwarnings, -want +got:\n%s", c.Reason, diff)
			}
			if diff := cmp.Diff(c.Want[corpus.FileObject], apply(t, c.Input, response.Patch)); diff != "" {
				t.Errorf("%s\npatched object, -want +got:\n%s", c.Reason, diff)
			}
		})
	}
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}

func apply(t *testing.T, document, encoded []byte) string {
	t.Helper()
	if encoded == nil {
		return ""
	}
	text, err := yaml.JSONToYAML(applyPatch(t, document, encoded))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func applyPatch(t *testing.T, document, encoded []byte) []byte {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(encoded)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := patch.Apply(document)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

const plain = `{"apiVersion":"apps/v1","kind":"StatefulSet","metadata":{"name":"demo","labels":{"h2o.ai/cluster":"true"}},
"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"h2o","image":"h2o"}]}}}}`

// TestUnreadable proves that what cannot be read is answered, and never let
// through unpatched.
func TestUnreadable(t *testing.T) {
	change := func(edit func(*admissionv1.AdmissionReview)) []byte {
		r := review(nil, []byte(plain))
		edit(&r)
		return encode(t, r)
	}
	for name, test := range map[string]struct {
		body []byte
		want string
	}{
		"no body":                     {nil, "empty"},
		"not JSON":                    {[]byte("hello"), "invalid character"},
		"JSON of another kind":        {[]byte(plain), "StatefulSet"},
		"no kind":                     {[]byte(`{"request":{}}`), `kind ""`},
		"a review of unknown version": {[]byte(`{"apiVersion":"admission.k8s.io/v9","kind":"AdmissionReview","request":{}}`), "admission.k8s.io/v9"},
		"a review without request":    {[]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`), "without a request"},
		"3 MiB of JSON":               {[]byte(`{"apiVersion":"` + strings.Repeat("x", 3<<20) + `"}`), `kind ""`},
		"3 MiB of open brackets":      {[]byte(strings.Repeat("[", 3<<20)), "exceeded max depth"},
		"8 MiB":                       {bytes.Repeat([]byte(" "), 8<<20), "at most"},
		"another kind of object":      {change(func(r *admissionv1.AdmissionReview) { r.Request.Kind.Kind = "Deployment" }), "want a StatefulSet"},
		"another version":             {change(func(r *admissionv1.AdmissionReview) { r.Request.Kind.Version = "v1beta1" }), "want a StatefulSet"},
		"a subresource":               {change(func(r *admissionv1.AdmissionReview) { r.Request.SubResource = "scale" }), "no subresource"},
		"another operation":           {change(func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Delete }), "CREATE or UPDATE"},
		"no object":                   {change(func(r *admissionv1.AdmissionReview) { r.Request.Object.Raw = nil }), "cannot read object"},
		"an update without old":       {change(func(r *admissionv1.AdmissionReview) { r.Request.Operation = admissionv1.Update }), "cannot read oldObject"},
		"an object of another type":   {change(func(r *admissionv1.AdmissionReview) { r.Request.Object.Raw = []byte(`{"kind":"Pod"}`) }), "not a StatefulSet"},
		"a list for an object":        {change(func(r *admissionv1.AdmissionReview) { r.Request.Object.Raw = []byte(`[]`) }), "cannot read object"},
		"text for replicas": {change(func(r *admissionv1.AdmissionReview) {
			r.Request.Object.Raw = []byte(strings.Replace(plain, `"selector"`, `"replicas":"3","selector"`, 1))
		}), "replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			server, metrics := newServer(policy.Defaults())
			response := post(t, server, test.body)
			if response.Allowed {
				t.Fatal("it was let through")
			}
			if !strings.Contains(response.Result.Message, test.want) {
				t.Errorf("want a message with %q, got %q", test.want, response.Result.Message)
			}
			if response.Result.Code < 400 || response.Result.Code > 499 {
				t.Errorf("want a status that blames the request, got %d", response.Result.Code)
			}
			if got := total(t, metrics, OutcomeUnreadable); got != 1 {
				t.Errorf("want it counted once as unreadable, got %v", got)
			}
		})
	}
}

func total(t *testing.T, metrics *Metrics, outcome Outcome) float64 {
	t.Helper()
	var sum float64
	for _, operation := range []string{"CREATE", "UPDATE", "other"} {
		sum += testutil.ToFloat64(metrics.requests.WithLabelValues(operation, string(outcome)))
	}
	return sum
}

// TestPanic proves that a bug refuses the request instead of ending the server.
func TestPanic(t *testing.T) {
	server := Serve(&Handler{Settings: func() policy.Settings { panic("bug") }, Log: logr.Discard(), Metrics: NewMetrics(prometheus.NewRegistry())}, logr.Discard())
	response := post(t, server, encode(t, review(nil, []byte(plain))))
	if response.Allowed || response.Result.Code != http.StatusInternalServerError {
		t.Errorf("want a refusal with status 500, got %+v", response)
	}
}

// TestLargeSet proves that a managed set of 3 MiB, the most that an API server
// takes, is injected like any other.
func TestLargeSet(t *testing.T) {
	var set appsv1.StatefulSet
	if err := json.Unmarshal([]byte(plain), &set); err != nil {
		t.Fatal(err)
	}
	set.Spec.Template.Spec.Containers[0].Args = []string{strings.Repeat("x", 3<<20-1024)}
	server, _ := newServer(policy.Defaults())
	response := post(t, server, encode(t, review(nil, encode(t, set))))
	if !response.Allowed || response.Patch == nil {
		t.Errorf("want it injected, got %+v", response.Result)
	}
}

// TestAudit proves what the API server's audit log is told.
func TestAudit(t *testing.T) {
	server, _ := newServer(policy.Defaults())
	response := post(t, server, encode(t, review(nil, []byte(plain))))
	want := map[string]string{"outcome": "injected", "changes": "14"}
	if diff := cmp.Diff(want, response.AuditAnnotations); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestMetrics proves what one injection counts.
func TestMetrics(t *testing.T) {
	server, metrics := newServer(policy.Defaults())
	post(t, server, encode(t, review(nil, []byte(plain))))
	if got := total(t, metrics, OutcomeInjected); got != 1 {
		t.Errorf("want one injected request, got %v", got)
	}
	if got := testutil.ToFloat64(metrics.changes.WithLabelValues("ExpectedCount")); got != 1 {
		t.Errorf("want one change of the expected count, got %v", got)
	}
	if got := testutil.CollectAndCount(metrics.duration); got != 1 {
		t.Errorf("want one duration series, got %v", got)
	}
}
