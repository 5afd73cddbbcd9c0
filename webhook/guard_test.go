package webhook

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// newGuard makes a guard that knows one formed cluster, science/demo.
func newGuard(t *testing.T) (*Guard, http.Handler) {
	t.Helper()
	demo := &appsv1.StatefulSet{}
	if err := json.Unmarshal([]byte(plain), demo); err != nil {
		t.Fatal(err)
	}
	demo.Annotations = map[string]string{
		policy.AnnotationStatus: `{"generation":{"revision":"a","proof":"answers","members":{}}}`,
		policy.AnnotationResize: string(policy.ResizeDeny),
	}
	guard := &Guard{
		Find: func(namespace, name string) *appsv1.StatefulSet {
			if namespace != "science" || name != demo.Name {
				return nil
			}
			return demo
		},
		Settings: policy.Defaults, Log: logr.Discard(), Metrics: NewMetrics(prometheus.NewRegistry()),
	}
	return guard, Serve(guard, logr.Discard())
}

// scale makes the request that an API server would send. A scale leaves out zero.
func scale(from, to string) *admissionv1.AdmissionRequest {
	document := func(spec string) runtime.RawExtension {
		return runtime.RawExtension{Raw: []byte(`{"kind":"Scale","apiVersion":"autoscaling/v1","metadata":{"name":"demo","namespace":"science"},"spec":{` + spec + `},"status":{"replicas":3}}`)}
	}
	return &admissionv1.AdmissionRequest{
		UID:         "3c1b3c5e-0000-4000-8000-000000000002",
		Kind:        metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"},
		Resource:    metav1.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"},
		SubResource: "scale", Namespace: "science", Name: "demo", Operation: admissionv1.Update,
		OldObject: document(from), Object: document(to),
	}
}

// TestGuard proves that the guard answers for sets that it knows, and lets
// everything else through, also what it cannot read.
func TestGuard(t *testing.T) {
	three, five := `"replicas":3`, `"replicas":5`
	for name, test := range map[string]struct {
		from, to string
		change   func(*admissionv1.AdmissionRequest)
		refused  string
		warned   string
		outcome  Outcome
	}{
		"a formed cluster that denies it": {three, five, nil, `annotation h2o.ai/resize: "deny"`, "", OutcomeRejected},
		"the same as a dry run":           {three, five, func(r *admissionv1.AdmissionRequest) { yes := true; r.DryRun = &yes }, `annotation h2o.ai/resize: "deny"`, "", OutcomeRejected},
		"a stop":                          {three, ``, nil, "", "0 replicas stop", OutcomeWarned},
		"a start":                         {``, three, nil, "", "", OutcomeUnchanged},
		"an autoscaler, even for a start": {``, three, func(r *admissionv1.AdmissionRequest) { r.UserInfo.Username = "system:kube-controller-manager" }, "HorizontalPodAutoscaler", "", OutcomeRejected},
		"a set that is not known":         {three, five, func(r *admissionv1.AdmissionRequest) { r.Name = "other" }, "", "", OutcomeUnchanged},
		"one of the name elsewhere":       {three, five, func(r *admissionv1.AdmissionRequest) { r.Namespace = "other" }, "", "", OutcomeUnchanged},
		"a Deployment's scale":            {three, five, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "deployments" }, "", "", OutcomeUnreadable},
		"a StatefulSet of another group":  {three, five, func(r *admissionv1.AdmissionRequest) { r.Resource.Group = "apps.example" }, "", "", OutcomeUnreadable},
		"a status":                        {three, five, func(r *admissionv1.AdmissionRequest) { r.SubResource = "status" }, "", "", OutcomeUnreadable},
		"another operation":               {three, five, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Connect }, "", "", OutcomeUnreadable},
		"a scale that is none":            {three, `"replicas":"many"`, nil, "", "", OutcomeUnreadable},
		"an old scale that is none":       {`"replicas":"many"`, five, nil, "", "", OutcomeUnreadable},
		"no scale at all":                 {three, five, func(r *admissionv1.AdmissionRequest) { r.Object.Raw = nil }, "", "", OutcomeUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			guard, server := newGuard(t)
			request := scale(test.from, test.to)
			if test.change != nil {
				test.change(request)
			}
			body := encode(t, admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: reviewKind}, Request: request})
			response := post(t, server, body)
			if response.UID != request.UID {
				t.Errorf("want the answer to %q, got %q", request.UID, response.UID)
			}
			if response.Allowed != (test.refused == "") || !response.Allowed && !strings.Contains(response.Result.Message, test.refused) {
				t.Errorf("want refusal %q, got %+v", test.refused, response.Result)
			}
			if got := lines(response.Warnings); (got == "") != (test.warned == "") || !strings.Contains(got, test.warned) {
				t.Errorf("want warning %q, got %q", test.warned, got)
			}
			if got := testutil.ToFloat64(guard.Metrics.requests.WithLabelValues(operationScale, string(test.outcome))); got != 1 {
				t.Errorf("want it counted as %s, got %v", test.outcome, got)
			}
			if len(response.Patch) > 0 {
				t.Errorf("want no patch, got %s", response.Patch)
			}
		})
	}
}

// TestGuardFailsOpen proves that neither rubbish nor a bug keeps anybody from scaling.
func TestGuardFailsOpen(t *testing.T) {
	guard, server := newGuard(t)
	for _, body := range []string{"", "hello", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, strings.Repeat("[", 1<<20)} {
		if response := post(t, server, []byte(body)); !response.Allowed {
			t.Errorf("refused: %v", response.Result)
		}
	}
	guard.Find = func(string, string) *appsv1.StatefulSet { panic("bug") }
	body := encode(t, admissionv1.AdmissionReview{TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: reviewKind}, Request: scale(`"replicas":3`, `"replicas":5`)})
	if response := post(t, server, body); !response.Allowed {
		t.Errorf("refused: %v", response.Result)
	}
	want := map[Outcome]float64{OutcomeUnreadable: 4, OutcomeFailed: 1}
	got := map[Outcome]float64{}
	for outcome := range want {
		got[outcome] = testutil.ToFloat64(guard.Metrics.requests.WithLabelValues(operationScale, string(outcome)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("counted, -want +got:\n%s", diff)
	}
}

// TestHandlerKnowsWhoWrites proves that an edit of the set by an autoscaler's
// account is refused as its scaling is.
func TestHandlerKnowsWhoWrites(t *testing.T) {
	server, _ := newServer(policy.Defaults())
	edit := review([]byte(plain), []byte(strings.Replace(plain, `"selector"`, `"replicas":2,"selector"`, 1)))
	if response := post(t, server, encode(t, edit)); !response.Allowed || !strings.Contains(lines(response.Warnings), "begins anew with 2 nodes") {
		t.Errorf("want a person warned, got %+v", response)
	}
	edit.Request.UserInfo.Username = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
	if response := post(t, server, encode(t, edit)); response.Allowed || !strings.Contains(response.Result.Message, "HorizontalPodAutoscaler") {
		t.Errorf("want the autoscaler refused, got %+v", response)
	}
}
