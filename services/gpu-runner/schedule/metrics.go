package schedule

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
)

type metrics struct {
	memory      *prometheus.GaugeVec
	jobs        *prometheus.GaugeVec
	ratio       *prometheus.HistogramVec
	oom         *prometheus.CounterVec
	refused     *prometheus.CounterVec
	evicted     *prometheus.CounterVec
	quarantines *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	counter := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	m := &metrics{
		memory: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "pdfmill_device_bytes", Help: "Memory of a device, by use: total, reserve, strangers, residents, reserved, surge (should a job need more than is reserved for it), free (negative: overbooked).",
		}, []string{"device", "use"}),
		jobs: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pdfmill_device_jobs", Help: "Conversions that run on a device."}, []string{"device"}),
		ratio: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "pdfmill_memory_used_ratio", Help: "Peak of a conversion's memory, as a part of what was reserved for it.",
			Buckets: []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10},
		}, []string{"engine"}),
		oom:         counter("pdfmill_out_of_memory_total", "Conversions for which the memory reserved was too little.", "engine"),
		refused:     counter("pdfmill_memory_refused_total", "Conversions that fit no device.", "engine"),
		evicted:     counter("pdfmill_workers_evicted_total", "Idle workers that made room for others.", "device"),
		quarantines: counter("pdfmill_device_quarantines_total", "Times that a device was put into quarantine.", "device"),
	}
	if r != nil {
		for _, c := range []prometheus.Collector{m.memory, m.jobs, m.ratio, m.oom, m.refused, m.evicted, m.quarantines} {
			_ = r.Register(c) // twice in one process is a test
		}
	}
	return m
}

func (m *metrics) books(all ...[]ledger.Book) {
	for _, books := range all {
		for _, b := range books {
			for use, n := range map[string]int64{
				"total": b.Total, "reserve": b.Reserve, "strangers": b.Strangers, "residents": b.Residents, "reserved": b.Reserved, "surge": b.Surge, "free": b.Free,
			} {
				m.memory.WithLabelValues(b.Device, use).Set(float64(n))
			}
			m.jobs.WithLabelValues(b.Device).Set(float64(b.Jobs))
		}
	}
}
