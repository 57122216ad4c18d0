package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// natsLog passes the server's log on. Notices are of interest only when looking for a fault.
type natsLog struct {
	log    *slog.Logger
	fatal  chan<- error // the first of them explains a start that fails
	broken chan<- error // the first write that failed
}

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}

// Errorf also hears of a stream that could not be written: the server tells nobody else, answers no publisher any more, and does not try again.
func (l natsLog) Errorf(format string, v ...any) {
	l.log.Error("nats: " + fmt.Sprintf(format, v...))
	if !strings.Contains(format, "ritical write error") {
		return
	}
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			tell(l.broken, err)
		}
	}
}

func (l natsLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") {
		return // compared in memory, sent over the loopback: a slow hash would add nothing
	}
	l.log.Warn("nats: " + fmt.Sprintf(format, v...))
}

// Fatalf is called where a server of its own would exit; this process decides for itself.
func (l natsLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.log.Error("nats: " + err.Error())
	tell(l.fatal, err)
}

// tell sends what somebody may wait for; only the first is of interest.
func tell(to chan<- error, err error) {
	select {
	case to <- err:
	default:
	}
}
