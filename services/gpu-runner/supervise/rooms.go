package supervise

import (
	"context"
	"errors"
)

// Rooms books memory for the processes of a pool, before they are started. It is asked by each worker's own goroutine.
type Rooms interface {
	// Enter books room for a process. It waits until there is demand for one and room for it; where the process is to be started beside the one that
	// it will replace, it doesn't wait: the error is ErrNoRoom then. It must end with ctx.
	Enter(ctx context.Context, p Place) (Room, error)
}

// ErrNoRoom says that a replacement can't be loaded beside what it replaces.
var ErrNoRoom = errors.New("no room for a second process")

// Place is where a process is to be started.
type Place struct {
	Worker   int
	Name     string
	Isolated bool // for one suspect job
	Beside   bool // the place is still taken by the process that this one will replace
}

// Room is what was booked for one process.
type Room interface {
	// Device is the device's id, "" for none.
	Device() string
	// Loaded tells that the process is ready: what it holds can be measured now.
	Loaded(i Info)
	// Leave tells that the process is gone, or was never started. The error says what it died of, nil when it had been told to go. It must not block.
	Leave(e End, err error)
}

// anywhere has room for everybody.
type anywhere struct{}

func (anywhere) Enter(ctx context.Context, _ Place) (Room, error) { return anywhere{}, ctx.Err() }
func (anywhere) Device() string                                   { return "" }
func (anywhere) Loaded(Info)                                      {}
func (anywhere) Leave(End, error)                                 {}
