package lifecycle

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
)

// Reasons of Events; they stay the same over releases.
const (
	eventInjected           = "Injected"
	eventUninjected         = "Uninjected"
	eventCannotInject       = "CannotInject"
	eventServiceCreated     = "ServiceCreated"
	eventServiceAdopted     = "ServiceAdopted"
	eventServiceRepaired    = "ServiceRepaired"
	eventServiceRemoved     = "ServiceRemoved"
	eventForeignService     = "ForeignService"
	eventInvalidServiceName = "InvalidServiceName"
)

// maxNote is how long the note of an Event may be, in bytes.
// Source: k8s.io/kubernetes pkg/apis/core/validation/events.go, NoteLengthLimit.
const maxNote = 1024

// meters are what the reconcilers count.
type meters struct {
	services  *prometheus.CounterVec
	foreign   *prometheus.CounterVec
	backfills *prometheus.CounterVec
}

func newMeters(registry prometheus.Registerer) *meters {
	m := &meters{
		services: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_services_total",
			Help: "What was done to Services, by role (discovery, leader) and action (created, adopted, repaired, removed).",
		}, []string{"role", "action"}),
		foreign: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_foreign_services_total",
			Help: "Times that a Service of somebody else stood in the way, by role; one that fits is not counted.",
		}, []string{"role"}),
		backfills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_backfills_total",
			Help: "StatefulSets that were found not as their label says, by outcome (injected, uninjected, rejected, failed).",
		}, []string{"outcome"}),
	}
	registry.MustRegister(m.services, m.foreign, m.backfills)
	return m
}

// event tells the user of an object what was done or is wrong; related is the
// Service that it is about, nil for none. The server folds the same into a series.
func (r *reconciler) event(object, related runtime.Object, kind, reason, note string) {
	action := "Inject"
	if related != nil {
		action = "Reconcile"
	}
	r.events.Eventf(object, related, kind, reason, action, "%s", note[:min(len(note), maxNote)])
}
