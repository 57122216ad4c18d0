package gpurunner

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// clocks are the two that run while a worker is on a range: the time its work may take, and the time without a sign of life.
type clocks struct{ total, silence time.Duration }

// allowance is what an engine gets of both, where nobody says otherwise.
type allowance struct{ base, page, silence time.Duration }

// What engines need at their slowest, on machines that do other things as well. A sign of life comes at least with each page, from marker with each call of a model
// (at most 8 pages) and with each answer of the vision model.
var (
	// allowText: some milliseconds a page.
	allowText = allowance{base: 30 * time.Second, page: 5 * time.Second, silence: 30 * time.Second}
	// allowOCR: 4 to 10 s a page on a core that nobody else uses.
	allowOCR = allowance{base: 30 * time.Second, page: time.Minute, silence: time.Minute}
	// allowMarker: surya itself waits up to 600 s for an answer of its servers (SURYA_INFERENCE_TIMEOUT_SECONDS, FAST_LAYOUT_SERVER_TIMEOUT) and then asks again,
	// which is a sign of life; a page is 12,288 tokens at most (SURYA_MAX_TOKENS_FULL_PAGE), a quarter of an hour for a model that makes 14 a second.
	allowMarker = allowance{base: 10 * time.Minute, page: time.Minute, silence: 11 * time.Minute}
	// allowUnread is for marker that reads nothing: some 0.3 s a page of a layout model on a CPU.
	allowUnread = allowance{base: 2 * time.Minute, page: 10 * time.Second, silence: 2 * time.Minute}
)

// allowed is what a range gets.
func (c Config) allowed(m event.Range) allowance {
	switch m.Engine {
	case job.EngineOCR:
		return allowOCR
	case job.EngineMarker:
		resident := c.Marker.Generation == "1" // one that has no servers looks for lines and tables with its models all the same
		if off := m.Options.EngineOptions["disable-ocr"]; !resident && (c.Marker.Bare || off == "yes" || off == "true") {
			return allowUnread
		}
		return allowMarker
	}
	return allowText
}

// limits are the clocks of a range: what the document asks for, or what the configuration says, or what its engine needs.
func (s *Service) limits(m event.Range) (c clocks) {
	a := s.config.allowed(m)
	for _, set := range []struct{ said, into *time.Duration }{
		{&s.config.TimeoutBase, &a.base}, {&s.config.TimeoutPage, &a.page}, {&s.config.Silence, &a.silence},
	} {
		if *set.said > 0 {
			*set.into = *set.said
		}
	}
	c.total = a.base + time.Duration(m.Range.Len())*a.page
	if m.Options.Timeout > 0 {
		c.total = time.Duration(m.Options.Timeout * float64(time.Second))
	}
	c.silence = min(a.silence, c.total)
	return c
}
