// Command gpu-runner runs the gpu-runner as a process of its own.
package main

import (
	"os"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
)

type settings struct {
	config.Platform
	Service gpurunner.Config `embed:"" group:"Service:"`
}

func main() {
	const name = "pdfmill-gpu-runner"
	var s settings
	done, err := config.Parse(name, "Converts page ranges with supervised workers.", &s, os.Args[1:], os.Stdout)
	if err == nil && !done {
		err = s.Run(stage.GPURunner, func(p lifecycle.Platform) (lifecycle.Service, error) { return gpurunner.New(s.Service, p) })
	}
	os.Exit(config.Code(name, err))
}
