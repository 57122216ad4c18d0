// Command ingest runs the ingest as a process of its own.
package main

import (
	"os"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/ingest"
)

type settings struct {
	config.Platform
	Service ingest.Config `embed:"" group:"Service:"`
}

func main() {
	const name = "pdfmill-ingest"
	var s settings
	done, err := config.Parse(name, "Watches inbox buckets and takes in what is dropped there.", &s, os.Args[1:], os.Stdout)
	if err == nil && !done {
		err = s.Run(stage.Ingest, func(p lifecycle.Platform) (lifecycle.Service, error) { return ingest.New(s.Service, p) })
	}
	os.Exit(config.Code(name, err))
}
