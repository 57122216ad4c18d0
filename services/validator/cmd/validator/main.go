// Command validator runs the validator as a process of its own. The sandbox in which it opens documents is this binary too, called with the word probe.
package main

import (
	"fmt"
	"os"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/services/validator"
	"github.com/pdfmill/pdfmill/services/validator/sandbox"
)

type settings struct {
	config.Platform
	Validator validator.Config `embed:"" group:"Validator:"`
}

func main() {
	const name = "pdfmill-validator"
	if len(os.Args) == 2 && os.Args[1] == "probe" {
		os.Exit(config.Code(name, sandbox.Main(os.Stdin, os.Stdout)))
	}
	var s settings
	done, err := config.Parse(name, "Says what each document is, refuses what can not go on, and plans page ranges.", &s, os.Args[1:], os.Stdout)
	if err == nil && !done {
		err = s.Run(stage.Validator, func(p lifecycle.Platform) (lifecycle.Service, error) {
			self, err := os.Executable()
			if err != nil {
				return nil, fmt.Errorf("find this program's file, which the sandbox is started from: %w", err)
			}
			s.Validator.Sandbox.Command = []string{self, "probe"}
			return validator.New(s.Validator, p)
		})
	}
	os.Exit(config.Code(name, err))
}
