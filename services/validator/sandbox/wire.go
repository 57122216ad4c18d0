// Package sandbox opens documents where they can do no harm: in PDFium compiled to WebAssembly, with no file system and bounded memory, in a process of
// its own that is killed when it takes too long.
//
// What each layer costs (two cores, ordinary files, against native PDFium): WebAssembly 2.5 times the time; a process of its own, 0.1 s a start, shared by
// hundreds of documents. Stopping a call from inside would cost 11 times; a SIGKILL costs nothing.
package sandbox

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/facts"
	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// setup is the first line that a probe reads.
type setup struct {
	CacheDir string        `json:"cache_dir"` // of compiled code; "" compiles anew
	Memory   int64         `json:"memory"`    // bytes of the sandbox
	CPU      time.Duration `json:"cpu"`       // of one question; the kernel ends a probe that nobody stopped
	// User is whom the probe becomes before the first question, once it has what it needs.
	User *unprivileged.User `json:"user,omitempty"`
}

// question asks about one document. It travels on the probe's standard input: a password is in no argument and in no environment.
type question struct {
	Path      string   `json:"path"`
	Passwords []string `json:"passwords,omitempty"` // tried in order, after none
	From      int      `json:"from"`                // first page to look into
	Bounds    Bounds   `json:"bounds"`
	Effort    Effort   `json:"effort"`
	Thumbnail int      `json:"thumbnail,omitempty"` // longest side in pixels; 0 makes none
	Readable  bool     `json:"readable,omitempty"`  // look how readable each page's text is, and how much of it images cover
	Grids     bool     `json:"grids,omitempty"`     // look where tables go on over the edge of a page
}

// Bounds of a page. One that breaks them is named with its class; the others go on.
type Bounds struct {
	Pages       int     `json:"pages"` // of the document: those beyond are counted, not looked at
	Points      float64 `json:"points"`
	Pixels      int64   `json:"pixels"` // of the page at DPI
	DPI         float64 `json:"dpi"`
	ImagePixels int64   `json:"image_pixels"` // of one image
	Objects     int     `json:"objects"`
	Content     int64   `json:"content"` // bytes that the streams of a page inflate to
	Chars       int     `json:"chars"`
	Nesting     int     `json:"nesting"` // of forms within forms
}

// Effort bounds what is spent on facts; what is left out is recorded, never refused.
type Effort struct {
	Load time.Duration `json:"load"` // for loading pages: those that come later only have their size checked
	Text time.Duration `json:"text"` // of it, for counting characters
}

// Codes of an answer.
const (
	codeReady     = "ready"
	codeOpened    = "opened"    // the document opened: Facts is filled but for its pages
	codePage      = "page"      // one page: Page or Failed
	codeDone      = "done"      // all pages were looked at: Summary
	codeThumbnail = "thumbnail" // an afterthought
	codePassword  = "password"  // none of the passwords, or none given, opens it
	codeHandler   = "handler"
	codeFormat    = "format"
	codeTrap      = "trap" // the sandbox broke: the probe ends after this answer
	codeUnopened  = "unopened"
	codeOutOfRoom = "out-of-room"
	codeTooLarge  = "too-large" // what is needed to open it inflates beyond the bound for a page
)

// answer is a line of what a probe says of a document: opened, page …, done, thumbnail; or why not.
type answer struct {
	Code      string            `json:"code"`
	Detail    string            `json:"detail,omitempty"`
	Facts     *facts.Facts      `json:"facts,omitempty"`
	Page      *facts.Page       `json:"page,omitempty"`
	Failed    *facts.FailedPage `json:"failed,omitempty"`
	Summary   *summary          `json:"summary,omitempty"`
	Thumbnail []byte            `json:"thumbnail,omitempty"` // PNG
	At        int               `json:"at,omitempty"`        // of a trap or a lack of room: the page it happened on, 0 before the first
	Last      bool              `json:"last,omitempty"`      // the probe ends after this answer
	Memory    int64             `json:"memory,omitempty"`    // bytes that the sandbox has taken, which it does not give back before it is replaced
}

// summary is what is known when all pages were looked at.
type summary struct {
	Language string      `json:"language,omitempty"` // guessed
	Fonts    facts.Fonts `json:"fonts"`
	Partial  string      `json:"partial,omitempty"`
}
