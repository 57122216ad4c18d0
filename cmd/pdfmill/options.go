package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pdfmill/pdfmill/pipeline/job"
)

// options are how documents are to be converted, as flags.
type options struct {
	Engine      string            `placeholder:"NAME" group:"How to convert:" help:"auto, text, ocr, marker."`
	Pages       string            `placeholder:"SET" group:"How to convert:" help:"Pages, like 1-20,35. Default: all."`
	ForceOCR    bool              `name:"force-ocr" group:"How to convert:" help:"Ignore the text layer."`
	Images      string            `enum:",yes,no" default:"" placeholder:"yes|no" group:"How to convert:" help:"Extract and link images. Default: yes."`
	Output      string            `placeholder:"KIND" group:"How to convert:" help:"markdown, json, html, chunks, where the engine has it."`
	Priority    string            `placeholder:"LANE" group:"How to convert:" help:"interactive or bulk."`
	Timeout     string            `placeholder:"TIME" group:"How to convert:" help:"Most work time for a range of pages, like 90s. Default: by its pages."`
	PasswordRef string            `name:"password-ref" placeholder:"NAME" group:"How to convert:" help:"Name of a secret that the pipeline knows; never the password."`
	EngineSet   string            `name:"engine-options" placeholder:"LIST" group:"How to convert:" help:"Options that only the engine knows, like 'quality=fast disable-ocr=yes'; docs/engines.md lists them."`
	Set         map[string]string `placeholder:"NAME=VALUE" group:"How to convert:" help:"Any option by name; may be repeated."`
}

// read checks the options. The metadata holds only what was asked for.
func (o options) read() (metadata map[string]string, all job.Options, err error) {
	named := maps.Clone(o.Set)
	if named == nil {
		named = map[string]string{}
	}
	for name, value := range map[string]string{
		"engine": o.Engine, "pages": o.Pages, "images": o.Images, "output": o.Output, "priority": o.Priority, "timeout": o.Timeout,
		"password-ref": o.PasswordRef, "engine-options": o.EngineSet,
	} {
		if value != "" {
			named[name] = value
		}
	}
	if o.ForceOCR {
		named["force-ocr"] = "yes"
	}
	all, metadata = job.Default(), map[string]string{}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if fault := all.Set(name, named[name]); fault != nil {
			faults = append(faults, fmt.Errorf("%w", fault))
		}
		metadata[job.MetadataPrefix+name] = named[name]
	}
	return metadata, all, errors.Join(faults...)
}
