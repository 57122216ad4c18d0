// Package telemetry is how the services are seen: logs, metrics.
package telemetry

import (
	"io"
	"log"
	"log/slog"
	"os"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// Logging says how to log.
type Logging struct {
	Level  slog.Level `name:"log-level" env:"PDFMILL_LOG_LEVEL" default:"info" help:"Least level logged: debug, info, warn, error."`
	Format string     `name:"log-format" env:"PDFMILL_LOG_FORMAT" enum:"auto,text,json" default:"auto" help:"auto: colours on a terminal, JSON elsewhere."`
}

// NewLogger logs to w: for people when w is a terminal (or they ask), as JSON lines elsewhere. What libraries print with the standard logger is asides for
// whoever debugs them, and goes the same way at level debug from now on.
func NewLogger(w *os.File, c Logging) *slog.Logger {
	terminal := term.IsTerminal(int(w.Fd()))
	var handler slog.Handler = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level})
	if c.Format == "text" || (c.Format != "json" && terminal) {
		handler = tint.NewTextHandler(w, &tint.Options{Level: c.Level, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != ""})
	}
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(handler, slog.LevelDebug).Writer())
	return slog.New(handler)
}

// Discard is a logger for those who do not want to hear.
func Discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
