// Package webhook answers the API server's admission requests for StatefulSets.
//
// It reads the request, asks package inject, and writes the answer. It calls no
// API and changes nothing outside of its answer, so that dry runs and retries
// are always safe. What is injected and why is not known here.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
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
	// OutcomeRejected: no correct H2O cluster can be made of the object.
	OutcomeRejected Outcome = "rejected"
	// OutcomeUnreadable: the request or its object could not be read.
	OutcomeUnreadable Outcome = "unreadable"
	// OutcomeFailed: we failed; never seen unless there is a bug.
	OutcomeFailed Outcome = "failed"
)

// Handler mutates StatefulSets on their way into the API server.
type Handler struct {
	// Settings gives the defaults that hold at the time of a request.
	Settings func() policy.Settings
	// Log gets a line for each request that changed or refused something.
	Log logr.Logger
	// Metrics counts; it must not be nil.
	Metrics *Metrics
}

// NewServer makes the HTTP handler for Path: it reads admission reviews up to
// 7 MiB, answers what is none with status 400 in the review's result, and a
// panic with 500, so that a managed StatefulSet is never let through unread.
func NewServer(h *Handler) http.Handler {
	recoverPanic := true
	review := &admission.Webhook{Handler: h, RecoverPanic: &recoverPanic, LogConstructor: func(logr.Logger, *admission.Request) logr.Logger { return h.Log }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var handled bool
		review.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handledKey{}, &handled)))
		if !handled { // the body was no admission review
			h.Metrics.requests.WithLabelValues("other", string(OutcomeUnreadable)).Inc()
		}
	})
}

type handledKey struct{}

// Handle answers one admission request.
func (h *Handler) Handle(ctx context.Context, request admission.Request) admission.Response {
	if handled, ok := ctx.Value(handledKey{}).(*bool); ok {
		*handled = true
	}
	start := time.Now()
	response, outcome, changes := h.decide(&request)
	h.Metrics.observe(operationLabel(request.Operation), outcome, changes, time.Since(start))
	h.log(&request, response, outcome, changes)
	return response
}

// decide gives the answer to a request and how it came about.
func (h *Handler) decide(request *admission.Request) (admission.Response, Outcome, []inject.Change) {
	old, object, err := read(request)
	if err != nil {
		return admission.Errored(http.StatusBadRequest, err), OutcomeUnreadable, nil
	}
	result, err := inject.Review(old, object, h.Settings())
	var rejected *inject.RejectedError
	if errors.As(err, &rejected) {
		return refused(rejected), OutcomeRejected, nil
	}
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err), OutcomeFailed, nil
	}
	patch, err := inject.Patch(result.Changes)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err), OutcomeFailed, nil
	}
	outcome := outcomeOf(object, result.Changes)
	response := admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed:          true,
		Patch:            patch,
		AuditAnnotations: map[string]string{"outcome": string(outcome), "changes": strconv.Itoa(len(result.Changes))},
	}}
	if patch != nil {
		kind := admissionv1.PatchTypeJSONPatch
		response.PatchType = &kind
	}
	for _, w := range result.Warnings {
		response.Warnings = append(response.Warnings, w.String())
	}
	return response, outcome, result.Changes
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

func refused(err *inject.RejectedError) admission.Response {
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{
		Allowed:          false,
		AuditAnnotations: map[string]string{"outcome": string(OutcomeRejected)},
		Result: &metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity,
			Reason: metav1.StatusReasonInvalid, Message: err.Error(),
		},
	}}
}

// read decodes the objects of a request that this webhook is made for.
func read(request *admission.Request) (old, object inject.Object, err error) {
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

func (h *Handler) log(request *admission.Request, response admission.Response, outcome Outcome, changes []inject.Change) {
	log := h.Log.WithValues("namespace", request.Namespace, "name", request.Name, "uid", request.UID,
		"operation", request.Operation, "dryRun", request.DryRun != nil && *request.DryRun)
	switch outcome {
	case OutcomeUnchanged:
		log.V(1).Info("statefulset unchanged")
	case OutcomeInjected, OutcomeUninjected:
		log.Info("statefulset "+string(outcome), "changes", len(changes), "warnings", len(response.Warnings))
	default:
		log.Info("statefulset refused", "outcome", outcome, "reason", response.Result.Message)
	}
}
