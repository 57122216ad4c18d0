// Package job says what was asked: the options of a drop, and the identity of the work they ask for.
package job

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pages"
)

// Engine names. `auto` is decided by the validator, page by page where there is a choice.
const (
	EngineAuto   = "auto"
	EngineText   = "text"
	EngineMarker = "marker"
	EngineOCR    = "ocr"
	EngineNull   = "null"
)

// Policies by which auto chooses an engine for each page.
const (
	AutoFast     = "fast"     // recognition only where there is no text at all
	AutoBalanced = "balanced" // also where the text layer does not say what the page shows; models for all that is more than prose, where there are any
	AutoBest     = "best"     // models for every page, where there are any
)

// Outputs. Not every engine writes each of them.
const (
	OutputMarkdown = "markdown"
	OutputJSON     = "json"
	OutputHTML     = "html"
	OutputChunks   = "chunks"
)

// Lanes of a range's subject. `suspect` is for ranges that have killed a worker: they run isolated.
const (
	LaneInteractive = "interactive"
	LaneBulk        = "bulk"
	LaneSuspect     = "suspect"
)

// MetadataPrefix is what an option's object metadata key starts with (`x-amz-meta-pdfmill-pages: 1-20`), as a client library names it.
const MetadataPrefix = "pdfmill-"

// MaxTimeout bounds the option `timeout`.
const MaxTimeout = 24 * time.Hour

// Options of a drop. The zero value is not valid: start from Default.
type Options struct {
	Engine   string    `json:"engine"`    // auto | marker | ocr | text | null (null only by name)
	Pages    pages.Set `json:"pages"`     // empty: all
	ForceOCR bool      `json:"force_ocr"` // ignore the text layer
	Output   string    `json:"output"`    // markdown | json | html | chunks, where the engine has it
	Images   bool      `json:"images"`    // extract and link images
	// Auto is the policy of the engine auto: fast | balanced | best; "" is balanced.
	Auto string `json:"auto,omitempty"`
	// EngineOptions are those that only some engines know, by name; an engine refuses what it doesn't know.
	EngineOptions map[string]string `json:"engine_options,omitempty"`

	Priority    string  `json:"priority"`               // interactive | bulk
	PasswordRef string  `json:"password_ref,omitempty"` // the NAME of a secret the service knows; never a password
	Timeout     float64 `json:"timeout,omitempty"`      // seconds of work for a range; 0: by its pages
	// Needs is what is asked of the machine that converts it, as ParseNeeds writes it; "": nothing beyond the engine.
	Needs string `json:"needs,omitempty"`
}

// Default returns the options of a drop that names none.
func Default() Options {
	return Options{Engine: EngineAuto, Output: OutputMarkdown, Images: true, Priority: LaneBulk}
}

// parsers reads each option by its name, as used in metadata, in `--set` and on the command line.
var parsers = map[string]func(*Options, string) error{
	"engine":       oneOf(func(o *Options) *string { return &o.Engine }, EngineAuto, EngineMarker, EngineOCR, EngineText, EngineNull),
	"auto":         setAuto,
	"output":       oneOf(func(o *Options) *string { return &o.Output }, OutputMarkdown, OutputJSON, OutputHTML, OutputChunks),
	"priority":     oneOf(func(o *Options) *string { return &o.Priority }, LaneInteractive, LaneBulk),
	"force-ocr":    yesNo(func(o *Options) *bool { return &o.ForceOCR }),
	"images":       yesNo(func(o *Options) *bool { return &o.Images }),
	"pages":        func(o *Options, v string) (err error) { o.Pages, err = pages.Parse(v); return err },
	"password-ref": setPasswordRef,
	"timeout":      setTimeout,
	"needs":        setNeeds,

	"engine-options": setEngineOptions,
}

// Names lists the options a drop may carry, sorted, without the prefix. `correlation-id` is carried beside them.
func Names() []string { return slices.Sorted(maps.Keys(parsers)) }

// Set changes one option by name. The error names the option, the value and what is allowed.
func (o *Options) Set(name, value string) error {
	parse, known := parsers[name]
	if !known {
		return fmt.Errorf("unknown option %q: known are %s", name, strings.Join(Names(), ", "))
	}
	if err := parse(o, strings.TrimSpace(value)); err != nil {
		return fmt.Errorf("option %s: %w", name, err)
	}
	return nil
}

// FromMetadata reads the options and the correlation id of an object's user metadata. Keys without the prefix belong to somebody else
// and are ignored; every fault is reported, joined.
func FromMetadata(metadata map[string]string) (options Options, correlationID string, err error) {
	options = Default()
	var faults []error
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		name, ours := strings.CutPrefix(strings.ToLower(key), MetadataPrefix)
		switch {
		case !ours:
		case name == "correlation-id":
			if correlationID = metadata[key]; len(correlationID) > 256 {
				faults = append(faults, errors.New("option correlation-id: longer than 256 bytes"))
				correlationID = ""
			}
		default:
			faults = append(faults, options.Set(name, metadata[key]))
		}
	}
	return options, correlationID, errors.Join(faults...)
}

func oneOf(field func(*Options) *string, allowed ...string) func(*Options, string) error {
	return func(o *Options, v string) error {
		if !slices.Contains(allowed, v) {
			return fmt.Errorf("%q is not one of %s", v, strings.Join(allowed, ", "))
		}
		*field(o) = v
		return nil
	}
}

func yesNo(field func(*Options) *bool) func(*Options, string) error {
	return func(o *Options, v string) error {
		switch v {
		case "yes", "true":
			*field(o) = true
		case "no", "false":
			*field(o) = false
		default:
			return fmt.Errorf("%q is not yes or no", v)
		}
		return nil
	}
}

// setAuto leaves the default policy unsaid, so that saying it makes no other job.
func setAuto(o *Options, v string) error {
	err := oneOf(func(o *Options) *string { return &o.Auto }, AutoFast, AutoBalanced, AutoBest)(o, v)
	if o.Auto == AutoBalanced {
		o.Auto = ""
	}
	return err
}

func setPasswordRef(o *Options, v string) error {
	if len(v) > 64 || strings.ContainsFunc(v, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) {
		return errors.New("a secret's name has at most 64 letters, digits, '-' and '_' (give the name, never the password)")
	}
	o.PasswordRef = v
	return nil
}

// maxEngineOptions bounds how many options of its own an engine is given.
const maxEngineOptions = 32

var engineOption = regexp.MustCompile(`^([a-z][a-z0-9-]{0,63})=([A-Za-z0-9._-]{1,64})$`)

// setEngineOptions reads `quality=fast disable-ocr=yes`, separated by spaces or commas.
func setEngineOptions(o *Options, v string) error {
	found := map[string]string{}
	for _, word := range strings.FieldsFunc(v, func(r rune) bool { return r == ' ' || r == ',' }) {
		parts := engineOption.FindStringSubmatch(word)
		if parts == nil {
			return fmt.Errorf("%q is not NAME=VALUE, like quality=fast", word)
		}
		found[parts[1]] = parts[2]
	}
	if len(found) > maxEngineOptions {
		return fmt.Errorf("%d options, the limit is %d", len(found), maxEngineOptions)
	}
	o.EngineOptions = nil
	if len(found) > 0 {
		o.EngineOptions = found
	}
	return nil
}

func setTimeout(o *Options, v string) error {
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 || d > MaxTimeout {
		return fmt.Errorf("%q is not a time between 1ms and %s, like 90s or 10m", v, MaxTimeout)
	}
	o.Timeout = d.Seconds()
	return nil
}
