package publisher

import (
	"context"
	"errors"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// lostFile is the object that says why pages are lost in this pass.
type lostFile struct {
	Pages      []event.FailedPage `json:"pages"`
	DeadLetter string             `json:"dead_letter,omitempty"`
	Attempts   int                `json:"attempts"`
}

// lostPage is one of its pages.
type lostPage struct {
	event.FailedPage
	deadLetter string
	attempts   int
}

// maxLostFile bounds what is read back, in bytes; it is some hundred bytes a page.
const maxLostFile = 64 << 20

// keepLost stores the lost pages that a message carries, one object for each run of neighbours, so that its key tells exactly which pages are lost. The
// first story told about a page stays: a redelivery changes nothing.
func (s *Service) keepLost(ctx context.Context, m event.Rendered) error {
	byPage := map[int]event.FailedPage{}
	var ranges []pages.Range
	for _, p := range m.Failed {
		if p.Page < 1 || p.Page > m.Total {
			return failure.Newf(failure.InvalidMessage, "read message", m.MessageID(), "failed page %d of a document with %d pages", p.Page, m.Total)
		}
		byPage[p.Page] = p
		ranges = append(ranges, pages.Range{First: p.Page, Last: p.Page})
	}
	for _, run := range pages.Union(ranges...) {
		file := lostFile{DeadLetter: m.DeadLetter, Attempts: m.Attempts}
		for p := run.First; p <= run.Last; p++ {
			file.Pages = append(file.Pages, byPage[p])
		}
		key := m.PassPrefix() + lostFolder + run.Dir() + ".json"
		if _, err := object.PutJSON(ctx, s.platform.Store, s.platform.Bucket, key, file, object.Put{Once: true}); err != nil && !errors.Is(err, object.ErrExists) {
			return err
		}
	}
	return nil
}

// lost reads back every lost page of the pass; where two files tell of a page, the narrower one counts.
func (s *Service) lost(ctx context.Context, h holdings) (map[int]lostPage, error) {
	byPage := map[int]lostPage{}
	files := slices.Clone(h.lost)
	slices.SortStableFunc(files, func(a, b found) int { return b.pages.Len() - a.pages.Len() })
	for _, f := range files {
		var file lostFile
		if _, err := object.GetJSON(ctx, s.platform.Store, s.platform.Bucket, f.key, maxLostFile, &file); err != nil {
			return nil, err
		}
		for _, p := range file.Pages {
			byPage[p.Page] = lostPage{FailedPage: p, deadLetter: file.DeadLetter, attempts: file.Attempts}
		}
	}
	return byPage, nil
}
