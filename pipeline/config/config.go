// Package config is how a service process is told what to do: flags, then the environment, then a file, then defaults. Each component owns the struct with
// its settings; this package puts them together, and reports everything that is wrong with them at once.
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/lifecycle"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/secret"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// Platform is what every service process needs to know.
type Platform struct {
	NATS     jet.Config        `embed:"" group:"NATS:"`
	S3       object.Config     `embed:"" group:"Object store:"`
	Bucket   string            `env:"PDFMILL_BUCKET" default:"${bucket}" help:"pdfmill's own bucket (${default})."`
	Topology string            `env:"PDFMILL_TOPOLOGY" enum:"apply,wait" default:"apply" help:"Streams and bucket that are missing: apply makes them, wait leaves that to pdfmill topology apply, so that this process needs no right to."`
	Replicas int               `env:"PDFMILL_REPLICAS" default:"1" help:"Replicas of each stream that this process creates (${default})."`
	Cache    string            `env:"PDFMILL_CACHE" type:"path" placeholder:"DIR" help:"Folder for what can be made again: compiled code, Python environments, models. Default: pdfmill in the user's cache folder."`
	Secrets  secret.Config     `embed:"" group:"Secrets:"`
	HTTPAddr string            `name:"http-addr" env:"PDFMILL_HTTP_ADDR" default:"127.0.0.1:8080" help:"Where health and metrics are served (${default}); port 0 picks one."`
	Logging  telemetry.Logging `embed:"" group:"Logging:"`
}

// Validate reports everything that is wrong with the settings.
func (p Platform) Validate() error {
	var faults []error
	if p.Replicas < 1 || p.Replicas > 5 {
		faults = append(faults, fmt.Errorf("replicas is %d: JetStream keeps 1 to 5", p.Replicas))
	}
	return errors.Join(append(faults, p.NATS.Validate())...)
}

// Validator is a configuration that can say what is wrong with it.
type Validator interface{ Validate() error }

// ErrUsage says that the command line, the environment or the file is wrong.
var ErrUsage = errors.New("configuration")

// Parse fills target, a pointer to a struct with kong tags, from args, the environment and the JSON file that --config names. done says that
// something like --help was answered and nothing is left to do.
func Parse(name, about string, target any, args []string, out io.Writer) (done bool, err error) {
	var file struct {
		Config      kong.ConfigFlag  `placeholder:"FILE" help:"JSON file with settings: {\"nats-url\": \"…\"}. Flags and the environment win over it."`
		PrintConfig bool             `help:"Print the settings that result, without secrets, and exit."`
		Version     kong.VersionFlag `help:"Print the version and exit."`
		Target      any              `embed:""`
	}
	file.Target = target
	exited := false
	parser, err := kong.New(&file, kong.Name(name), kong.Description(about), kong.Configuration(kong.JSON), kong.Writers(out, out), Paths(),
		kong.Exit(func(int) { exited = true }), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Vars{"version": lifecycle.Version, "bucket": lifecycle.DefaultBucket})
	if err != nil {
		return false, fmt.Errorf("command line of %s: %w", name, err)
	}
	context, err := parser.Parse(args)
	switch {
	case exited:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("%w: %w (see %s --help)", ErrUsage, err, name)
	}
	if v, ok := target.(Validator); ok {
		if err := v.Validate(); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUsage, err)
		}
	}
	if file.PrintConfig {
		return true, printed(context, out)
	}
	return false, nil
}

// printed writes every setting that is not hidden, as the JSON that --config reads.
func printed(context *kong.Context, out io.Writer) error {
	settings := map[string]any{}
	for _, flag := range context.Flags() {
		switch {
		case flag.Hidden, flag.Name == "help", flag.Name == "config", flag.Name == "print-config", flag.Name == "version":
		default:
			settings[flag.Name] = context.FlagValue(flag)
			if text, is := settings[flag.Name].(string); is && (strings.HasSuffix(flag.Name, "-url") || strings.Contains(text, "://")) {
				settings[flag.Name] = secret.URL(text)
			}
		}
	}
	return writeJSON(out, settings)
}

// Exit codes of a service process.
const (
	ExitOK     = 0
	ExitFailed = 1 // the service could not go on
	ExitUsage  = 2 // it was told something wrong
)

// Code prints err, if any, and returns the exit code for it.
func Code(name string, err error) int {
	if err == nil {
		return ExitOK
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	if errors.Is(err, ErrUsage) {
		return ExitUsage
	}
	return ExitFailed
}
