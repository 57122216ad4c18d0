package schedule

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

func (e *engine) id(seq uint64) string { return fmt.Sprintf("%s/%d", e.Name, seq) }

// Next implements supervise.Admitter.
func (e *engine) Next(v supervise.View) (supervise.Grant, bool) {
	s := e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	book := e.book()
	bySeq := map[string]uint64{}
	for _, w := range v.Waiting {
		e.wait(book, w)
		bySeq[e.id(w.Seq)] = w.Seq
		if r := book.Impossible(e.id(w.Seq)); r != nil {
			e.forget(w.Seq)
			s.metrics.refused.WithLabelValues(e.Name).Inc()
			return supervise.Grant{Seq: w.Seq, Refused: failure.New(failure.OOM, "find memory for", w.Job.Request.ID, r)}, true
		}
		if why := e.hopeless(); why != "" {
			e.forget(w.Seq)
			return supervise.Grant{Seq: w.Seq, Refused: failure.New(failure.Unhealthy, "find a device for", w.Job.Request.ID, errors.New(why))}, true
		}
	}
	for _, isolated := range []bool{false, true} {
		pool := e.Name
		if isolated {
			pool = e.suspects()
		}
		var idle []string
		workers := map[string]int{}
		for _, w := range v.Workers {
			if r, ok := w.Room.(*room); ok && w.State == supervise.Idle && w.Isolated == isolated {
				idle = append(idle, r.holder)
				workers[r.holder] = w.Index
			}
		}
		if g, ok := book.Next(pool, idle); ok {
			seq := bySeq[g.Job]
			one := e.served[seq]
			one.key.Scale, one.key.Model, one.reserved = g.Scale, s.model(g.Device), g.Bytes
			e.served[seq] = one
			s.rooms[g.Worker].touch()
			return supervise.Grant{Seq: seq, Worker: workers[g.Worker], Scale: g.Scale}, true
		}
	}
	s.notify() // a job that waits may be the demand for one more worker
	return supervise.Grant{}, false
}

// wait puts a job into the ledger's queue, unless it is there.
func (e *engine) wait(book *ledger.Ledger, w supervise.Waiter) {
	if _, known := e.served[w.Seq]; known {
		return
	}
	need := w.Job.Need
	size := predict.Size{Pages: need.Pages, Megapixels: need.Megapixels}
	e.served[w.Seq] = job{key: predict.Key{Engine: e.Name, Version: e.version, Scale: 1}, size: size}
	j := ledger.Job{ID: e.id(w.Seq), Pool: e.Name, Lane: lanes[w.Job.Priority], Resident: e.resident()}
	if w.Job.Priority == supervise.Suspect {
		j.Pool = e.suspects()
	}
	j.Need = func(device string, scale float64) ledger.Need {
		return e.s.predictor.Need(predict.Key{Engine: e.Name, Version: e.version, Model: e.s.model(device), Scale: scale}, size)
	}
	book.Wait(predict.Pressure(need.Pressure).On(j))
}

var lanes = map[supervise.Priority]ledger.Lane{
	supervise.Interactive: ledger.Interactive, supervise.Bulk: ledger.Bulk, supervise.Suspect: ledger.Suspect,
}

func (e *engine) forget(seq uint64) {
	delete(e.served, seq)
	e.s.gpu.Forget(e.id(seq))
	e.s.host.Forget(e.id(seq))
}

// Left implements supervise.Admitter.
func (e *engine) Left(w supervise.Waiter) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.forget(w.Seq)
	e.s.notify()
}

// Finished implements supervise.Admitter.
func (e *engine) Finished(w supervise.Waiter, _ supervise.Grant, used supervise.Usage, err error) {
	s := e.s
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.notify()
	if errors.Is(err, supervise.ErrGone) { // it waits again, where it did
		if !s.gpu.Return(e.id(w.Seq)) && !s.host.Return(e.id(w.Seq)) {
			delete(e.served, w.Seq)
		}
		return
	}
	one, known := e.served[w.Seq]
	if d := s.devices[s.gpu.Where(e.id(w.Seq))]; d != nil && err == nil {
		d.health.Forgive() // what runs there works
	}
	s.gpu.Finish(e.id(w.Seq))
	s.host.Finish(e.id(w.Seq))
	delete(e.served, w.Seq)
	if !known {
		return
	}
	added, measured := used.Peak.PeakHost-used.Ready.HostRSS, used.Peak.PeakHost > 0
	short := failure.HostOOM
	if e.onGPU() {
		added, measured = used.Peak.PeakDevice-used.Ready.DeviceReserved, used.Peak.PeakDevice > 0
		short = failure.OOM
	}
	switch class := failure.ClassOf(err, ""); {
	case class == short:
		s.predictor.OutOfMemory(one.key, one.size, one.reserved)
		s.metrics.oom.WithLabelValues(e.Name).Inc()
	case err == nil && measured:
		s.predictor.Observe(one.key, one.size, max(0, added))
		if one.reserved > 0 {
			s.metrics.ratio.WithLabelValues(e.Name).Observe(float64(max(0, added)) / float64(one.reserved))
		}
	default:
		return
	}
	s.dirty[one.key] = true
}

// Why implements supervise.Admitter.
func (e *engine) Why(_ supervise.View, w supervise.Waiter) string {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	e.wait(e.book(), w)
	return strings.TrimSpace(e.book().Why(e.id(w.Seq)))
}

// hopeless says why no device of the engine will take anything soon; "": some may.
func (e *engine) hopeless() string {
	books := e.book().Books()
	var reasons []string
	for _, b := range books {
		d := e.s.devices[b.Device]
		if d == nil || !d.quarantined {
			return ""
		}
		reasons = append(reasons, b.Device+": "+b.Closed)
	}
	if len(reasons) == 0 {
		return ""
	}
	return "every device is in quarantine: " + strings.Join(reasons, "; ")
}
