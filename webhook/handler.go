// Package webhook answers the API server's admission requests for StatefulSets.
//
// It reads the request, asks package inject, and writes the answer. It calls no
// API and changes nothing outside of its answer, so that dry runs and retries
// are always safe. What is injected and why is not known here.
package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

// Path is where the API server finds the handler.
const Path = "/mutate-statefulset"

// Outcome is how a request ended, as in metrics and audit annotations.
type Outcome string

// All outcomes of a request.
const (
	// OutcomeInjected: allowed, with a patch that injects.
	OutcomeInjected Outcome = "injected"
	// OutcomeUninjected: allowed, with a patch that takes an injection back.
	OutcomeUninjected Outcome = "uninjected"
	// OutcomeUnchanged: allowed as it came.
	OutcomeUnchanged Outcome = "unchanged"
	// OutcomeWarned: a resize, allowed with a warning.
	OutcomeWarned Outcome = "warned"
	// OutcomeRejected: no correct H2O cluster can be made of the object, or it
	// may not be resized.
	OutcomeRejected Outcome = "rejected"
	// OutcomeUnreadable: the request or its object could not be read.
	OutcomeUnreadable Outcome = "unreadable"
	// OutcomeFailed: we failed; never seen unless there is a bug.
	OutcomeFailed Outcome = "failed"
)

// Handler mutates StatefulSets on their way into the API server. It is a Decider.
type Handler struct {
	// Settings gives the defaults that hold at the time of a request.
	Settings func() policy.Settings
	// Log gets a line for each request that changed or refused something.
	Log logr.Logger
	// Metrics counts; it must not be nil.
	Metrics *Metrics
}

// Decide answers one admission request.
func (h *Handler) Decide(request *admissionv1.AdmissionRequest) *admissionv1.AdmissionResponse {
	start := time.Now()
	response, outcome, changes := h.decide(request)
	h.Metrics.observe(operationLabel(request.Operation), outcome, changes, time.Since(start))
	h.log(request, response, outcome, changes)
	return response
}

// Fail refuses a request that came to nothing: a managed StatefulSet is never let
// through unread. The API server shows the reason to its user.
func (h *Handler) Fail(code int32, err error) *admissionv1.AdmissionResponse {
	outcome := failureOf(code)
	h.Metrics.requests.WithLabelValues(operationLabel(""), string(outcome)).Inc()
	h.Log.Info("admission request "+string(outcome), "reason", err.Error())
	return failed(code, err)
}

// failureOf names a failure by its status.
func failureOf(code int32) Outcome {
	if code == http.StatusInternalServerError {
		return OutcomeFailed
	}
	return OutcomeUnreadable
}

// decide gives the answer to a request and how it came about.
func (h *Handler) decide(request *admissionv1.AdmissionRequest) (*admissionv1.AdmissionResponse, Outcome, []inject.Change) {
	old, object, err := read(request)
	if err != nil {
		return failed(http.StatusBadRequest, err), OutcomeUnreadable, nil
	}
	object.User = request.UserInfo.Username
	result, err := inject.Review(old, object, h.Settings())
	if rejected, ok := errors.AsType[*inject.RejectedError](err); ok {
		return rejection(rejected), OutcomeRejected, nil
	}
	if err != nil {
		return failed(http.StatusInternalServerError, err), OutcomeFailed, nil
	}
	patch, err := inject.Patch(result.Changes)
	if err != nil {
		return failed(http.StatusInternalServerError, err), OutcomeFailed, nil
	}
	outcome := outcomeOf(object, result.Changes)
	response := &admissionv1.AdmissionResponse{
		Allowed:          true,
		Patch:            patch,
		AuditAnnotations: map[string]string{"outcome": string(outcome), "changes": strconv.Itoa(len(result.Changes))},
	}
	if patch != nil {
		kind := admissionv1.PatchTypeJSONPatch
		response.PatchType = &kind
	}
	response.Warnings = texts(result.Warnings)
	return response, outcome, result.Changes
}

// rejection refuses what its user can put right.
func rejection(rejected *inject.RejectedError) *admissionv1.AdmissionResponse {
	response := refusal(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, rejected)
	response.AuditAnnotations = map[string]string{"outcome": string(OutcomeRejected)}
	return response
}

func texts(warnings []inject.Warning) []string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.String())
	}
	return all
}

func outcomeOf(object inject.Object, changes []inject.Change) Outcome {
	switch {
	case len(changes) == 0:
		return OutcomeUnchanged
	case inject.Managed(object.Set):
		return OutcomeInjected
	default:
		return OutcomeUninjected
	}
}

// read decodes the objects of a request that this webhook is made for.
func read(request *admissionv1.AdmissionRequest) (old, object inject.Object, err error) {
	wanted := metav1.GroupVersionKind{Group: appsv1.GroupName, Version: "v1", Kind: "StatefulSet"}
	if request.Kind != wanted || request.SubResource != "" {
		return old, object, fmt.Errorf("cannot answer for %s %q: want a StatefulSet of apps/v1 and no subresource; the webhook's rules are wrong", request.Kind.String(), request.SubResource)
	}
	switch request.Operation {
	case admissionv1.Create:
	case admissionv1.Update:
		if old, err = readObject(request.OldObject.Raw, request.Namespace); err != nil {
			return old, object, fmt.Errorf("cannot read oldObject: %w", err)
		}
	default:
		return old, object, fmt.Errorf("cannot answer operation %q: want CREATE or UPDATE; the webhook's rules are wrong", request.Operation)
	}
	if object, err = readObject(request.Object.Raw, request.Namespace); err != nil {
		return old, object, fmt.Errorf("cannot read object: %w", err)
	}
	return old, object, nil
}

func readObject(document []byte, namespace string) (inject.Object, error) {
	if len(document) == 0 {
		return inject.Object{}, errors.New("it is missing")
	}
	set := &appsv1.StatefulSet{}
	if err := json.UnmarshalCaseSensitivePreserveInts(document, set); err != nil {
		return inject.Object{}, err
	}
	if set.Kind != "" && set.Kind != "StatefulSet" {
		return inject.Object{}, fmt.Errorf("it is a %s, not a StatefulSet", set.Kind)
	}
	if set.Namespace == "" {
		set.Namespace = namespace
	}
	return inject.Object{Set: set, JSON: document}, nil
}

func (h *Handler) log(request *admissionv1.AdmissionRequest, response *admissionv1.AdmissionResponse, outcome Outcome, changes []inject.Change) {
	log := logOf(h.Log, request)
	switch outcome {
	case OutcomeUnchanged:
		log.V(1).Info("statefulset unchanged")
	case OutcomeInjected, OutcomeUninjected:
		log.Info("statefulset "+string(outcome), "changes", len(changes), "warnings", len(response.Warnings))
	default:
		log.Info("statefulset refused", "outcome", outcome, "reason", response.Result.Message)
	}
}

// logOf gives a log whose lines say which request they are about.
func logOf(log logr.Logger, request *admissionv1.AdmissionRequest) logr.Logger {
	return log.WithValues("namespace", request.Namespace, "name", request.Name, "uid", request.UID,
		"operation", request.Operation, "dryRun", request.DryRun != nil && *request.DryRun)
}
