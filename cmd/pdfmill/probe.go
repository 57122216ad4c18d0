package main

import "github.com/pdfmill/pdfmill/services/validator/sandbox"

type probeCommand struct{}

// Run opens documents in a sandbox, as the validator that started this process asks.
func (probeCommand) Run(std streams) error { return sandbox.Main(std.in, std.out) }
