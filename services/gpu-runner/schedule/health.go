package schedule

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// judge counts the end of a worker for or against its device. What a page did to a worker says nothing about the device; a start or a probe that fails
// does. The caller has the lock.
func (s *Scheduler) judge(r *room, end supervise.End, err error) {
	d := s.devices[r.device]
	if d == nil || !r.onGPU {
		return
	}
	switch class := failure.ClassOf(err, ""); {
	case err == nil, class == failure.EngineMissing, end.Ready && class != failure.Unhealthy:
		return
	}
	verdict := d.health.Next(time.Now(), supervise.End{})
	if verdict.Delay <= 0 {
		return
	}
	d.closed = time.Now().Add(verdict.Delay)
	s.gpu.Close(r.device, verdict.Reason)
	if verdict.Quarantine {
		d.quarantined = true
		s.metrics.quarantines.WithLabelValues(r.device).Inc()
		s.log.Error("device in quarantine: workers keep dying there", "device", r.device, "model", d.Model, "reason", verdict.Reason, "until", d.closed, "error", err)
	}
}

// recover opens devices whose time is over: a device in quarantine gets another try, a lent one comes back. The caller has the lock.
func (s *Scheduler) recover() {
	now := time.Now()
	for id, d := range s.devices {
		if !d.closed.IsZero() && now.After(d.closed) {
			d.closed, d.quarantined = time.Time{}, false
			if _, lent := s.loans[id]; !lent && d.Lost == "" {
				s.gpu.Reopen(id)
			}
		}
	}
	for id, until := range s.loans {
		if now.After(until) {
			s.takeBack(id)
		}
	}
}
