package faults

import (
	"path/filepath"
	"time"

	"github.com/pdfmill/pdfmill/e2e/weather"
)

// weather makes the time of day and the disk of one kind of process bad: of a service, "nats" or "s3". Zero is fair.
func (c *cluster) weather(kind string, step, drag time.Duration) {
	c.t.Helper()
	if err := weather.Set(c.weatherFile(kind), step, drag); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) weatherFile(kind string) string { return filepath.Join(c.dir, "weather-"+kind) }
