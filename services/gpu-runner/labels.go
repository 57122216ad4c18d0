package gpurunner

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
)

// labels are what this machine is for an engine: what was said of it, and else what was found.
func (c Config) labels(engine string, gpus []devices.Reading) job.Labels {
	found := job.Labels{}
	if usesGPU(engine) {
		var largest int64
		for _, g := range gpus {
			largest = max(largest, g.Total)
		}
		// A card of 24 GB reports some MiB less, or more.
		found[job.LabelMemory] = strconv.Itoa(int(math.Round(float64(largest) / gib)))
	}
	if engine == job.EngineMarker {
		found[job.LabelVersion] = c.Marker.Generation
	}
	maps.Copy(found, c.Labels)
	return found
}

// routes are those of an engine that this machine can take: the plain one, and each whose needs its labels meet.
func (c Config) routes(engine string, gpus []devices.Reading) []string {
	routes, labels := []string{engine}, c.labels(engine, gpus)
	for _, r := range c.Routes {
		if of, needs, err := job.ParseRoute(r); err == nil && of == engine && needs != "" && labels.Meet(needs) {
			routes = append(routes, job.Route(engine, needs))
		}
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}
