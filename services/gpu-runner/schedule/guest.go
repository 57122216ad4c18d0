package schedule

import (
	"context"
	"fmt"
	"strings"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/ledger"
)

// Guest is a shared server that holds memory for as long as it runs, and does jobs for workers elsewhere.
type Guest struct {
	Name   string
	Device string // id; "": the one with most room, or the host's memory where there is no GPU
	Bytes  int64  // of the GPU's memory
	Host   int64  // bytes of the host's memory, when it is on no GPU
	Beside int64  // … and when it is on one
	// Leave is called when the server must leave its device, which happens only when the device is closed. It must not block.
	Leave func(reason string)
}

// Stay is a guest's room.
type Stay struct {
	Device string // id of its GPU; "": it is on none
	End    func() // gives the memory back
}

// Invite books memory for a guest, waiting as long as that takes.
func (s *Scheduler) Invite(ctx context.Context, g Guest) (Stay, error) {
	for {
		s.mu.Lock()
		r, err := s.invite(g)
		changed := s.changed
		s.mu.Unlock()
		if err == nil {
			stay := Stay{End: func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.release(r)
				s.notify()
			}}
			if r.onGPU {
				stay.Device = r.device
			}
			return stay, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Stay{}, fmt.Errorf("%s: %w", strings.TrimSpace(err.Error()), ctx.Err())
		}
	}
}

// invite books a guest's memory if there is room. The caller has the lock.
func (s *Scheduler) invite(g Guest) (*room, error) {
	r := &room{s: s, device: devices.HostID, onGPU: len(s.gpu.Books()) > 0, evict: g.Leave}
	held, fit := ledger.Holder{Device: devices.HostID, Bytes: g.Host, Pinned: true}, true
	if r.onGPU {
		held.Bytes = g.Bytes
		if held.Device = g.Device; g.Device == "" {
			held.Device, fit = s.gpu.Fit(g.Name, g.Bytes)
		}
	}
	if !fit {
		return nil, fmt.Errorf("no device has %s free", ledger.Size(held.Bytes))
	}
	s.names++
	held.Name = holderName(g.Name, s.names)
	r.device, r.holder = held.Device, held.Name
	if err := r.book().Load(held); err != nil {
		return nil, err
	}
	if r.onGPU && g.Beside > 0 {
		if err := s.host.Load(ledger.Holder{Name: held.Name, Device: devices.HostID, Bytes: g.Beside, Pinned: true}); err != nil {
			s.gpu.Gone(held.Name)
			return nil, err
		}
	}
	s.rooms[held.Name] = r
	return r, nil
}
