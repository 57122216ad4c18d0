// Package failure is the one vocabulary of what can go wrong, shared by dead-letter subjects, events, metrics, exit
// reports and the Python runner. A decision (retry, split, give up) reads a Class, never an error's text.
package failure

import (
	"errors"
	"fmt"
	"strings"
)

// Class names a kind of failure. It is a NATS subject token: lower case, no dots, no spaces.
type Class string

// The classes. Their meaning for an operator, and what to do about each, is in docs/operations.md.
const (
	NotPDF           Class = "not-pdf"
	PDFCorrupt       Class = "pdf-corrupt"
	PDFEncrypted     Class = "pdf-encrypted"
	PDFEmpty         Class = "pdf-empty"
	LimitBytes       Class = "limit-bytes"
	LimitPages       Class = "limit-pages"
	LimitPageSize    Class = "limit-page-size"
	LimitPixels      Class = "limit-pixels"
	LimitObjects     Class = "limit-objects"
	LimitContent     Class = "limit-content"
	LimitChars       Class = "limit-chars"
	LimitNesting     Class = "limit-nesting"
	LimitTime        Class = "limit-time"
	LimitPageTime    Class = "limit-page-time"
	LimitMemory      Class = "limit-memory"
	SourceGone       Class = "source-gone"
	SourceChanged    Class = "source-changed"
	StoreUnavailable Class = "store-unavailable"
	DeviceAssert     Class = "device-assert"
	OOM              Class = "oom"
	HostOOM          Class = "host-oom"
	Crash            Class = "crash"
	CrashLoop        Class = "crash-loop"
	Timeout          Class = "timeout"
	ModelBug         Class = "model-bug"
	Unhealthy        Class = "unhealthy"
	EngineMissing    Class = "engine-missing"
	EngineError      Class = "engine-error"
	InvalidMessage   Class = "invalid-message"
	Cancelled        Class = "cancelled"
	OverQuota        Class = "over-quota"
)

// policy is what a class means to whoever has to decide.
type policy struct {
	permanent bool // trying the same again cannot help
	pageFault bool // a page of the range may be the cause, so a smaller range may get through
	replay    bool // an operator who changed nothing may still see a replay succeed
}

var policies = map[Class]policy{
	NotPDF:           {permanent: true},
	PDFCorrupt:       {permanent: true},
	PDFEncrypted:     {permanent: true},
	PDFEmpty:         {permanent: true},
	LimitBytes:       {permanent: true},
	LimitPages:       {permanent: true},
	LimitPageSize:    {permanent: true},
	LimitPixels:      {permanent: true},
	LimitObjects:     {permanent: true},
	LimitContent:     {permanent: true},
	LimitChars:       {permanent: true},
	LimitNesting:     {permanent: true},
	LimitTime:        {permanent: true, replay: true},
	LimitPageTime:    {permanent: true, replay: true},
	LimitMemory:      {permanent: true},
	SourceGone:       {permanent: true},
	SourceChanged:    {permanent: true},
	InvalidMessage:   {permanent: true},
	CrashLoop:        {permanent: true, replay: true},
	Cancelled:        {permanent: true, replay: true},
	OverQuota:        {permanent: true, replay: true},
	EngineMissing:    {permanent: true, replay: true},
	StoreUnavailable: {replay: true},
	Unhealthy:        {replay: true},
	DeviceAssert:     {pageFault: true, replay: true},
	OOM:              {pageFault: true, replay: true},
	HostOOM:          {pageFault: true, replay: true},
	Crash:            {pageFault: true, replay: true},
	Timeout:          {pageFault: true, replay: true},
	ModelBug:         {pageFault: true, replay: true},
	EngineError:      {pageFault: true, replay: true},
}

// Valid reports whether c belongs to the vocabulary.
func (c Class) Valid() bool { _, ok := policies[c]; return ok }

// Permanent reports whether the same attempt would fail again whatever the weather.
func (c Class) Permanent() bool { return policies[c].permanent }

// PageFault reports whether one page may be to blame, so that splitting the range can save the others.
func (c Class) PageFault() bool { return policies[c].pageFault }

// Retryable reports whether a replay with nothing changed can succeed; `pdf.failed` carries it.
func (c Class) Retryable() bool { return policies[c].replay }

// Classes lists the vocabulary, unordered.
func Classes() []Class {
	all := make([]Class, 0, len(policies))
	for c := range policies {
		all = append(all, c)
	}
	return all
}

// Error is a failure with everything a person needs: what was tried, on what, why it failed, what to do.
type Error struct {
	Class   Class
	Op      string // what was tried: "open", "convert pages"
	Subject string // on what: a key, a job, a range
	Err     error  // the cause; may be nil when Class says it all
	Hint    string // one sentence saying what to do, or ""
	Detail  string // long evidence kept in the dead letter: a traceback, the tail of a worker's log

	final bool
}

// New returns a classified error. A cause that already carries a class keeps its detail and hint.
func New(class Class, op, subject string, cause error) *Error {
	e := &Error{Class: class, Op: op, Subject: subject, Err: cause}
	if inner := (*Error)(nil); errors.As(cause, &inner) {
		e.Hint, e.Detail = inner.Hint, inner.Detail
	}
	return e
}

// Newf is New with the cause formatted as by fmt.Errorf.
func Newf(class Class, op, subject, format string, args ...any) *Error {
	return New(class, op, subject, fmt.Errorf(format, args...))
}

// Final marks e as not worth another attempt, whatever its class: everything that could help was tried.
func (e *Error) Final() *Error { e.final = true; return e }

// Permanent reports whether another attempt at what failed with err is pointless: its class says so, or somebody marked it final.
func Permanent(err error) bool {
	e := (*Error)(nil)
	return errors.As(err, &e) && (e.final || e.Class.Permanent())
}

// WithHint returns e with a sentence that says what to do.
func (e *Error) WithHint(hint string) *Error { e.Hint = hint; return e }

// WithDetail returns e with long evidence attached.
func (e *Error) WithDetail(detail string) *Error { e.Detail = detail; return e }

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(e.Op + " " + e.Subject))
	if e.Err != nil {
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" && !strings.Contains(b.String(), e.Hint) { // the cause may have said it
		b.WriteString(" (" + e.Hint + ")")
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class an error carries, or fallback when it carries none.
func ClassOf(err error, fallback Class) Class {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Class
	}
	return fallback
}

// DetailOf returns the long evidence an error carries, or "".
func DetailOf(err error) string {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Detail
	}
	return ""
}

// Sentence returns what a person should read: the cause and the hint, without the machinery around it.
func Sentence(err error) string {
	e := (*Error)(nil)
	if !errors.As(err, &e) {
		return err.Error()
	}
	cause := string(e.Class)
	if e.Err != nil {
		cause = e.Err.Error()
	}
	if inner := (*Error)(nil); e.Err != nil && errors.As(e.Err, &inner) {
		return Sentence(inner)
	}
	if e.Hint != "" {
		return cause + " (" + e.Hint + ")"
	}
	return cause
}

// Chain returns the messages of err and of everything it wraps, outermost first, at most 16; what wraps without saying anything is left out.
func Chain(err error) []string {
	var chain []string
	for err != nil && len(chain) < 16 {
		if text := err.Error(); len(chain) == 0 || chain[len(chain)-1] != text {
			chain = append(chain, text)
		}
		err = errors.Unwrap(err)
	}
	return chain
}
