package webhook

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// allower answers "allowed" to everything: what any webhook costs.
type allower struct{}

func (allower) Decide(*admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{Allowed: true}
}

func (allower) Fail(int32, error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{}
}

// typical makes a plain managed set of about 8 KiB: H2O, three sidecars with
// their variables, and what a real server adds, such as managed fields.
func typical(tb testing.TB) []byte {
	tb.Helper()
	set := &appsv1.StatefulSet{}
	if err := json.Unmarshal([]byte(plain), set); err != nil {
		tb.Fatal(err)
	}
	set.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: strings.Repeat("x", 2000)}
	for _, name := range []string{"proxy", "logs", "metrics"} {
		c := corev1.Container{Name: name, Image: name + ":1", Args: []string{"--config", "/etc/" + name}}
		for range 24 {
			c.Env = append(c.Env, corev1.EnvVar{Name: strings.ToUpper(name) + "_VARIABLE", Value: "a value of the user's own"})
		}
		set.Spec.Template.Spec.Containers = append(set.Spec.Template.Spec.Containers, c)
	}
	document, err := json.Marshal(set)
	if err != nil {
		tb.Fatal(err)
	}
	if len(document) < 7<<10 || len(document) > 9<<10 {
		tb.Fatalf("the set has %d bytes, want about 8 KiB", len(document))
	}
	return document
}

// BenchmarkDecode times reading the object, which allowing everything saves.
func BenchmarkDecode(b *testing.B) {
	document := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readObject(document, "science"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInject(b *testing.B) {
	object, err := readObject(typical(b), "science")
	if err != nil {
		b.Fatal(err)
	}
	defaults := policy.Defaults()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := inject.Inject(object, defaults); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandler times whole requests in this process, without a network.
func BenchmarkHandler(b *testing.B) { benchmarkBoth(b, inProcess) }

// BenchmarkServer times them as an API server sends them: over TLS 1.3, on a
// connection that stays open.
func BenchmarkServer(b *testing.B) { benchmarkBoth(b, overTLS) }

func benchmarkBoth(b *testing.B, start func(*testing.B, http.Handler) func([]byte) []byte) {
	b.Helper()
	object := typical(b)
	body, err := json.Marshal(review(nil, object))
	if err != nil {
		b.Fatal(err)
	}
	ours, _ := newServer(policy.Defaults())
	for _, answerer := range []struct {
		name    string
		handler http.Handler
	}{{"allow", Serve(allower{}, logr.Discard())}, {"inject", ours}} {
		b.Run(answerer.name, func(b *testing.B) {
			send := start(b, answerer.handler)
			b.ReportAllocs()
			for b.Loop() {
				if answer := send(body); !bytes.Contains(answer, []byte(`"allowed":true`)) {
					b.Fatalf("not allowed: %s", answer)
				}
			}
		})
	}
}

func inProcess(b *testing.B, handler http.Handler) func([]byte) []byte {
	b.Helper()
	return func(body []byte) []byte {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, Path, bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		return recorder.Body.Bytes()
	}
}

func overTLS(b *testing.B, handler http.Handler) func([]byte) []byte {
	b.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	b.Cleanup(server.Close)
	return func(body []byte) []byte {
		request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err != nil {
			b.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			b.Fatal(err)
		}
		return answer
	}
}
