package publisher

import (
	"context"
	"errors"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// inspection is what the validator stored about the document in this pass.
type inspection struct {
	facts     *facts.Facts
	thumbnail *event.Image
}

// inspected reads what the validator found. A document without it is published all the same.
func (p *press) inspected(ctx context.Context) (inspection, error) {
	var i inspection
	if p.have.inspected {
		i.facts = &facts.Facts{}
		_, err := object.GetJSON(ctx, p.store, p.bucket, p.message.PassPrefix()+facts.ObjectName, facts.MaxObject, i.facts)
		if errors.Is(err, object.ErrNotFound) {
			i.facts = nil
		} else if err != nil {
			return i, err
		}
	}
	if p.have.thumbnail > 0 {
		i.thumbnail = &event.Image{Key: p.message.PassPrefix() + facts.ThumbnailName, Bytes: p.have.thumbnail, MediaType: "image/png", Page: 1}
	}
	return i, nil
}
