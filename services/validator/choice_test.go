package validator

import (
	"slices"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/plan"
)

func TestWhoConverts(t *testing.T) {
	auto := func(change func(*job.Options)) job.Options {
		o := job.Default()
		change(&o)
		return o
	}
	asIs := func(*job.Options) {}
	for name, c := range map[string]struct {
		engines []string
		auto    string
		options job.Options
		want    string // engine, or what the refusal says
		refused bool
	}{
		"only text":          {[]string{"text"}, "", auto(asIs), "text", false},
		"a choice":           {[]string{"text", "ocr"}, "", auto(asIs), "auto", false},
		"one for all":        {[]string{"text", "marker"}, "marker", auto(asIs), "marker", false},
		"only marker":        {[]string{"marker"}, "", auto(asIs), "marker", false},
		"only null":          {[]string{"null"}, "", auto(asIs), "null", false},
		"pictures for all":   {[]string{"text", "ocr"}, "", auto(func(o *job.Options) { o.ForceOCR = true }), "ocr", false},
		"marker, if there":   {[]string{"text", "ocr", "marker"}, "", auto(func(o *job.Options) { o.ForceOCR = true }), "marker", false},
		"a format of marker": {[]string{"text", "marker"}, "", auto(func(o *job.Options) { o.Output = job.OutputJSON }), "marker", false},
		"nobody writes it":   {[]string{"text", "ocr"}, "", auto(func(o *job.Options) { o.Output = job.OutputHTML }), "engines install marker", true},
		"by name":            {[]string{"text", "ocr"}, "", auto(func(o *job.Options) { o.Engine = job.EngineOCR }), "ocr", false},
		"not installed":      {[]string{"text"}, "", auto(func(o *job.Options) { o.Engine = job.EngineOCR }), "engines install ocr", true},
	} {
		s := &Service{config: Config{Engines: c.engines, AutoEngine: c.auto}}
		got, err := s.choice(c.options)
		switch {
		case c.refused && (failure.ClassOf(err, "") != failure.EngineMissing || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v does not say %q", name, err, c.want)
		case !c.refused && (err != nil || got.engine != c.want):
			t.Errorf("%s: %+v, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestRangesHaveOneEngineEach(t *testing.T) {
	f := facts.Facts{Pages: 40}
	for n := 1; n <= 40; n++ {
		p := facts.Page{Page: n, Objects: 1, Chars: 3000}
		if n > 10 && n <= 30 {
			p.Chars, p.Covered = 0, 1
		}
		f.PageList = append(f.PageList, p)
	}
	c := choice{engine: job.EngineAuto, policy: job.AutoBalanced, served: []string{job.EngineOCR, job.EngineText}}
	c.name(&f)
	want := pages.Set{{First: 1, Last: 40}}
	got := missing(c.split(want, f), f, pages.Set{{First: 12, Last: 13}}, 32)
	all := []piece{
		{"text", pages.Range{First: 1, Last: 10}},
		{"ocr", pages.Range{First: 11, Last: 11}},
		{"ocr", pages.Range{First: 14, Last: 17}},
		{"ocr", pages.Range{First: 18, Last: 24}},
		{"ocr", pages.Range{First: 25, Last: 30}},
		{"text", pages.Range{First: 31, Last: 40}},
	}
	if !slices.Equal(got, all) {
		t.Errorf("%v, want %v", got, all)
	}
}

func TestAPlanFitsOneBatch(t *testing.T) {
	f := facts.Facts{Pages: 3 * plan.MaxRanges}
	for n := 1; n <= f.Pages; n++ {
		f.PageList = append(f.PageList, facts.Page{Page: n, Objects: 1, Chars: n % 2 * 3000})
	}
	c := choice{engine: job.EngineAuto, policy: job.AutoBalanced, served: []string{job.EngineOCR, job.EngineText}}
	c.name(&f)
	want := pages.Set{{First: 1, Last: f.Pages}}
	got := missing(c.split(want, f), f, nil, 32)
	var covered []pages.Range
	for _, p := range got {
		covered = append(covered, p.pages)
	}
	if len(got) > plan.MaxRanges || !pages.Union(covered...).Covers(want) {
		t.Errorf("%d ranges", len(got))
	}
}
