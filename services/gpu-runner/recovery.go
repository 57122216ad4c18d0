package gpurunner

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// fault is what is known of a conversion that failed.
type fault struct {
	class    failure.Class
	page     int    // that did it; 0: not known
	hopeless bool   // no device has the memory, however long it is waited for
	evidence string // for the dead letter, should it come to one
}

// Tries of the same range in the same lane before it is cut up.
const (
	// What killed a worker may have been an accident: once more on a fresh one.
	triesAfterDeath = 2
	// After an out-of-memory error: with more memory, then alone on the device, then in smaller batches (see schedule).
	triesAfterOOM = 4
)

// again says what a range becomes after a fault. No pieces and retry: it is tried again as it is. No pieces and no retry: it is lost. Facts in, verdict
// out: docs and tests hold the table.
//
//	class                       in the same lane       then                        pieces go to
//	device-assert, crash        2 tries                cut up                      the suspect lane
//	timeout                     1 try                  cut up                      the suspect lane
//	oom, host-oom               4 tries                cut up                      the same lane
//	model-bug                   1 try                  cut up                      the same lane
//	engine-error                2 tries                cut up                      the same lane
//	anything else               the loop's own budget  dead letter
//
// In the suspect lane one try is proof. A range is cut around the page that is known to be guilty, else in the middle. A single page gets one more
// chance in the engine's plainest way; then it is lost.
func again(m event.Range, attempt int, f fault) (pieces []event.Range, retry bool) {
	if !f.class.PageFault() {
		return nil, true
	}
	if attempt < tries(m, f) {
		return nil, true
	}
	m.Because, m.Evidence = f.class, f.evidence
	lane := m.Lane
	switch f.class {
	case failure.DeviceAssert, failure.Crash, failure.Timeout:
		lane = job.LaneSuspect
	}
	if m.Range.Len() == 1 {
		if m.Mode == event.ModePlain {
			return nil, false
		}
		one := piece(m, m.Range, lane)
		one.Mode = event.ModePlain
		return []event.Range{one}, false
	}
	if first, last := m.Range.First, m.Range.Last; f.page >= first && f.page <= last && f.class != failure.OOM && f.class != failure.HostOOM {
		if f.page > first {
			pieces = append(pieces, piece(m, pages.Range{First: first, Last: f.page - 1}, innocent(m)))
		}
		pieces = append(pieces, piece(m, pages.Range{First: f.page, Last: f.page}, lane))
		if f.page < last {
			pieces = append(pieces, piece(m, pages.Range{First: f.page + 1, Last: last}, innocent(m)))
		}
		return pieces, false
	}
	a, b, _ := m.Range.Split()
	return []event.Range{piece(m, a, lane), piece(m, b, lane)}, false
}

// tries is how often a range is tried before the fault is believed.
func tries(m event.Range, f fault) int {
	switch {
	case f.hopeless:
		return 1
	case f.class == failure.OOM, f.class == failure.HostOOM:
		return triesAfterOOM
	case m.Lane == job.LaneSuspect, f.class == failure.Timeout, f.class == failure.ModelBug:
		return 1
	}
	return triesAfterDeath
}

// innocent is the lane of pages that are known not to be guilty: that of the document.
func innocent(m event.Range) string {
	if m.Options.Priority == job.LaneInteractive {
		return job.LaneInteractive
	}
	return job.LaneBulk
}

func piece(m event.Range, r pages.Range, lane string) event.Range {
	m.Megapixels *= float64(r.Len()) / float64(m.Range.Len())
	m.Range, m.Lane, m.PlannedAt = r, lane, time.Now().UTC()
	return m
}

// plain asks for one page in the engine's simplest and most robust way.
func plain(m event.Range, page int, because failure.Class) event.Range {
	m = piece(m, pages.Range{First: page, Last: page}, m.Lane)
	m.Mode, m.Because = event.ModePlain, because
	return m
}
