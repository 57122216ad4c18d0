// Package fakechild is a runner that misbehaves on order. It speaks the runner protocol, converts nothing, and its faults are its
// configuration: tests of whatever keeps workers start it instead of an engine. A test binary becomes the child by calling Become in TestMain.
package fakechild

import (
	"encoding/json"
	"fmt"
	"os"
)

// Variable is the environment variable that holds the Config of a child, as JSON.
const Variable = "FAKECHILD"

// Step is a moment in a child's life at which a Fault can happen.
type Step string

// The steps, in the order in which they come.
const (
	AtStart    Step = "start"    // before hello
	AtHello    Step = "hello"    // instead of hello
	AtReady    Step = "ready"    // instead of ready
	AtIdle     Step = "idle"     // after ready, before reading anything
	AtConvert  Step = "convert"  // a convert has been read, nothing was said
	AtProgress Step = "progress" // instead of the first progress
	AtResult   Step = "result"   // instead of the result
	AtProbe    Step = "probe"    // instead of probed
	AtShutdown Step = "shutdown" // instead of exiting
)

// Fault is what goes wrong. The first that is set, in this order, happens.
type Fault struct {
	Exit      *int   `json:",omitempty"` // exit with this status
	Signal    int    `json:",omitempty"` // die of this signal
	Hang      bool   `json:",omitempty"` // never say anything again, and read nothing
	CloseOut  bool   `json:",omitempty"` // close descriptor 4 and live on
	HalfLine  bool   `json:",omitempty"` // write half a message, then exit with status 0
	GiantLine bool   `json:",omitempty"` // write a line without an end
	Raw       string `json:",omitempty"` // write this line as it is, and go on
	// Error answers with an `error` message of this class; what it says of the context is ContextIntact.
	Error         string `json:",omitempty"`
	ContextIntact bool   `json:",omitempty"`
	// Bump appends "oom_kill N" to the counter file at this path, N one higher, before another fault happens.
	Bump string `json:",omitempty"`
}

// Config is everything a child can be told. The zero Config is a good runner of engine "null".
type Config struct {
	Engine   string         // default "null"
	Protocol int            // version in hello; default 1
	At       map[Step]Fault // what goes wrong, and when

	// OnFile, by the base name of the document, happens at AtConvert for that document only.
	OnFile map[string]Fault
	// SlowFile, by the base name of the document, holds the result back until the file at that path exists.
	SlowFile map[string]string
	// FailStarts makes the first N starts exit with status 3; StateFile counts the starts over processes (one byte each).
	FailStarts int
	StateFile  string
	// ReadyWhen holds ready back until this file exists.
	ReadyWhen string
	// DieAfter exits with status 4 instead of the result of conversion number DieAfter+1; 0: never.
	DieAfter int
	// Grow is how many bytes of memory each conversion leaves behind.
	Grow int
	// NoProgress leaves progress out; EndlessProgress says nothing else for ever.
	NoProgress, EndlessProgress bool
	// WrongID answers with an id that nobody asked for.
	WrongID bool
	// Pry is what it tries to read at each conversion besides the document; what became of that, a line for each, is the text of the first page. "PID N" is a signal
	// to a process, "write PATH" a file that it tries to make, "connect ADDRESS" and "listen ADDRESS" are of TCP.
	Pry []string
	// FewerPages leaves the last page out of the result.
	FewerPages bool
	// ProbeFails answers every probe with ok false.
	ProbeFails bool
	// Chatter is written to stdout and stderr, as one line each, at every step; ChatterBytes is a line of that many bytes.
	Chatter      string
	ChatterBytes int
	// HangOnStop ignores shutdown and the end of the stream.
	HangOnStop bool
	// Grandchild starts a process in the same group that ignores every signal it can and holds all descriptors; its pid is appended to
	// PIDFile, as is the child's own.
	Grandchild bool
	PIDFile    string
	// Stray has the grandchild leave the group, for a session of its own.
	Stray bool
}

// Env is the environment entry that makes a test binary this child.
func (c Config) Env() string {
	raw, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("fakechild: %v", err)) // a struct of plain values
	}
	return Variable + "=" + string(raw)
}

// ExitWith is a Fault that exits with a status.
func ExitWith(status int) Fault { return Fault{Exit: &status} }

// Become turns this process into the child that the environment orders; it returns when there is no such order, and doesn't otherwise. Call it first in TestMain.
func Become() {
	raw, ordered := os.LookupEnv(Variable)
	if !ordered {
		return
	}
	if raw == grandchild {
		haunt()
	}
	var c Config
	if err := json.Unmarshal([]byte(raw), &c); err != nil {
		fmt.Fprintln(os.Stderr, "fakechild:", err)
		os.Exit(2)
	}
	os.Exit((&child{Config: c}).live())
}
