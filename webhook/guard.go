package webhook

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// GuardPath is where the API server finds the scale guard.
const GuardPath = "/guard-scale"

// Guard looks at resizes of StatefulSets through their scale, which never reach
// the Handler: a scale carries no labels and no template. It is a Decider. It
// fails open: whatever it does not know, or cannot read, it allows.
type Guard struct {
	// Find gives a managed StatefulSet from memory, nil where none of the name is
	// known. It must not wait for anything.
	Find func(namespace, name string) *appsv1.StatefulSet
	// Settings, Log and Metrics are as the Handler's.
	Settings func() policy.Settings
	Log      logr.Logger
	Metrics  *Metrics
}

// Decide answers one admission request.
func (g *Guard) Decide(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	start := time.Now()
	response, outcome, err := g.decide(request)
	g.Metrics.observe(operationScale, outcome, nil, time.Since(start))
	log := logOf(g.Log, request)
	switch outcome {
	case OutcomeUnchanged:
		log.V(1).Info("scale allowed")
	case OutcomeWarned:
		log.Info("scale warned", "warnings", len(response.Warnings))
	case OutcomeRejected:
		log.Info("scale refused", "outcome", outcome, "user", request.UserInfo.Username, "reason", err.Error())
	default:
		log.Info("scale allowed unread", "outcome", outcome, "reason", err.Error())
	}
	return response
}

// Fail allows a request that came to nothing.
func (g *Guard) Fail(code int32, err error) *admissionv1.AdmissionResponse {
	outcome := failureOf(code)
	g.Metrics.requests.WithLabelValues(operationScale, string(outcome)).Inc()
	g.Log.Info("scale allowed unread", "outcome", outcome, "reason", err.Error())
	return &admissionv1.AdmissionResponse{Allowed: true}
}

// decide gives the answer to a request and how it came about; the error is why
// it was refused or could not be read.
func (g *Guard) decide(request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, Outcome, error) {
	response := &admissionv1.AdmissionResponse{Allowed: true}
	resize, err := readResize(request)
	if err != nil {
		return response, OutcomeUnreadable, err
	}
	set := g.Find(request.Namespace, request.Name)
	if set == nil {
		return response, OutcomeUnchanged, nil // not ours, or not known yet
	}
	warnings, err := inject.ReviewScale(set, resize, g.Settings())
	if rejected, ok := errors.AsType[*inject.RejectedError](err); ok {
		return rejection(rejected), OutcomeRejected, rejected
	}
	if err != nil {
		return response, OutcomeFailed, err
	}
	outcome := OutcomeUnchanged
	if len(warnings) > 0 {
		outcome, response.Warnings = OutcomeWarned, texts(warnings)
	}
	response.AuditAnnotations = map[string]string{"outcome": string(outcome)}
	return response, outcome, nil
}

// readResize reads what is asked for. The numbers come from the request: what is
// remembered of the set may be a moment old.
func readResize(request *admissionv1.AdmissionRequest) (inject.Resize, error) {
	wanted := metav1.GroupVersionResource{Group: appsv1.GroupName, Version: "v1", Resource: "statefulsets"}
	if request.Resource != wanted || request.SubResource != "scale" || request.Operation != admissionv1.Update {
		return inject.Resize{}, fmt.Errorf("cannot answer %s of %s %q: want UPDATE of a StatefulSet's scale; the webhook's rules are wrong", request.Operation, request.Resource.String(), request.SubResource)
	}
	var old, object autoscalingv1.Scale
	if err := json.UnmarshalCaseSensitivePreserveInts(request.OldObject.Raw, &old); err != nil {
		return inject.Resize{}, fmt.Errorf("cannot read oldObject: %w", err)
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(request.Object.Raw, &object); err != nil {
		return inject.Resize{}, fmt.Errorf("cannot read object: %w", err)
	}
	return inject.Resize{From: old.Spec.Replicas, To: object.Spec.Replicas, User: request.UserInfo.Username}, nil
}
