package validator

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// keep stores what others will want to have: the repaired copy, under its own hash like any source, and the picture of the first page.
func (s *Service) keep(ctx context.Context, j job.Job, found *Finding) error {
	if found.Repaired != "" {
		file, err := os.Open(found.Repaired)
		if err != nil {
			return failure.New(failure.Unhealthy, "read scratch file", found.Repaired, err)
		}
		defer file.Close()
		r := found.Facts.Repair
		r.Key = document.SourceKey(r.SHA256)
		if _, err := s.platform.Store.Put(ctx, s.platform.Bucket, r.Key, file, r.Bytes, object.Put{ContentType: "application/pdf"}); err != nil {
			return err
		}
	}
	if len(found.Thumbnail) == 0 {
		return nil
	}
	_, err := object.PutBytes(ctx, s.platform.Store, s.platform.Bucket, j.PassPrefix()+facts.ThumbnailName, found.Thumbnail, object.Put{ContentType: "image/png"})
	return err
}

// done returns the pages of which a good result exists that this pass may use. It raises the job's generation above what is being swept away.
func (s *Service) done(ctx context.Context, j *job.Job) (pages.Set, error) {
	type result struct {
		pages      pages.Range
		generation int64
	}
	prefix := j.Prefix() + "ranges/"
	var all []result
	for o, err := range s.platform.Store.List(ctx, s.platform.Bucket, prefix) {
		if err != nil {
			return nil, err
		}
		dir, name := path.Split(strings.TrimPrefix(o.Key, prefix))
		if floor, ok := job.ParseSweepMark(name); ok && dir == "" {
			j.Generation = max(j.Generation, floor)
		}
		if name != "result.json" {
			continue
		}
		r, generation, err := job.ParseRangeDir(strings.TrimSuffix(dir, "/"))
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		all = append(all, result{r, generation})
	}
	var ranges []pages.Range
	for _, r := range all {
		if r.generation >= j.Generation {
			ranges = append(ranges, r.pages)
		}
	}
	return pages.Union(ranges...), nil
}
