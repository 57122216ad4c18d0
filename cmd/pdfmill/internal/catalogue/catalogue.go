// Package catalogue says what there is to know of an engine before it is installed: what it takes, and under which terms.
package catalogue

import (
	"fmt"
	"slices"
	"strings"
)

// Entry is one engine, or one generation of it, that lives in a Python environment of its own.
type Entry struct {
	Name    string // what the operator calls it
	Engine  string // what the pipeline calls it
	Extra   string // of the runner; "" is the runner itself
	Package string // and its version
	Disk    string // what its packages take
	Code    string // licence of the code
	Weights []Weights
	Terms   string // of the weights
}

// Weights are a model's.
type Weights struct {
	Role       string
	Checkpoint string // hf://OWNER/NAME, with #FILE,FILE for some of its files; or s3://PATH below the publisher's own server
	Server     string // the program that these are for, where there is a choice: vllm, llamacpp; "": always needed
}

// railM are the publisher's words about marker's weights, as the package of each generation has them, with the bound of funding and revenue.
func railM(bound string) string {
	return "modified AI Pubs Open Rail-M license (free for research, personal use, and startups under " + bound + " funding/revenue);\n" +
		"    beyond that, commercial use of the weights needs a licence of the publisher: www.datalab.to/pricing"
}

var all = []Entry{
	{Name: "text", Engine: "text", Package: "liteparse 2.18.0", Disk: "50 MB", Code: "Apache-2.0"},
	{
		Name: "ocr", Engine: "ocr", Extra: "ocr", Package: "rapidocr 3.10.0", Disk: "400 MB", Code: "Apache-2.0",
		Weights: []Weights{{"detection and recognition", "PP-OCRv6 small, in the package", ""}}, Terms: "Apache-2.0",
	},
	{
		Name: "marker", Engine: "marker", Extra: "marker", Package: "marker-pdf 2.0.0", Disk: "6.1 GB", Code: "Apache-2.0", Terms: railM("$5M"),
		Weights: []Weights{
			{"layout", "hf://datalab-to/surya_layout2", ""},
			{"ocr_error", "s3://ocr_error_detection/2025_02_18", ""},
			{"vlm", "hf://datalab-to/surya-ocr-2", "vllm"},
			{"vlm", "hf://datalab-to/surya-ocr-2-gguf#surya-2.gguf,surya-2-mmproj.gguf", "llamacpp"},
		},
	},
	{
		Name: "marker1", Engine: "marker", Extra: "marker1", Package: "marker-pdf 1.10.2", Disk: "4.8 GB", Code: "GPL-3.0-or-later", Terms: railM("$2M"),
		Weights: []Weights{
			{"layout", "s3://layout/2025_09_23", ""},
			{"recognition", "s3://text_recognition/2025_09_23", ""},
			{"table_rec", "s3://table_recognition/2025_02_18", ""},
			{"detection", "s3://text_detection/2025_05_07", ""},
			{"ocr_error", "s3://ocr_error_detection/2025_02_18", ""},
		},
	},
}

// All lists the entries.
func All() []Entry { return slices.Clone(all) }

// Find returns an entry by its name.
func Find(name string) (Entry, error) {
	names := make([]string, len(all))
	for i, e := range all {
		if e.Name == name {
			return e, nil
		}
		names[i] = e.Name
	}
	return Entry{}, fmt.Errorf("there is no engine %q to install; there are: %s", name, strings.Join(names, ", "))
}

// Apart reports whether an engine lives in another environment than the runner's own.
func Apart(engine string) bool {
	return slices.ContainsFunc(all, func(e Entry) bool { return e.Engine == engine && e.Extra != "" })
}

// For returns the weights that are fetched besides the packages, when the vision language model is served by a program.
func (e Entry) For(server string) []Weights {
	return slices.DeleteFunc(slices.Clone(e.Weights), func(w Weights) bool { return w.packaged() || (w.Server != "" && w.Server != server) })
}

// Fetched returns all weights that may be fetched.
func (e Entry) Fetched() []Weights {
	return slices.DeleteFunc(slices.Clone(e.Weights), Weights.packaged)
}

// packaged reports whether weights come with the packages.
func (w Weights) packaged() bool { return !strings.Contains(w.Checkpoint, "://") }

// Conditions is what somebody must know before installing the entry with these weights.
func (e Entry) Conditions(weights []Weights, sizes []Size) string {
	text := fmt.Sprintf("%s: %s\n  packages   %s on disk, in an environment of their own\n  code       %s\n", e.Name, e.Package, e.Disk, e.Code)
	if len(e.Weights) == 0 {
		return text
	}
	label := "  weights    "
	for _, w := range e.Weights {
		if w.packaged() {
			text += fmt.Sprintf("%s%s (%s)\n", label, w.Checkpoint, w.Role)
		}
	}
	for i, w := range weights {
		about := "size not known"
		switch s := sizes[i]; {
		case s.Err != nil:
			about += " now: " + s.Err.Error()
		case s.Bytes >= 1e9:
			about = fmt.Sprintf("%.2f GB", float64(s.Bytes)/1e9)
		case s.Bytes > 0:
			about = fmt.Sprintf("%.1f MB", float64(s.Bytes)/1e6)
		}
		text += fmt.Sprintf("%s%s (%s), %s\n", label, w.Checkpoint, w.Role, about)
		label = "             "
	}
	return text + "  terms of the weights, which need not be the code's:\n    " + e.Terms + "\n"
}
