// Package telemetry is how the services are seen: logs, metrics.
package telemetry

import (
	"io"
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

// NewLogger logs to w: for people when w is a terminal (or they ask), as JSON lines elsewhere.
func NewLogger(w *os.File, c Logging) *slog.Logger {
	terminal := term.IsTerminal(int(w.Fd()))
	if c.Format == "text" || (c.Format != "json" && terminal) {
		return slog.New(tint.NewHandler(w, &tint.Options{Level: c.Level, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != ""}))
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.Level}))
}

// Discard is a logger for those who do not want to hear.
func Discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
