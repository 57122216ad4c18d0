package jet

import (
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// SchemaVersion is that of the messages between the stages. It is raised when a message changes so that an earlier version would do the wrong thing with it; a field more is no
// such change, since whoever doesn't know it passes it over. A message says its version in a header, the first one may be without; values in KV buckets have none: a change
// that is not a field more goes into another bucket.
const SchemaVersion = 1

const schemaHeader = "Pdfmill-Schema"

// errNewer says that a message is of a later version than this process knows.
var errNewer = errors.New("a later version of pdfmill wrote it")

// schemaOf is the version of a message.
func schemaOf(h nats.Header) int {
	if version, err := strconv.Atoi(h.Get(schemaHeader)); err == nil {
		return version
	}
	return 1
}

// keepSchema has a copy of a message say the version of the original.
func keepSchema(copied, original nats.Header) {
	if version := original.Get(schemaHeader); version != "" {
		copied.Set(schemaHeader, version)
	}
}

// newerDelay is how long a message of a later version waits for a process that knows it: 1 s, then four times as long each time, some twenty minutes in all, in which an
// installation is upgraded. Then it is a dead letter, which can be replayed.
func newerDelay(attempt int) time.Duration {
	return min(time.Second<<min(2*(attempt-1), 20), 15*time.Minute)
}
