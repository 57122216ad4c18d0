package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
)

// commands is the command line. One file holds each command.
type commands struct {
	globals
	VersionFlag kong.VersionFlag `name:"version" help:"Print the version alone, and exit."`

	Convert   convertCommand   `cmd:"" help:"Convert PDFs to Markdown: everything that is needed starts, and stops, with it."`
	Up        upCommand        `cmd:"" help:"Run the pipeline: whatever is put into its inbox is converted and announced."`
	Submit    submitCommand    `cmd:"" help:"Put files into the inbox of a running pipeline."`
	Status    statusCommand    `cmd:"" help:"Show where jobs are."`
	Cancel    cancelCommand    `cmd:"" help:"Stop jobs that nobody wants any more."`
	Watch     watchCommand     `cmd:"" help:"Print events as they come."`
	Dead      deadCommand      `cmd:"" help:"List, explain, replay and drop what could not be converted."`
	Reconvert reconvertCommand `cmd:"" help:"Convert documents again, after an upgrade or where something was missing."`
	Sweep     sweepCommand     `cmd:"" help:"Remove what only later conversions could have used again."`
	Check     checkCommand     `cmd:"" help:"Say what the validator makes of files, without converting them."`
	Engines   enginesCommand   `cmd:"" help:"Engines that convert."`
	GPU       gpuCommand       `cmd:"" name:"gpu" help:"Show the GPUs of a running pipeline, lend them to other programs and take them back."`
	Doctor    doctorCommand    `cmd:"" help:"Check that this machine has what pdfmill needs, and say what to do where it has not."`
	Tenants   tenantsCommand   `cmd:"" help:"Show what tenants use of their quotas."`
	Topology  topologyCommand  `cmd:"" help:"Compare, apply and export the streams and users that a cluster of servers needs."`
	Version   versionCommand   `cmd:"" help:"Print the version."`
	Probe     probeCommand     `cmd:"" hidden:"" help:"Open documents in a sandbox for the validator, which starts this."`
}

// globals are flags of every command.
type globals struct {
	JSON      bool   `name:"json" help:"Print JSON for programs to stdout."`
	LogLevel  string `name:"log-level" env:"PDFMILL_LOG_LEVEL" enum:",debug,info,warn,error" default:"" help:"Least level logged to stderr: debug, info, warn, error. Default: info for up, error otherwise."`
	LogFormat string `name:"log-format" env:"PDFMILL_LOG_FORMAT" enum:"auto,text,json" default:"auto" help:"auto (for people on terminals, JSON elsewhere), text or json."`
}

// streams are the process's standard streams.
type streams struct{ in, out, err *os.File }

// run runs one command line and returns its exit code.
func run(args []string, std streams) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c := &commands{}
	exited := -1
	parser, err := kong.New(c,
		kong.Name("pdfmill"),
		kong.Description("pdfmill "+lifecycle.Version+" turns PDFs into Markdown. Start with: pdfmill convert report.pdf -o out"),
		kong.Writers(std.out, std.err), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.ExplicitGroups([]kong.Group{}), kong.Bind(std), config.Paths(), kong.Vars{"version": lifecycle.Version},
	)
	if err != nil {
		fmt.Fprintln(std.err, "pdfmill:", err)
		return exitPipeline
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // --help or --version was printed
		return exited
	}
	if err == nil {
		err = k.Run(&c.globals)
	} else {
		err = usage(err, "see pdfmill "+commandOf(k, err)+"--help")
	}
	return code(err, std.err)
}

// commandOf is the command that was being parsed, with a space behind it, or "".
func commandOf(k *kong.Context, err error) string {
	parse := (*kong.ParseError)(nil)
	if k == nil && asParse(err, &parse) {
		k = parse.Context
	}
	if k == nil || k.Selected() == nil {
		return ""
	}
	return k.Selected().Path() + " "
}
