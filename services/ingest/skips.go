package ingest

import (
	"context"
	"log/slog"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// mostSkips bounds how many skipped names are remembered, in order to tell each once.
const mostSkips = 10_000

// skips tells, once each, what is not taken and why.
type skips struct {
	log   *slog.Logger
	count atomic.Int64

	mu   sync.Mutex
	told map[string]bool
}

func newSkips(log *slog.Logger) *skips { return &skips{log: log, told: map[string]bool{}} }

// skip notes that bucket/key is not taken. Temporary and hidden names come and go by design; the rest may surprise whoever put it there.
func (s *skips) skip(bucket, key, reason string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := bucket + "/" + key + "\x00" + reason
	if s.told[name] {
		return
	}
	if len(s.told) >= mostSkips {
		clear(s.told)
	}
	s.told[name] = true
	s.count.Add(1)
	level := slog.LevelWarn
	if reason == reasonHidden || reason == reasonTemporary {
		level = slog.LevelDebug
	}
	s.log.Log(context.Background(), level, "not taken from the inbox", "bucket", bucket, "key", key, "reason", reason)
}

// Why something is not taken.
const (
	reasonHidden     = "hidden: its name, or a folder's on the way to it, begins with a dot"
	reasonTemporary  = "temporary: its name says that somebody is still writing it"
	reasonLink       = "symbolic link: pdfmill takes only files that are themselves in the inbox (copy it)"
	reasonReached    = "it is reached through a symbolic link: pdfmill takes only files that are themselves in the inbox (copy it)"
	reasonSpecial    = "neither a file nor a folder"
	reasonName       = "its name is not UTF-8, so it is no object key (rename it)"
	reasonForeign    = "its name is not a plain path below the inbox"
	reasonUnreadable = "it can't be read (check its permissions)"
	reasonUnknown    = "the store does not show it as an object (rename it)"
	reasonVanished   = "its name can't be told from the listing (rename it)"
)

// temporary are the ends of names that programs give to files they have not finished.
var temporary = []string{".part", ".tmp", ".crdownload", ".filepart", ".swp", "~"}

// unwanted says why a file with this key is not taken from a folder, or "".
func unwanted(key string) string {
	if !utf8.ValidString(key) {
		return reasonName
	}
	for part := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(part, ".") {
			return reasonHidden
		}
	}
	base := strings.ToLower(path.Base(key))
	for _, end := range temporary {
		if strings.HasSuffix(base, end) {
			return reasonTemporary
		}
	}
	return ""
}
