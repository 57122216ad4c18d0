package protocol

import "github.com/pdfmill/pdfmill/pipeline/failure"

// Message is one line of the conversation: a pointer to one of the message types of this package.
type Message interface {
	kind() string
	check() error
}

// Every field of a message is required, unless its tag says omitempty. Sizes are bytes, times seconds, pages 1-based.

// Hello is the first word of a runner.
type Hello struct {
	Protocol     int               `json:"protocol"`
	PID          int               `json:"pid"`
	Engine       string            `json:"engine"`
	Versions     map[string]string `json:"versions"`
	Device       string            `json:"device"` // "cpu", "cuda:0" …
	Capabilities Capabilities      `json:"capabilities"`
}

// Capabilities say what an engine can do.
type Capabilities struct {
	Formats      []string `json:"formats"`
	PageRanges   bool     `json:"page_ranges"`
	SharedServer bool     `json:"shared_server"` // the heavy models live in a server of their own
}

// Ready says that the models are loaded; Models names the checkpoint of each, where the engine has any.
type Ready struct {
	LoadSeconds float64           `json:"load_seconds"`
	Memory      Memory            `json:"memory"`
	Models      map[string]string `json:"models,omitempty"`
}

// Memory is what a runner holds after loading, in bytes.
type Memory struct {
	DeviceAllocated int64 `json:"device_allocated"`
	DeviceReserved  int64 `json:"device_reserved"`
	HostRSS         int64 `json:"host_rss"`
}

// Convert asks for a page range of a document.
type Convert struct {
	ID              string  `json:"id"`
	Path            string  `json:"path"` // absolute
	First           int     `json:"first"`
	Last            int     `json:"last"`
	Options         Options `json:"options"`
	OutDir          string  `json:"out_dir"` // absolute, exists, empty
	DeadlineSeconds float64 `json:"deadline_seconds"`
	BatchScale      float64 `json:"batch_scale"`
	// Passwords may open the document; they are tried in order, after none. They are in no other message.
	Passwords []string `json:"passwords,omitempty"`
}

// Options of a conversion. Engine holds those that only some engines know, by name; an engine refuses what it doesn't know.
type Options struct {
	Output   string            `json:"output"`
	Images   bool              `json:"images"`
	ForceOCR bool              `json:"force_ocr"`
	Mode     string            `json:"mode"`
	Engine   map[string]string `json:"engine,omitempty"`
}

// Progress says that a conversion is alive, and how far it is.
type Progress struct {
	ID    string `json:"id"`
	Phase string `json:"phase"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

// Result ends a conversion: one Page for each page of the range, in order. Debug are files that an engine was asked to leave for people to look at.
type Result struct {
	ID      string  `json:"id"`
	Pages   []Page  `json:"pages"`
	Images  []Image `json:"images"`
	Seconds float64 `json:"seconds"`
	Memory  Peak    `json:"memory"`
	Debug   []Image `json:"debug,omitempty"`
}

// Page is the outcome of one page. A failed one has Class and Message and no File. Fidelity is the share of the words of the page's text layer
// that came out, nil where there is nothing to compare with. Engine names who made the page when it was not the engine that was asked. About is a file of JSON,
// what is known of the page beside its text: an event.About.
type Page struct {
	Page     int           `json:"page"`
	Status   string        `json:"status"`
	File     string        `json:"file,omitempty"` // relative to the conversion's out_dir
	Chars    int           `json:"chars"`
	Seconds  float64       `json:"seconds"`
	Warnings []string      `json:"warnings"`
	Class    failure.Class `json:"class,omitempty"`
	Message  string        `json:"message,omitempty"`
	Fidelity *float64      `json:"fidelity,omitempty"`
	Engine   string        `json:"engine,omitempty"`
	About    string        `json:"about,omitempty"` // relative to the conversion's out_dir
}

// Image is a picture cut from a page.
type Image struct {
	Page      int    `json:"page"`
	File      string `json:"file"` // relative to the conversion's out_dir
	MediaType string `json:"media_type"`
	Bytes     int64  `json:"bytes"`
}

// Peak is the most memory that a conversion used, in bytes.
type Peak struct {
	PeakDevice int64 `json:"peak_device"`
	PeakHost   int64 `json:"peak_host"`
}

// EngineError ends a conversion that failed as a whole.
type EngineError struct {
	ID        string        `json:"id"`
	Class     failure.Class `json:"class"`
	Message   string        `json:"message"`
	Traceback string        `json:"traceback"`
	Page      *int          `json:"page"` // nil when not known
	// ContextIntact false means that the process cannot be trusted any more and must be replaced.
	ContextIntact bool `json:"context_intact"`
	Memory        Peak `json:"memory"`
}

// Probe asks for a real operation on the device.
type Probe struct {
	ID string `json:"id"`
}

// Probed answers a Probe.
type Probed struct {
	ID     string `json:"id"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Shutdown asks a runner to exit with status 0.
type Shutdown struct{}

func (*Hello) kind() string       { return "hello" }
func (*Ready) kind() string       { return "ready" }
func (*Convert) kind() string     { return "convert" }
func (*Progress) kind() string    { return "progress" }
func (*Result) kind() string      { return "result" }
func (*EngineError) kind() string { return "error" }
func (*Probe) kind() string       { return "probe" }
func (*Probed) kind() string      { return "probed" }
func (*Shutdown) kind() string    { return "shutdown" }

// Kind returns the message's type as it is written on the wire.
func Kind(m Message) string { return m.kind() }

func blank(kind string) Message {
	switch kind {
	case "hello":
		return new(Hello)
	case "ready":
		return new(Ready)
	case "convert":
		return new(Convert)
	case "progress":
		return new(Progress)
	case "result":
		return new(Result)
	case "error":
		return new(EngineError)
	case "probe":
		return new(Probe)
	case "probed":
		return new(Probed)
	case "shutdown":
		return new(Shutdown)
	}
	return nil
}
