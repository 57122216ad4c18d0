package supervise

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	tailBytes = 64 << 10 // kept of a worker's output for error reports
	logBytes  = 4 << 10  // of one line that reaches the log; the rest of it is only counted
)

// tail keeps the last bytes written to it. It is safe for concurrent use.
type tail struct {
	mu   sync.Mutex
	ring []byte
	at   int  // where the next byte goes
	full bool // the ring has wrapped
}

func newTail(size int) *tail { return &tail{ring: make([]byte, size)} }

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	written := len(p)
	if len(p) > len(t.ring) {
		p = p[len(p)-len(t.ring):]
		t.full = true
	}
	for len(p) > 0 {
		n := copy(t.ring[t.at:], p)
		p = p[n:]
		if t.at += n; t.at == len(t.ring) {
			t.at, t.full = 0, true
		}
	}
	return written, nil
}

// String returns what is kept, as valid UTF-8; the first line may be cut.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := append([]byte(nil), t.ring[:t.at]...)
	if t.full {
		kept = append(append([]byte(nil), t.ring[t.at:]...), kept...)
		for len(kept) > 0 && !utf8.RuneStart(kept[0]) {
			kept = kept[1:]
		}
	}
	return strings.ToValidUTF8(string(kept), "\uFFFD")
}

// capture reads a worker's output to its end: everything into keep, each line to the log at debug level.
func capture(out io.Reader, keep io.Writer, log *slog.Logger) {
	in := bufio.NewReaderSize(io.TeeReader(out, keep), logBytes)
	for {
		line, err := in.ReadSlice('\n')
		long := 0
		for errors.Is(err, bufio.ErrBufferFull) {
			if long == 0 {
				line = append([]byte(nil), line...) // the next ReadSlice overwrites it
			}
			var more []byte
			more, err = in.ReadSlice('\n')
			long += len(more)
		}
		if len(line) > 0 {
			attrs := []slog.Attr{slog.String("line", strings.TrimRight(strings.ToValidUTF8(string(line), "\uFFFD"), "\r\n"))}
			if long > 0 {
				attrs = append(attrs, slog.Int("bytes_left_out", long))
			}
			log.LogAttrs(context.Background(), slog.LevelDebug, "worker output", attrs...)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, os.ErrClosed) {
				log.Warn("worker output lost", "error", err)
			}
			return
		}
	}
}
