package main

import (
	"log/slog"
	"os"

	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// logger logs to w, at level unless the command line asks for another.
func (g *globals) logger(w *os.File, level slog.Level) *slog.Logger {
	if g.LogLevel != "" {
		_ = level.UnmarshalText([]byte(g.LogLevel)) // kong has checked the text
	}
	return telemetry.NewLogger(w, telemetry.Logging{Level: level, Format: g.LogFormat})
}
