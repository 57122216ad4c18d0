package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/pdfmill/pdfmill/pipeline/jet"
)

// Metrics counts what the stage loops do. It is a jet.Observer.
type Metrics struct {
	registry *prometheus.Registry
	handled  *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inWork   *prometheus.GaugeVec
}

// NewMetrics returns metrics in a registry of their own.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pdfmill_stage_messages_total", Help: "Messages by stage, outcome (done, retried, dead) and error class.",
		}, []string{"stage", "outcome", "class"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pdfmill_stage_seconds", Help: "Time a stage worked on a message.", Buckets: prometheus.ExponentialBuckets(0.002, 2.5, 14),
		}, []string{"stage"}),
		inWork: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pdfmill_stage_in_work", Help: "Messages in work.",
		}, []string{"stage"}),
	}
	m.registry.MustRegister(m.handled, m.seconds, m.inWork, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Registry is where services add their own metrics and the HTTP handler reads all.
func (m *Metrics) Registry() *prometheus.Registry { return m.registry }

// Observe implements jet.Observer.
func (m *Metrics) Observe(o jet.Observation) {
	if o.Outcome == jet.Started {
		m.inWork.WithLabelValues(o.Stage).Inc()
		return
	}
	m.inWork.WithLabelValues(o.Stage).Dec()
	m.handled.WithLabelValues(o.Stage, o.Outcome, string(o.Class)).Inc()
	m.seconds.WithLabelValues(o.Stage).Observe(o.Seconds)
}
