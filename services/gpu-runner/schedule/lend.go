package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Loan is what became of a request to lend devices.
type Loan struct {
	Devices []string  `json:"devices"`
	Until   time.Time `json:"until"`
	Free    int64     `json:"free"` // bytes, as the driver sees them now
}

// Lend makes all workers leave a device ("": every GPU) once their jobs in hand are done, and keeps it free for a while. It returns when the memory
// is really free, or with the error of ctx, when the loan stands all the same.
func (s *Scheduler) Lend(ctx context.Context, device string, d time.Duration) (Loan, error) {
	loan := Loan{Until: time.Now().Add(d)}
	s.mu.Lock()
	for _, b := range s.gpu.Books() {
		if device == "" || b.Device == device {
			loan.Devices = append(loan.Devices, b.Device)
			s.loans[b.Device] = loan.Until
			s.gpu.Close(b.Device, "lent until "+loan.Until.Format(time.TimeOnly))
		}
	}
	s.mu.Unlock()
	if len(loan.Devices) == 0 {
		return loan, fmt.Errorf("there is no GPU %q here", device)
	}
	s.log.Info("devices are lent", "devices", loan.Devices, "until", loan.Until)
	s.soon()
	for {
		s.mu.Lock()
		busy, changed := s.occupied(loan.Devices), s.changed
		stands := slices.ContainsFunc(loan.Devices, func(id string) bool { return !s.loans[id].IsZero() })
		loan.Free = s.free(loan.Devices)
		s.mu.Unlock()
		switch {
		case !stands:
			return loan, errors.New("the loan was ended before the memory was free")
		case busy == 0:
			return loan, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return loan, fmt.Errorf("%d workers are still on the lent devices: %w", busy, ctx.Err())
		}
	}
}

// TakeBack ends a loan ("": all of them).
func (s *Scheduler) TakeBack(device string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.loans {
		if device == "" || id == device {
			s.takeBack(id)
		}
	}
	s.notify()
	s.soon()
}

func (s *Scheduler) takeBack(id string) {
	delete(s.loans, id)
	if d := s.devices[id]; d != nil && d.Lost == "" && d.closed.IsZero() {
		s.gpu.Reopen(id)
	}
	s.log.Info("device is back", "device", id)
}

func (s *Scheduler) occupied(ids []string) (n int) {
	for _, r := range s.rooms {
		if slices.Contains(ids, r.device) {
			n++
		}
	}
	return n
}

func (s *Scheduler) free(ids []string) (n int64) {
	for _, id := range ids {
		if d := s.devices[id]; d != nil {
			n += d.Total - d.Used
		}
	}
	return n
}
