package embedded

import (
	"fmt"
	"log/slog"
	"strings"
)

// natsLog passes the server's log on. Notices are of interest only when looking for a fault.
type natsLog struct {
	log   *slog.Logger
	fatal chan<- error // the first of them explains a start that fails
}

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}

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
	select {
	case l.fatal <- err:
	default:
	}
}
