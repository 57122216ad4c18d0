// Package protocol is the Go side of the runner protocol, version 1: one JSON object a line between gpu-runner and the Python
// process that owns an engine. The words are in contract/README.md; this package accepts exactly what that page allows.
package protocol

import "errors"

// Version is the protocol that this side speaks. A runner that greets with another one is refused.
const Version = 1

// MaxLine bounds one message, in bytes, without its line end. Bulk data travels as files, so a longer line is a fault.
const MaxLine = 1 << 20

// File descriptors of the child, as seen by the child.
const (
	FDRequests = 3 // the runner reads messages here
	FDReplies  = 4 // the runner writes messages here
)

// ErrBroken is wrapped by every error that says: this is not the protocol. After it a conversation cannot go on.
var ErrBroken = errors.New("runner protocol broken")

// ErrVersion is wrapped, beside ErrBroken, when a runner greets with another protocol version than Version.
var ErrVersion = errors.New("another protocol version")

// Values of Options.Mode.
const (
	ModeDefault = "default"
	ModePlain   = "plain" // the engine's simplest way, for a page on which the default way died
)

// Values of Page.Status.
const (
	PageOK     = "ok"
	PageFailed = "failed"
)

// Warnings of a page: a closed list.
const (
	WarnNoText    = "no-text"   // the page has no text layer that this engine can read
	WarnTruncated = "truncated" // some of the page's text was left out
	WarnDegraded  = "degraded"  // converted in a simpler way than asked for
	WarnLossy     = "lossy"     // less of the text layer came out than the bound asks for, and no other way gave more
)
