package webhook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// maxBody is how large a request may be, in bytes: two objects of 3 MiB, which
// is the most that an API server takes, and the rest of the review.
const maxBody = 7 << 20

// Decider answers one admission request. It never returns nil.
type Decider interface {
	Decide(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse
	// Fail answers a body that holds no request (status 400), and a request on
	// which Decide panicked (500). It never returns nil.
	Fail(code int32, err error) *admissionv1.AdmissionResponse
}

// Serve makes the HTTP handler around a Decider. A body that is no review of
// admission.k8s.io/v1, and a panic, get a review back that says what the Decider
// makes of a failure. (controller-runtime's own handler takes reviews of any
// version, YAML, and bodies without a kind, so it is not used here.)
func Serve(decider Decider, log logr.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := respond(decider, r, log)
		answer := admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: reviewKind},
			Response: response,
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(&answer); err != nil {
			log.Error(err, "admission answer not written", "uid", response.UID)
		}
	})
}

const reviewKind = "AdmissionReview"

func respond(decider Decider, r *http.Request, log logr.Logger) (response *admissionv1.AdmissionResponse) {
	request, err := readRequest(r)
	if err != nil {
		return decider.Fail(http.StatusBadRequest, err)
	}
	defer func() {
		if bug := recover(); bug != nil {
			log.Error(fmt.Errorf("panic: %v", bug), "admission request failed", "namespace", request.Namespace, "name", request.Name, "uid", request.UID)
			response = decider.Fail(http.StatusInternalServerError, errors.New("the webhook has a bug: its log tells more"))
			response.UID = request.UID
		}
	}()
	response = decider.Decide(request)
	response.UID = request.UID
	return response
}

func readRequest(r *http.Request) (*admissionv1.AdmissionRequest, error) {
	if r.Method != http.MethodPost {
		return nil, fmt.Errorf("cannot answer method %s: want POST with an %s", r.Method, reviewKind)
	}
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	var review admissionv1.AdmissionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &review); err != nil {
		return nil, fmt.Errorf("cannot read the body as an %s: %w", reviewKind, err)
	}
	if review.Kind != reviewKind || review.APIVersion != admissionv1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("cannot answer kind %q of version %q: want %s of %s", review.Kind, review.APIVersion, reviewKind, admissionv1.SchemeGroupVersion)
	}
	if review.Request == nil {
		return nil, fmt.Errorf("cannot answer an %s without a request", reviewKind)
	}
	return review.Request, nil
}

// readBody reads at most maxBody bytes, in one piece where the length is known.
func readBody(r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, fmt.Errorf("cannot read a body of %d bytes: at most %d are allowed", r.ContentLength, maxBody)
	}
	if r.ContentLength > 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, fmt.Errorf("cannot read the body: %w", err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the body: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("cannot read a body of more than %d bytes", maxBody)
	case len(body) == 0:
		return nil, errors.New("cannot answer an empty body")
	}
	return body, nil
}

// failed refuses a request for a reason that is not the object's user's.
func failed(code int32, err error) *admissionv1.AdmissionResponse {
	reason := metav1.StatusReasonBadRequest
	if code == http.StatusInternalServerError {
		reason = metav1.StatusReasonInternalError
	}
	return refusal(code, reason, err)
}

func refusal(code int32, reason metav1.StatusReason, err error) *admissionv1.AdmissionResponse {
	return &admissionv1.AdmissionResponse{
		Result: &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: err.Error()},
	}
}
