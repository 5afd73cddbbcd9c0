package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
)

// ReasonGone is found of a cluster that was followed and is no more.
const ReasonGone = "Gone"

// Gone is the status of a StatefulSet that was followed and is gone.
func Gone(namespace, name string) ClusterStatus {
	return ClusterStatus{Namespace: namespace, Name: name, NotManaged: &Finding{ReasonGone, "it was deleted, or its label was taken off"}}
}

// Step says how far a cluster has come, in one line without a time.
func Step(s *ClusterStatus) string {
	text := fmt.Sprintf("%s  %d/%d running", phaseWord(s), s.Nodes.Running, s.Nodes.Wanted)
	switch {
	case s.NotManaged != nil:
		text += "  " + s.NotManaged.Message
	case s.Formed:
		text += "  " + s.Message
	case len(s.Problems) > 0:
		text += "  " + s.Problems[0].Message
	case s.Phase == life.PhaseStopped:
		text += "  " + s.Message
	}
	return strings.Join(strings.Fields(text), " ")
}

// Elapsed gives the time since the start of following, in the width of a column.
func Elapsed(since, now time.Time) string {
	return fmt.Sprintf("%7s", "+"+now.Sub(since).Round(100*time.Millisecond).String())
}
