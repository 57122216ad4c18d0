package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// device is what is known of one beside the books.
type device struct {
	devices.Reading
	health      *supervise.Restarts
	quarantined bool
	closed      time.Time // until when it is closed for its health; zero: it isn't
	quiet       int64     // what strangers held when no job of ours ran, where the driver hides processes
}

// releaseWait is how long the device may take to have a dead process's memory back where the driver doesn't say which process holds what.
const releaseWait = 2 * time.Second

// quickly is how often devices are measured while somebody waits for memory to be released.
const quickly = 50 * time.Millisecond

// Run measures devices until ctx ends, and acts on what it finds. What was learned is loaded at its start and saved now and then.
func (s *Scheduler) Run(ctx context.Context) {
	s.recall(ctx)
	defer s.remember(context.WithoutCancel(ctx))
	saved := time.Now()
	for {
		s.Measure(ctx)
		wait := s.cfg.Every
		if s.releasing() {
			wait = min(wait, quickly)
		}
		if time.Since(saved) >= saveEvery {
			s.remember(ctx)
			saved = time.Now()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-s.hurry:
			timer.Stop()
		case <-timer.C:
		}
	}
}

func (s *Scheduler) releasing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rooms {
		if !r.left.IsZero() {
			return true
		}
	}
	return false
}

// Measure reads every device once and acts on it.
func (s *Scheduler) Measure(ctx context.Context) {
	began := time.Now()
	var readings []devices.Reading
	for _, m := range []devices.Meter{s.cfg.GPU, s.cfg.Host} {
		if m == nil {
			continue
		}
		list, err := m.Read(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, devices.ErrClosed) {
				s.log.Error("devices can't be measured: the books stay as they were", "error", err)
			}
			continue
		}
		readings = append(readings, list...)
	}
	s.mu.Lock()
	s.asOf = began
	for _, r := range readings {
		s.take(r)
	}
	s.recover()
	orders := s.orders()
	s.metrics.books(s.gpu.Books(), s.host.Books())
	var pools []*supervise.Pool
	for _, e := range s.engines {
		if e.pool != nil {
			pools = append(pools, e.pool)
		}
	}
	s.notify()
	s.mu.Unlock()
	for _, o := range orders {
		s.log.Info("worker is to leave", "worker", o.holder, "reason", o.reason)
		o.act(o.reason)
	}
	for _, p := range pools {
		p.Kick()
	}
}

// take enters one reading into the books. The caller has the lock.
func (s *Scheduler) take(r devices.Reading) {
	book := s.gpu
	if r.Kind == devices.KindHost {
		book = s.host
	}
	d := s.devices[r.ID]
	if d == nil {
		d = &device{health: supervise.NewRestarts(s.cfg.Health)}
		s.devices[r.ID] = d
	}
	before := d.Reading
	d.Reading = r
	if r.Lost != "" {
		if before.Lost == "" {
			s.log.Error("device lost: nothing runs there any more", "device", r.ID, "model", before.Model, "reason", r.Lost)
		}
		d.Total, d.Model = before.Total, before.Model
		book.Close(r.ID, "lost: "+r.Lost)
		for _, gone := range s.rooms {
			if gone.device == r.ID && !gone.left.IsZero() {
				s.release(gone)
			}
		}
		return
	}
	if before.Lost != "" {
		book.Reopen(r.ID)
	}
	if before.ID != "" && (r.Xids > before.Xids || r.ECCErrors > before.ECCErrors) {
		s.reported(before, r)
	}
	book.Open(ledger.Device{ID: r.ID, Total: r.Total, Reserve: s.cfg.Reserve(r)})
	book.Strangers(r.ID, s.strangers(book, d))
}

// reported tells of errors that the driver has reported. What a process does to itself, as a page that trips an assert does, says nothing about the device.
func (s *Scheduler) reported(before, r devices.Reading) {
	facts := []any{"device", r.ID, "xid", r.LastXid, "xids", r.Xids, "ecc_errors", r.ECCErrors}
	if r.ECCErrors == before.ECCErrors && r.Xids == before.Xids+1 && devices.XidOfProcess(r.LastXid) {
		s.log.Info("a process has broken its own context on a device", facts...)
		return
	}
	s.log.Error("the driver reports errors of a device", facts...)
}

// strangers says what others hold of a device, and enters what each of our workers was measured to hold. The caller has the lock.
func (s *Scheduler) strangers(book *ledger.Ledger, d *device) int64 {
	others, hidden, working := d.Used, false, false
	var unseen int64
	for _, r := range s.rooms {
		if r.device != d.ID && d.Kind != devices.KindHost {
			continue
		}
		held, known := d.Processes[r.info.PID]
		switch {
		case r.info.PID == 0: // it loads; what it has so far can't be told from others, but is booked
			resident, _ := book.Held(r.holder)
			unseen += resident
			continue
		case !r.left.IsZero():
			if d.Kind != devices.KindHost {
				s.await(r, known, d)
			}
			others -= held
			continue
		case !known && r.seen:
			continue // it has just ended: its room will be left in a moment
		case !known:
			hidden, r.estimate = true, true
			resident, reserved := book.Held(r.holder)
			unseen += resident + reserved
			working = working || book.Works(r.holder)
			continue
		}
		r.estimate, r.seen = false, true
		others -= held
		if book.Works(r.holder) {
			if s.asOf.Before(r.used) {
				continue // what it held then may have been for the job before
			}
			book.Using(r.holder, held)
		} else {
			others += s.measured(book, r, held)
		}
	}
	if hidden && d.Kind != devices.KindHost {
		s.once("the driver hides what processes hold: workers are accounted for by their own counters and a context of "+ledger.Size(s.cfg.Context), "device", d.ID)
	}
	others = max(0, others-unseen)
	if !hidden {
		return others
	}
	// What a running job uses can't be told from what strangers use: strangers are believed to hold at least what they held in quiet times.
	if !working {
		d.quiet = others
	}
	return max(others, d.quiet)
}

// measured enters what an idle worker holds, and returns what of that isn't believed yet: it counts as a stranger's. More than before is believed
// only when it stays, since a worker gives back what a job took a moment after its result; and a reading from before the worker was loaded, or got its
// latest job, says nothing. The caller has the lock.
func (s *Scheduler) measured(book *ledger.Ledger, r *room, held int64) (doubtful int64) {
	resident, _ := book.Held(r.holder)
	switch {
	case held == 0 || s.asOf.Before(r.used):
		return max(0, held-resident)
	case book != r.book(): // its host memory, beside the GPU
		book.Loaded(r.holder, held)
		return 0
	case held <= resident || r.baseline == 0:
		r.above = time.Time{}
	default:
		if r.above.Before(r.used) {
			r.above = s.asOf
		}
		if s.asOf.Sub(r.above) < s.cfg.Settle {
			return held - resident
		}
	}
	book.Loaded(r.holder, held)
	if r.baseline == 0 || held < r.baseline {
		r.baseline = held
	}
	r.engine.held = held
	return 0
}

// await releases a room when the device shows that its process holds nothing any more. The caller has the lock.
func (s *Scheduler) await(r *room, listed bool, d *device) {
	if listed {
		return
	}
	if d.Processes == nil && time.Since(r.left) < releaseWait {
		return
	}
	s.release(r)
}

// order is something to be done about a worker, without the lock.
type order struct {
	holder, reason string
	act            func(reason string)
}

// orders says which workers must leave. The caller has the lock.
func (s *Scheduler) orders() (out []order) {
	leave := func(r *room, reason string) {
		r.book().Leaving(r.holder)
		act := r.evict
		if act == nil {
			pool, worker := r.engine.pool, r.worker
			act = func(reason string) { pool.Retire(worker, reason) }
		}
		out = append(out, order{r.holder, reason, act})
	}
	for _, book := range []*ledger.Ledger{s.gpu, s.host} {
		for _, e := range book.Evict() {
			if r := s.rooms[e.Worker]; r != nil && r.left.IsZero() {
				leave(r, e.Reason)
				s.metrics.evicted.WithLabelValues(e.Device).Inc()
			}
		}
	}
	for _, r := range s.rooms {
		if r.info.PID == 0 || !r.left.IsZero() || r.engine == nil || !r.onGPU || s.gpu.Works(r.holder) || s.gpu.IsLeaving(r.holder) {
			continue
		}
		resident, _ := s.gpu.Held(r.holder)
		switch idle := time.Since(r.used); {
		case r.baseline > 0 && resident-r.baseline >= s.cfg.Growth:
			leave(r, fmt.Sprintf("has grown from %s to %s", ledger.Size(r.baseline), ledger.Size(resident)))
		case idle >= s.cfg.IdleUnload && s.gpu.Waiting(r.engine.Name) == 0:
			leave(r, fmt.Sprintf("was idle for %s", idle.Round(time.Second)))
		}
	}
	return out
}

func (s *Scheduler) model(device string) string {
	if d := s.devices[device]; d != nil {
		return d.Model
	}
	return ""
}
