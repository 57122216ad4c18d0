package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// room is what one process holds.
type room struct {
	s      *Scheduler
	engine *engine
	holder string // in the ledgers
	worker int
	device string // id; host's when it is on no GPU
	onGPU  bool

	info     supervise.Info // zero until it is loaded
	baseline int64          // what it held when it was new
	used     time.Time      // when it last got a job, or was loaded
	above    time.Time      // since when it has held more than is in the books, without a job; before used: it hasn't
	left     time.Time      // when its process had ended; zero while it lives
	seen     bool           // the driver has shown what it holds
	estimate bool           // what it holds is not what the driver says
	evict    func(reason string)
}

// Enter implements supervise.Rooms.
func (e *engine) Enter(ctx context.Context, p supervise.Place) (supervise.Room, error) {
	s := e.s
	for {
		s.mu.Lock()
		r := e.try(p)
		changed := s.changed
		s.mu.Unlock()
		switch {
		case r != nil:
			return r, nil
		case p.Beside:
			return nil, supervise.ErrNoRoom
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("find room for worker %s: %w", p.Name, context.Cause(ctx))
		}
	}
}

// try books room for a process, if there is demand and room. The caller has the lock.
func (e *engine) try(p supervise.Place) *room {
	s, book := e.s, e.book()
	h := ledger.Holder{Pool: e.Name, Bytes: e.resident()}
	switch {
	case len(book.Books()) == 0: // nothing was measured yet
		return nil
	case p.Isolated:
		placed, ok := book.Place(e.suspects())
		if !ok {
			return nil
		}
		h = placed
	case p.Beside || e.Eager || e.first():
		device, ok := book.Fit(e.Name, h.Bytes)
		if !ok {
			return nil
		}
		h.Device = device
	default:
		placed, ok := book.Place(e.Name)
		if !ok {
			return nil
		}
		h = placed
	}
	s.names++
	h.Name = holderName(p.Name, s.names)
	if book.Load(h) != nil {
		return nil
	}
	r := &room{s: s, engine: e, holder: h.Name, worker: p.Worker, device: h.Device, onGPU: e.onGPU(), used: time.Now()}
	if r.onGPU && e.Host > 0 {
		if s.host.Load(ledger.Holder{Name: h.Name, Pool: e.Name, Device: devices.HostID, Bytes: e.Host}) != nil {
			book.Gone(h.Name)
			return nil
		}
	}
	s.rooms[h.Name] = r
	return r
}

// first reports whether this is the process that shows, without any demand, that the engine can be loaded.
func (e *engine) first() bool {
	for _, r := range e.s.rooms {
		if r.engine == e && r.left.IsZero() {
			return false
		}
	}
	return !e.loaded && !e.Lazy
}

// Device implements supervise.Room.
func (r *room) Device() string {
	if r.onGPU {
		return r.device
	}
	return ""
}

func (r *room) touch() { r.used = time.Now() }

func (r *room) book() *ledger.Ledger {
	if r.onGPU {
		return r.s.gpu
	}
	return r.s.host
}

// Loaded implements supervise.Room: from here on the worker may get jobs. Until it is measured, what it says of itself counts.
func (r *room) Loaded(i supervise.Info) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r.info, r.used, r.engine.loaded = i, time.Now(), true
	r.engine.version = version(i.Hello.Versions)
	says := i.Ready.Memory.HostRSS
	if r.onGPU {
		says = i.Ready.Memory.DeviceReserved + s.cfg.Context
		s.host.Loaded(r.holder, i.Ready.Memory.HostRSS)
	}
	r.book().Loaded(r.holder, says)
	r.engine.held = max(r.engine.held, says)
	s.notify()
	s.soon()
}

// version is what an engine's memory depends on.
func version(of map[string]string) string {
	for _, name := range []string{"marker-pdf", "liteparse"} {
		if v := of[name]; v != "" {
			return name + "-" + v
		}
	}
	return of["pdfmill-runner"]
}

// Leave implements supervise.Room. The books keep the room taken until the device has the memory back.
func (r *room) Leave(end supervise.End, err error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	r.left = time.Now()
	r.book().Leaving(r.holder)
	s.judge(r, end, err)
	if !r.onGPU || r.info.PID == 0 { // reaped is released; or it never got so far as to hold anything
		s.release(r)
	}
	s.notify()
	s.soon()
}

// release strikes a room out of the books. The caller has the lock.
func (s *Scheduler) release(r *room) {
	s.gpu.Gone(r.holder)
	s.host.Gone(r.holder)
	delete(s.rooms, r.holder)
}
