package publisher

import (
	"context"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// handle is the stage.Handler: it gives nothing until every wanted page is accounted for, then the event that ends the job.
func (s *Service) handle(ctx context.Context, d stage.Delivery[event.Rendered]) ([]stage.Output, error) {
	m, started := d.Body, time.Now()
	if err := s.keepLost(ctx, m); err != nil {
		return nil, err
	}
	have, err := s.list(ctx, m.Job)
	if err != nil {
		return nil, err
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
	result, err := p.print(ctx, choose(m.Want, have, lost), s.config.Incomplete == IncompleteConverted)
	if err != nil {
		return nil, err
	}
	room := s.platform.Broker.MaxPayload() - headroom
	if result.revision == 0 {
		return []stage.Output{failed(m, result, lost, room, time.Now())}, nil
	}
	return []stage.Output{converted(m, result, s.platform.Bucket, room, started, time.Now())}, nil
}
