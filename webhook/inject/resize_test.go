package inject_test

import (
	"errors"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
	"github.com/h2o-webhook/h2o-webhook/webhook/policy"
)

const (
	autoscaler = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
	plainSet   = `{"metadata":{"name":"demo","namespace":"science","labels":{"h2o.ai/cluster":"true"}},
"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"h2o","image":"h2o"}]}}}}`
	formedNow = `{"generation":{"revision":"a","formed":"2026-11-01T12:00:00Z","proof":"answers","members":{"demo-0":{"uid":"a","restarts":0}}}}`
)

// TestReviewScale proves whom the guard refuses and what it says, for a scale
// and for an edit of the set alike.
func TestReviewScale(t *testing.T) {
	for name, test := range map[string]struct {
		unmanaged bool
		forming   bool
		resize    string
		from, to  int32
		user      string
		warning   string // a part of it, empty for none
		refusal   string
	}{
		"grown":                      {from: 3, to: 5, warning: "from 3 to 5 nodes it is restarted as a whole, and what is in its memory is lost"},
		"shrunk":                     {from: 3, to: 2, user: "jane", warning: "from 3 to 2 nodes"},
		"allowed in so many words":   {from: 3, to: 5, resize: "allow", warning: "from 3 to 5 nodes"},
		"the same number":            {from: 3, to: 3, resize: "deny"},
		"stopped":                    {from: 3, to: 0, warning: "what is in its memory is lost"},
		"started":                    {from: 0, to: 3},
		"resized while it forms":     {forming: true, from: 3, to: 5, warning: "not formed, and begins anew with 5 nodes instead of 3"},
		"stopped while it forms":     {forming: true, from: 3, to: 0},
		"denied":                     {from: 3, to: 5, resize: "deny", refusal: `annotation h2o.ai/resize: "deny" keeps the formed H2O cluster from being resized from 3 to 5`},
		"denied and stopped":         {from: 3, to: 0, resize: "deny", warning: "what is in its memory is lost"},
		"denied and started":         {from: 0, to: 3, resize: "deny"},
		"denied while it forms":      {forming: true, from: 3, to: 5, resize: "deny", warning: "begins anew"},
		"by an autoscaler":           {from: 3, to: 5, user: autoscaler, refusal: "a HorizontalPodAutoscaler may not resize an H2O cluster, from 3 to 5 nodes"},
		"by one while it forms":      {forming: true, from: 3, to: 5, user: autoscaler, refusal: "HorizontalPodAutoscaler"},
		"by one, to nothing":         {from: 3, to: 0, user: autoscaler, refusal: "HorizontalPodAutoscaler"},
		"by one, from nothing":       {from: 0, to: 3, user: autoscaler, refusal: "HorizontalPodAutoscaler"},
		"by one without a change":    {from: 3, to: 3, user: autoscaler},
		"by one with a shared user":  {from: 3, to: 5, user: "system:kube-controller-manager", refusal: "HorizontalPodAutoscaler"},
		"by another of its name":     {from: 3, to: 5, user: "system:serviceaccount:science:horizontal-pod-autoscaler", warning: "from 3 to 5"},
		"unmanaged":                  {unmanaged: true, from: 3, to: 5},
		"unmanaged by an autoscaler": {unmanaged: true, from: 3, to: 5, user: autoscaler},
	} {
		t.Run(name, func(t *testing.T) {
			set := stored(t, test.unmanaged, test.forming, test.resize)
			warnings, err := inject.ReviewScale(set, inject.Resize{From: test.from, To: test.to, User: test.user}, policy.Defaults())
			check(t, "scaled", warnings, err, test.warning, test.refusal)
			old, object := set.DeepCopy(), set.DeepCopy()
			old.Spec.Replicas, object.Spec.Replicas = &test.from, &test.to
			result, err := inject.Review(inject.Object{Set: old}, inject.Object{Set: object, User: test.user}, policy.Defaults())
			check(t, "edited", resizeOnly(result.Warnings), err, test.warning, test.refusal)
		})
	}
}

func check(t *testing.T, how string, warnings []inject.Warning, err error, warning, refusal string) {
	t.Helper()
	rejected, is := errors.AsType[*inject.RejectedError](err)
	if is != (refusal != "") || is && !strings.Contains(rejected.Error(), refusal) || err != nil && !is {
		t.Errorf("%s: want refusal %q, got %v", how, refusal, err)
	}
	if len(warnings) > 1 || (len(warnings) == 1) != (warning != "") || warning != "" && !strings.Contains(warnings[0].String(), warning) {
		t.Errorf("%s: want warning %q, got %v", how, warning, warnings)
	}
}

func resizeOnly(all []inject.Warning) []inject.Warning {
	var own []inject.Warning
	for _, w := range all {
		if w.Reason == inject.ReasonResize {
			own = append(own, w)
		}
	}
	return own
}

// stored is a set as the server holds it.
func stored(t *testing.T, unmanaged, forming bool, resize string) *appsv1.StatefulSet {
	t.Helper()
	set := decode(t, []byte(plainSet)).Set
	if unmanaged {
		set.Labels = nil
		return set
	}
	set.Annotations = map[string]string{policy.AnnotationPhase: "Forming", policy.AnnotationStatus: "{}"}
	if !forming {
		set.Annotations = map[string]string{policy.AnnotationPhase: "Formed", policy.AnnotationStatus: formedNow}
	}
	if resize != "" {
		metav1.SetMetaDataAnnotation(&set.ObjectMeta, policy.AnnotationResize, resize)
	}
	return set
}

// TestReviewScaleOfBrokenSettings proves that what was stored while nobody was
// there to refuse it does not keep anybody from scaling.
func TestReviewScaleOfBrokenSettings(t *testing.T) {
	warnings, err := inject.ReviewScale(stored(t, false, false, "what?"), inject.Resize{From: 3, To: 5}, policy.Defaults())
	check(t, "scaled", warnings, err, "from 3 to 5", "")
}
