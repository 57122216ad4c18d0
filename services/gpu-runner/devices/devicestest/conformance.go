// Package devicestest is the conformance suite of devices.Meter.
package devicestest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
)

// Subject is a meter to be tested.
type Subject struct {
	Open func(t *testing.T) devices.Meter
	// Hold makes another process hold about that much of a device until release is called, and returns its pid. Nil: the suite can't allocate here.
	Hold func(t *testing.T, device string, bytes int64) (pid int, release func())
	// HoldBytes is how much to hold; Slack what may be held besides.
	HoldBytes, Slack int64
}

// RunConformance runs the suite.
func RunConformance(t *testing.T, s Subject) {
	t.Run("a reading makes sense", s.makesSense)
	t.Run("the order is stable", s.stable)
	t.Run("readings at the same time", s.concurrent)
	t.Run("an ended context", s.ended)
	t.Run("a closed meter", s.closed)
	if s.Hold != nil {
		t.Run("what a process holds is seen, and its end", s.sees)
	}
}

func (s Subject) open(t *testing.T) devices.Meter {
	t.Helper()
	m := s.Open(t)
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func read(t *testing.T, m devices.Meter) []devices.Reading {
	t.Helper()
	list, err := m.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s Subject) makesSense(t *testing.T) {
	list := read(t, s.open(t))
	if len(list) == 0 {
		t.Fatal("no device")
	}
	seen := map[string]bool{}
	for _, r := range list {
		if r.ID == "" || seen[r.ID] || r.Model == "" || r.Kind == "" {
			t.Errorf("unclear who it is: %+v", r)
		}
		seen[r.ID] = true
		if r.Lost == "" && (r.Total <= 0 || r.Used < 0 || r.Used > r.Total) {
			t.Errorf("used %d of %d", r.Used, r.Total)
		}
		if r.Utilisation != -1 && (r.Utilisation < 0 || r.Utilisation > 1) {
			t.Errorf("utilisation %g", r.Utilisation)
		}
		for pid, held := range r.Processes {
			if pid <= 0 || held < 0 {
				t.Errorf("process %d holds %d", pid, held)
			}
		}
	}
}

func (s Subject) stable(t *testing.T) {
	m := s.open(t)
	first, second := read(t, m), read(t, m)
	for i := range first {
		if first[i].ID != second[i].ID || first[i].Total != second[i].Total || first[i].Model != second[i].Model {
			t.Errorf("%+v, then %+v", first[i], second[i])
		}
	}
}

func (s Subject) concurrent(t *testing.T) {
	m := s.open(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				if _, err := m.Read(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func (s Subject) ended(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.open(t).Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func (s Subject) closed(t *testing.T) {
	m := s.Open(t)
	for range 2 {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := m.Read(t.Context()); !errors.Is(err, devices.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func (s Subject) sees(t *testing.T) {
	m := s.open(t)
	before := read(t, m)[0]
	pid, release := s.Hold(t, before.ID, s.HoldBytes)
	held := func() (int64, int64) {
		r := read(t, m)[0]
		if r.Processes == nil { // the driver doesn't say who holds what
			return max(0, r.Used-before.Used), r.Used
		}
		return r.Processes[pid], r.Used
	}
	pipelinetest.Eventually(t, "the process holds what it took", func() bool {
		own, used := held()
		return own >= s.HoldBytes && own <= s.HoldBytes+s.Slack && used >= own
	})
	release()
	pipelinetest.Eventually(t, "nothing is held any more", func() bool { own, _ := held(); return own == 0 })
}
