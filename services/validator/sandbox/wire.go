// Package sandbox opens documents where they can do no harm: in PDFium compiled to WebAssembly, with no file system and bounded memory, in a process of
// its own that is killed when it takes too long.
//
// What each layer costs (two cores, ordinary files, against native PDFium): WebAssembly 2.5 times the time; a process of its own, 0.1 s a start, shared by
// hundreds of documents. Stopping a call from inside would cost 11 times; a SIGKILL costs nothing.
package sandbox

import "github.com/pdfmill/pdfmill/services/validator/facts"

// setup is the first line that a probe reads.
type setup struct {
	CacheDir string `json:"cache_dir"` // of compiled code; "" compiles anew
	Memory   int64  `json:"memory"`    // bytes of the sandbox
}

// question asks about one document.
type question struct {
	Path     string `json:"path"`
	MaxPages int    `json:"max_pages"` // pages beyond it are counted, not looked at
}

// Codes of an answer.
const (
	codeOK        = "ok"
	codePassword  = "password"
	codeHandler   = "handler"
	codeFormat    = "format"
	codeTrap      = "trap" // the sandbox broke: the probe ends after this answer
	codeUnopened  = "unopened"
	codeOutOfRoom = "out-of-room"
)

// answer is what a probe says of a document.
type answer struct {
	Code   string      `json:"code"`
	Detail string      `json:"detail,omitempty"`
	Facts  facts.Facts `json:"facts"`
	Last   bool        `json:"last,omitempty"` // the probe ends after this answer
}
