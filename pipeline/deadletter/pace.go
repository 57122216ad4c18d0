package deadletter

import (
	"context"
	"time"
)

// Pace spreads replays over time, evenly and without a burst to make up for a slow one.
type Pace struct {
	interval time.Duration // 0: no limit
	next     time.Time     // when the next may go
}

// NewPace lets so many go a second; 0: no limit.
func NewPace(perSecond float64) *Pace {
	if perSecond <= 0 {
		return &Pace{}
	}
	return &Pace{interval: time.Duration(float64(time.Second) / perSecond)}
}

// delay is how long one that asks now has to wait, and books its place.
func (p *Pace) delay(now time.Time) time.Duration {
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(p.interval)
	return d
}

// Wait returns when the next may go, or early with the context's error.
func (p *Pace) Wait(ctx context.Context) error {
	timer := time.NewTimer(p.delay(time.Now()))
	defer timer.Stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
