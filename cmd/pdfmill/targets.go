package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	gpurunner "github.com/pdfmill/pdfmill/services/gpu-runner"
	"github.com/pdfmill/pdfmill/services/ingest"
	"github.com/pdfmill/pdfmill/services/publisher"
	"github.com/pdfmill/pdfmill/services/validator"
)

// settings are those of every service.
type settings struct {
	Cache     string           `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder for what can be made again: compiled code, Python environments, models. Default: pdfmill in the user's cache folder."`
	Secrets   secret.Config    `embed:"" group:"Secrets:"`
	Ingest    ingest.Config    `embed:"" group:"Ingest:"`
	Validator validator.Config `embed:"" group:"Validator:"`
	Runner    gpurunner.Config `embed:"" group:"Runner:"`
	Publisher publisher.Config `embed:"" group:"Publisher:"`
}

// engines are those that somebody may ask for, as they are written in subjects: validator and gpu-runner are told separately.
func (s settings) engines() []string {
	all := append(slices.Clone(s.Runner.Serve), s.Validator.Engines...)
	all, _ = job.ParseRoutes(all) // what is wrong with them the services say
	slices.Sort(all)
	return slices.Compact(all)
}

// build makes one service.
type build struct {
	stage string
	make  func(settings, lifecycle.Platform) (lifecycle.Service, error)
}

// target is a set of services that a process can run.
type target struct {
	name   string
	builds []build
}

// targets is the table of what can run; all is but one row.
func targets() []target {
	builds := []build{
		{stage.Ingest, func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return ingest.New(s.Ingest, p) }},
		{stage.Validator, func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return newValidator(s.Validator, p) }},
		{stage.GPURunner, func(s settings, p lifecycle.Platform) (lifecycle.Service, error) { return gpurunner.New(s.Runner, p) }},
		{stage.Publisher, func(s settings, p lifecycle.Platform) (lifecycle.Service, error) {
			return publisher.New(s.Publisher, p)
		}},
	}
	all := make([]target, 0, 1+len(builds))
	all = append(all, target{"all", builds})
	for _, b := range builds {
		all = append(all, target{b.stage, []build{b}})
	}
	return all
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
func services(name string, s settings, platform func(stage string) lifecycle.Platform) ([]lifecycle.Service, error) {
	var names []string
	for _, t := range targets() {
		names = append(names, t.name)
		if t.name != name {
			continue
		}
		var made []lifecycle.Service
		for _, b := range t.builds {
			service, err := b.make(s, platform(b.stage))
			if err != nil {
				return nil, err
			}
			made = append(made, service)
		}
		return made, nil
	}
	return nil, usage(fmt.Errorf("there is no target %q", name), "targets are "+strings.Join(names, ", "))
}
