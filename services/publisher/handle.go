package publisher

import (
	"context"
	"errors"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/crashpoint"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// handle is the stage.Handler: it gives nothing until every wanted page is accounted for, then the event that ends the job.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Rendered]) ([]stage.Output, error) {
	m, started := d.Body, time.Now()
	if err := s.count(ctx, m); err != nil {
		return nil, err
	}
	if err := s.keepLost(ctx, m); err != nil {
		return nil, err
	}
	have, err := s.list(ctx, m.Job)
	if err != nil {
		return nil, err
	}
	if have.end != "" {
		return s.failedBefore(ctx, m, have.end)
	}
	if !have.covers(m.Want) {
		return nil, nil
	}
	lost, err := s.lost(ctx, have)
	if err != nil {
		return nil, err
	}
	p := &press{store: s.platform.Store, bucket: s.platform.Bucket, version: s.platform.Version, message: m, have: have, lost: lost, started: started}
	defer p.close()
	result, err := p.print(ctx, choose(m.Want, have, lost, s.config.Layout), s.config.Incomplete == IncompleteConverted)
	if err != nil {
		return nil, err
	}
	room := s.platform.Broker.MaxPayload() - headroom
	if result.revision == 0 {
		return s.failedNow(ctx, m, failed(m, result, lost, room, time.Now()))
	}
	return []stage.Output{converted(m, result, s.platform.Bucket, room, started, time.Now())}, nil
}

// count has the engine's time on a range count for its tenant, once however often this message comes.
func (s *Service) count(ctx context.Context, m event.Rendered) error {
	if m.Tenant == "" || m.ConvertSeconds <= 0 {
		return nil
	}
	_, err := s.meter.Count(ctx, tenant.Tenant{Name: m.Tenant}, m.MessageID(), tenant.Usage{DeviceSeconds: m.ConvertSeconds}, time.Now(), false)
	if err != nil {
		return failure.New(failure.StoreUnavailable, "count the work on", m.Source.Path(), err).WithHint("check NATS")
	}
	crashpoint.Reach(stage.Publisher, crashpoint.AfterCount)
	return nil
}

// failedNow keeps the end of a pass that failed, before it is told: a page that comes through later, by a message that the broker has forgotten was sent, does
// not make it another end. (A pass that made a revision stays with that.)
func (s *Service) failedNow(ctx context.Context, m event.Rendered, end stage.Output) ([]stage.Output, error) {
	key := m.PassPrefix() + endName
	_, err := object.PutJSON(ctx, s.platform.Store, s.platform.Bucket, key, end.Body, object.Put{Once: true})
	if errors.Is(err, object.ErrExists) {
		return s.failedBefore(ctx, m, key)
	}
	if err != nil {
		return nil, err
	}
	return []stage.Output{end}, nil
}

// failedBefore tells the end of a pass again as it was told.
func (s *Service) failedBefore(ctx context.Context, m event.Rendered, key string) ([]stage.Output, error) {
	var end event.Failed
	info, err := object.GetJSON(ctx, s.platform.Store, s.platform.Bucket, key, maxLostFile, &end)
	if err != nil {
		return nil, err
	}
	return []stage.Output{event.Terminal(m.Job, event.SubjectFailed, end, info.ModTime)}, nil
}
