package lifecycle

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/h2o-webhook/h2o-webhook/webhook/life"
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

// meters are what the reconcilers count.
type meters struct {
	services  *prometheus.CounterVec
	foreign   *prometheus.CounterVec
	backfills *prometheus.CounterVec
	restarts  *prometheus.CounterVec
	formation prometheus.Histogram
}

func newMeters(registry prometheus.Registerer, remembered *memory) *meters {
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
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "h2o_webhook_restarts_total",
			Help: "Restarts of whole clusters that were begun, by cause.",
		}, []string{"cause"}),
		formation: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "h2o_webhook_formation_seconds",
			Help:    "Time from when the nodes of a cluster could first meet until it was seen formed, in seconds.",
			Buckets: []float64{2, 5, 8, 10, 12, 15, 20, 30, 60, 120, 300, 600},
		}),
	}
	registry.MustRegister(m.services, m.foreign, m.backfills, m.restarts, m.formation)
	for _, phase := range life.Phases() {
		registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name:        "h2o_webhook_clusters",
			Help:        "Clusters by phase, as the elected replica sees them; the others see none.",
			ConstLabels: prometheus.Labels{"phase": string(phase)},
		}, func() float64 { return remembered.count(phase) }))
	}
	return m
}
