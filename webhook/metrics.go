package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/h2o-webhook/h2o-webhook/webhook/inject"
)

// Metrics are what the handler counts.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	changes  *prometheus.CounterVec
}

// NewMetrics makes the handler's metrics and registers them. It panics when
// they are registered already, which is a programming error.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_admission_requests_total",
			Help: "Admission requests by operation and outcome (injected, uninjected, unchanged, warned, rejected, unreadable, failed); operation SCALE is the scale guard's.",
		}, []string{"operation", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "h2o_webhook_admission_duration_seconds",
			Help:    "Time to decide an admission request, in seconds, without reading and writing it.",
			Buckets: prometheus.ExponentialBuckets(0.00005, 2, 14),
		}, []string{"operation"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_admission_changes_total",
			Help: "Changes made to StatefulSets, by reason.",
		}, []string{"reason"}),
	}
	registry.MustRegister(m.requests, m.duration, m.changes)
	return m
}

// operationScale is the label of the scale guard's requests.
const operationScale = "SCALE"

// operationLabel bounds the label's values, whatever a request says.
func operationLabel(operation admissionv1.Operation) string {
	switch operation {
	case admissionv1.Create, admissionv1.Update:
		return string(operation)
	default:
		return "other"
	}
}

func (m *Metrics) observe(operation string, outcome Outcome, changes []inject.Change, took time.Duration) {
	m.requests.WithLabelValues(operation, string(outcome)).Inc()
	m.duration.WithLabelValues(operation).Observe(took.Seconds())
	for i := range changes {
		m.changes.WithLabelValues(string(changes[i].Reason)).Inc()
	}
}
