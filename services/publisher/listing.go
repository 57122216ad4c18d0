package publisher

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Kinds of what a page can come from, best first.
const (
	kindGood     = "good"     // the work's: any pass may use it
	kindDegraded = "degraded" // this pass's, converted in a simpler way
	kindLost     = "lost"     // this pass's, not converted
)

// Names of objects below a job.
const (
	resultName   = "result.json"
	manifestName = "manifest.json"
	imagesFolder = "images/"
	debugFolder  = "debug/"
	lostFolder   = "failed/"
	endName      = "end.json" // of a pass that failed: the end that was told
)

// found is an object whose key says which pages it accounts for.
type found struct {
	kind       string
	pages      pages.Range
	generation int64 // of a good one
	key        string
	etag       string
}

// holdings is everything that counts for one pass of a job, read from a single listing.
type holdings struct {
	good, degraded, lost []found
	// end is the key of the pass's end, when it was told that the document failed.
	end string
	// revisions has, by number, what lies in each revision's folder: size in bytes by name.
	revisions map[int]map[string]int64
	inspected bool  // the validator's facts are there
	thumbnail int64 // bytes of its picture of the first page, 0: there is none
}

// list reads what a job has. Keys that are not understood belong to another pass or a newer version.
func (s *Service) list(ctx context.Context, j job.Job) (holdings, error) {
	h := holdings{revisions: map[int]map[string]int64{}}
	passes := strings.TrimPrefix(j.PassPrefix(), j.Prefix())
	for info, err := range s.platform.Store.List(ctx, s.platform.Bucket, j.Prefix()) {
		if err != nil {
			return h, err
		}
		name := strings.TrimPrefix(info.Key, j.Prefix())
		rest, mine := strings.CutPrefix(name, passes)
		if !mine {
			h.addRevision(name, info.Size)
			rest = name
		}
		if mine && rest == endName {
			h.end = info.Key
		}
		f := found{key: info.Key, etag: info.ETag}
		if dir, ok := strings.CutPrefix(rest, "ranges/"); ok && path.Base(dir) == resultName {
			if f.pages, f.generation, err = job.ParseRangeDir(path.Dir(dir)); err != nil {
				continue
			}
			if !mine && f.generation < j.Generation {
				continue // this pass was started to make a better one, or it is being swept away
			}
			if f.kind = kindGood; !mine {
				h.good = append(h.good, f)
				continue
			}
			f.kind = kindDegraded
			h.degraded = append(h.degraded, f)
		} else if file, ok := strings.CutPrefix(rest, lostFolder); ok && mine {
			if f.pages, err = pages.ParseDir(strings.TrimSuffix(file, ".json")); err != nil {
				continue
			}
			f.kind = kindLost
			h.lost = append(h.lost, f)
		} else if mine {
			h.addInspection(rest, info.Size)
		}
	}
	return h, nil
}

func (h *holdings) addInspection(name string, size int64) {
	switch name {
	case facts.ObjectName:
		h.inspected = true
	case facts.ThumbnailName:
		h.thumbnail = size
	}
}

// addRevision notes "r3/images/page-0001-01.png".
func (h *holdings) addRevision(name string, size int64) {
	folder, file, ok := strings.Cut(name, "/")
	digits, isRevision := strings.CutPrefix(folder, "r")
	n, err := strconv.Atoi(digits)
	if !ok || !isRevision || err != nil || n < 1 {
		return
	}
	if h.revisions[n] == nil {
		h.revisions[n] = map[string]int64{}
	}
	h.revisions[n][file] = size
}

// covers reports whether every wanted page is accounted for.
func (h *holdings) covers(want pages.Set) bool {
	var all []pages.Range
	for _, list := range [][]found{h.good, h.degraded, h.lost} {
		for _, f := range list {
			all = append(all, f.pages)
		}
	}
	return pages.Union(all...).Covers(want)
}

// holds reports whether an object is still what it was.
func (h *holdings) holds(key, etag string) bool {
	for _, list := range [][]found{h.good, h.degraded} {
		for _, f := range list {
			if f.key == key {
				return f.etag == etag
			}
		}
	}
	return false
}
