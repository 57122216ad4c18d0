package gpurunner

import (
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
)

func TestClocksAreThoseOfTheEngine(t *testing.T) {
	ask := func(engine string, change func(*event.Range)) event.Range {
		m := event.Range{Job: job.Job{Options: job.Default()}, Engine: engine, Range: pages.Range{First: 1, Last: 4}}
		if change != nil {
			change(&m)
		}
		return m
	}
	unread := func(m *event.Range) { m.Options.EngineOptions = map[string]string{"disable-ocr": "yes"} }
	for _, c := range []struct {
		name   string
		config Config
		ask    event.Range
		want   clocks
	}{
		{"text", Config{}, ask(job.EngineText, nil), clocks{50 * time.Second, 30 * time.Second}},
		{"ocr", Config{}, ask(job.EngineOCR, nil), clocks{270 * time.Second, time.Minute}},
		{"marker waits as long as surya", Config{}, ask(job.EngineMarker, nil), clocks{14 * time.Minute, 11 * time.Minute}},
		{"marker that reads nothing", Config{}, ask(job.EngineMarker, unread), clocks{160 * time.Second, 2 * time.Minute}},
		{"marker without servers", Config{Marker: MarkerConfig{Bare: true}}, ask(job.EngineMarker, nil), clocks{160 * time.Second, 2 * time.Minute}},
		{"1.x has models all the same", Config{Marker: MarkerConfig{Generation: "1"}}, ask(job.EngineMarker, unread), clocks{14 * time.Minute, 11 * time.Minute}},
		{"as configured", Config{TimeoutBase: time.Minute, TimeoutPage: time.Second, Silence: 7 * time.Second}, ask(job.EngineMarker, nil), clocks{64 * time.Second, 7 * time.Second}},
		{"as the document asks", Config{}, ask(job.EngineMarker, func(m *event.Range) { m.Options.Timeout = 90 }), clocks{90 * time.Second, 90 * time.Second}},
	} {
		if got := (&Service{config: c.config}).limits(c.ask); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
