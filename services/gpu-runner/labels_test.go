package gpurunner

import (
	"slices"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
)

func TestRoutesByLabels(t *testing.T) {
	c := Config{
		Labels: map[string]string{"region": "eu"}, Marker: MarkerConfig{Generation: "2"},
		Routes: []string{
			"text", "text@region=eu", "text@memory=1", "marker", "marker@region=us", "marker@region=eu", "marker@memory=24GB,region=eu", "marker@memory=25", "marker@version=2", "marker@version=1", "ocr",
		},
	}
	cards := []devices.Reading{{Total: 8 * gib}, {Total: 24*gib - 12<<20}}
	for engine, want := range map[string][]string{
		job.EngineText:   {"text", "text@region=eu"},
		job.EngineMarker: {"marker", "marker@memory=24+region=eu", "marker@region=eu", "marker@version=2"},
		job.EngineOCR:    {"ocr"},
	} {
		if got := c.routes(engine, cards); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", engine, got, want)
		}
	}
	c.Labels["memory"] = "80"
	if got := c.routes(job.EngineMarker, nil); !slices.Contains(got, "marker@memory=25") {
		t.Errorf("with a label of its memory: %v", got)
	}
}
