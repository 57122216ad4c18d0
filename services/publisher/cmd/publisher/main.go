// Command publisher runs the publisher as a process of its own.
package main

import (
	"os"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/publisher"
)

type settings struct {
	config.Platform
	Service publisher.Config `embed:"" group:"Service:"`
}

func main() {
	const name = "pdfmill-publisher"
	var s settings
	done, err := config.Parse(name, "Joins converted ranges into documents and announces them.", &s, os.Args[1:], os.Stdout)
	if err == nil && !done {
		err = s.Run(stage.Publisher, func(p lifecycle.Platform) (lifecycle.Service, error) { return publisher.New(s.Service, p) })
	}
	os.Exit(config.Code(name, err))
}
