package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
)

// greet waits for hello and ready.
func (p *Process) greet(ctx context.Context) error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()

	m, err := p.opening(ctx, p.cfg.HelloTimeout, "hello")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoHello, err)
	}
	hello, ok := m.(*protocol.Hello)
	if !ok {
		return p.outOfTurn("start worker", p.cfg.Name, m)
	}
	if p.cfg.Engine != "" && hello.Engine != p.cfg.Engine {
		return failure.Newf(failure.EngineMissing, "start worker", p.cfg.Name, "engine %q answered instead of %q", hello.Engine, p.cfg.Engine)
	}
	p.info.Hello = *hello

	if m, err = p.opening(ctx, p.cfg.LoadTimeout, "ready"); err != nil {
		return err
	}
	ready, ok := m.(*protocol.Ready)
	if !ok {
		return p.outOfTurn("start worker", p.cfg.Name, m)
	}
	p.info.Ready = *ready
	return nil
}

// opening waits for one message of the start. An engine that can't load says so with an error instead.
func (p *Process) opening(ctx context.Context, limit time.Duration, want string) (protocol.Message, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case m, open := <-p.inbox:
		if !open {
			return nil, p.lost("start worker", p.cfg.Name)
		}
		if e, is := m.(*protocol.EngineError); is {
			return nil, engineFailure("start worker", p.cfg.Name, e)
		}
		return m, nil
	case <-timer.C:
		return nil, failure.Newf(failure.Timeout, "start worker", p.cfg.Name, "no %s within %s", want, limit).
			WithHint("loading may need more time: raise the load timeout")
	case <-ctx.Done():
		return nil, fmt.Errorf("start worker %s: %w", p.cfg.Name, endOf(ctx))
	}
}
