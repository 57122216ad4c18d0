package route_test

import (
	"maps"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/services/validator/route"
)

func TestKindsOfPages(t *testing.T) {
	for name, c := range map[string]struct {
		page facts.Page
		want string
	}{
		"nothing on it":           {facts.Page{}, facts.KindBlank},
		"not looked at":           {facts.Page{Chars: -1, Objects: 3}, facts.KindUnknown},
		"a picture":               {facts.Page{Objects: 1, Images: 1, Covered: 1}, facts.KindScanned},
		"a drawing":               {facts.Page{Objects: 40}, facts.KindScanned},
		"a picture and a number":  {facts.Page{Objects: 2, Images: 1, Covered: 0.9, Chars: 3}, facts.KindScanned},
		"a word and a logo":       {facts.Page{Objects: 2, Images: 1, Covered: 0.1, Chars: 5}, facts.KindMixed},
		"prose":                   {facts.Page{Objects: 50, Chars: 3000, Readable: &facts.Readable{}}, facts.KindProse},
		"rules and boxes":         {facts.Page{Objects: 900, Chars: 3000, Readable: &facts.Readable{}}, facts.KindMixed},
		"letters without a map":   {facts.Page{Objects: 50, Chars: 3000, Readable: &facts.Readable{Unmapped: 0.7}}, facts.KindGarbled},
		"private signs":           {facts.Page{Objects: 50, Chars: 3000, Readable: &facts.Readable{Unknown: 0.6}}, facts.KindGarbled},
		"words nobody can say":    {facts.Page{Objects: 50, Chars: 3000, Readable: &facts.Readable{Mute: 0.8}}, facts.KindGarbled},
		"brackets set from parts": {facts.Page{Objects: 50, Chars: 679, Readable: &facts.Readable{Unknown: 0.3}}, facts.KindProse},
		"too little to tell":      {facts.Page{Objects: 1, Chars: 2, Readable: &facts.Readable{Unmapped: 1}}, facts.KindMixed},
	} {
		if got := route.Kind(c.page); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestPolicies(t *testing.T) {
	laptop := []string{job.EngineText, job.EngineOCR}
	gpu := []string{job.EngineText, job.EngineMarker}
	all := []string{job.EngineText, job.EngineOCR, job.EngineMarker}
	kinds := []string{facts.KindBlank, facts.KindProse, facts.KindMixed, facts.KindScanned, facts.KindGarbled, facts.KindUnknown}
	const t0, o, m = job.EngineText, job.EngineOCR, job.EngineMarker
	for _, c := range []struct {
		policy string
		served []string
		want   []string
	}{
		{job.AutoFast, laptop, []string{t0, t0, t0, o, t0, t0}},
		{job.AutoBalanced, laptop, []string{t0, t0, t0, o, o, t0}},
		{job.AutoBest, laptop, []string{t0, t0, t0, o, o, t0}},
		{job.AutoFast, gpu, []string{t0, t0, t0, m, t0, t0}},
		{job.AutoBalanced, gpu, []string{t0, t0, m, m, m, m}},
		{job.AutoBest, gpu, []string{t0, m, m, m, m, m}},
		{job.AutoBalanced, all, []string{t0, t0, m, m, m, m}},
		{job.AutoBalanced, []string{t0}, []string{t0, t0, t0, t0, t0, t0}},
	} {
		for i, kind := range kinds {
			if got := route.Engine(c.policy, kind, c.served); got != c.want[i] {
				t.Errorf("%s, %v: a %s page goes to %s, want %s", c.policy, c.served, kind, got, c.want[i])
			}
		}
	}
}

func TestPagesOfOneRouteStayTogether(t *testing.T) {
	var list []facts.Page
	for i, kind := range []string{facts.KindBlank, facts.KindProse, facts.KindBlank, facts.KindScanned, facts.KindBlank, facts.KindScanned, facts.KindMixed} {
		list = append(list, facts.Page{Page: i + 1, Kind: kind})
	}
	got := route.Split(pages.Set{{First: 1, Last: 9}}, list, job.AutoBalanced, []string{job.EngineText, job.EngineOCR})
	want := map[string]string{job.EngineText: "1-3,7-9", job.EngineOCR: "4-6"} // nothing is known of pages 8 and 9
	said := map[string]string{}
	for engine, set := range got {
		said[engine] = set.String()
	}
	if !maps.Equal(said, want) {
		t.Errorf("%v, want %v", said, want)
	}
}
