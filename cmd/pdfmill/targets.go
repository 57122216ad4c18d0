package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
	"github.com/pdfmill/pdfmill/services/ingest"
	"github.com/pdfmill/pdfmill/services/publisher"
	"github.com/pdfmill/pdfmill/services/validator"
)

// settings are those of every service.
type settings struct {
	Cache     string           `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder for what can be made again: compiled code, Python environments, models. Default: pdfmill in the user's cache folder."`
	Ingest    ingest.Config    `embed:"" group:"Ingest:"`
	Validator validator.Config `embed:"" group:"Validator:"`
	Runner    gpurunner.Config `embed:"" group:"Runner:"`
	Publisher publisher.Config `embed:"" group:"Publisher:"`
}

// build makes one service.
type build func(settings, lifecycle.Platform) (lifecycle.Service, error)

// target is a set of services that a process can run.
type target struct {
	name   string
	builds []build
}

// targets is the table of what can run; all is but one row.
func targets() []target {
	single := []target{
		{stage.Ingest, []build{func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return ingest.New(s.Ingest, p) }}},
		{stage.Validator, []build{func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return newValidator(s.Validator, p) }}},
		{stage.GPURunner, []build{func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return gpurunner.New(s.Runner, p) }}},
		{stage.Publisher, []build{func(s settings, p lifecycle.Platform) (lifecycle.Service, error) {
			return publisher.New(s.Publisher, p)
		}}},
	}
	all := target{name: "all"}
	for _, t := range single {
		all.builds = append(all.builds, t.builds...)
	}
	return append(single, all)
}

// newValidator makes a validator whose sandbox processes are this very binary.
func newValidator(c validator.Config, p lifecycle.Platform) (lifecycle.Service, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's file, which the sandbox is started from: %w", err)
	}
	c.Sandbox.Command = []string{self, "probe"}
	return validator.New(c, p)
}

// services makes the services of a target.
func services(name string, s settings, p lifecycle.Platform) ([]lifecycle.Service, error) {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
		if t.name != name {
			continue
		}
		var made []lifecycle.Service
		for _, build := range t.builds {
			service, err := build(s, p)
			if err != nil {
				return nil, err
			}
			made = append(made, service)
		}
		return made, nil
	}
	return nil, usage(fmt.Errorf("there is no target %q", name), "targets are "+strings.Join(names, ", "))
}
