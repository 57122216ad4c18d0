package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/unprivileged"
)

// Config says how probes are started, and what an inspection may take.
type Config struct {
	Command   []string      // program and arguments of a process that calls Main
	CacheDir  string        // for compiled code (21 MB), private to the user; "" compiles at each start (3 s)
	Memory    int64         // bytes of a sandbox; default 256 MiB
	Limit     time.Duration // for opening one document; default 20 s
	PageLimit time.Duration // for looking into one page; default 5 s
	Bounds    Bounds        // of a page
	Effort    Effort        // spent on facts
	Probes    int           // at once
	Recycle   int           // documents after which a probe is replaced; default 500
	// User is whom a probe becomes; nil: it stays the user of this process. Documents are made readable to that user.
	User *unprivileged.User
}

// cpu is the processor time that one question may take, however it is dealt with by the clock: opening, the pages, one page too long, and room for the
// garbage collector.
func (c Config) cpu() time.Duration { return 2 * (c.Limit + c.Effort.Load + c.PageLimit) }

// CacheDir is where compiled code belongs below the folder for what can be made again.
func CacheDir(cache string) string { return filepath.Join(cache, "wasm") }

// Errors that say what the sandbox found.
var (
	ErrPassword = errors.New("it can't be opened without a password")
	ErrHandler  = errors.New("it is encrypted with a security handler that PDFium does not know")
	ErrFormat   = errors.New("PDFium can't open it")
)

// Pool keeps probes and hands each document to one.
type Pool struct {
	config Config
	slots  chan struct{}

	mu     sync.Mutex
	idle   []*child
	closed bool
}

// NewPool returns a pool without probes; they start when there is something to look at, or with Warm.
func NewPool(c Config) (*Pool, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("no command to start a PDFium probe with")
	}
	if c.Memory == 0 {
		c.Memory = 256 << 20
	}
	if c.Limit == 0 {
		c.Limit = 20 * time.Second
	}
	if c.PageLimit == 0 {
		c.PageLimit = 5 * time.Second
	}
	if c.Recycle == 0 {
		c.Recycle = 500
	}
	if c.CacheDir != "" {
		if err := os.MkdirAll(c.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("folder for compiled code: %w (name another cache folder with --cache or PDFMILL_CACHE)", err)
		}
	}
	return &Pool{config: c, slots: make(chan struct{}, max(c.Probes, 1))}, nil
}

// Warm starts one probe, so that the first document does not wait for it.
func (p *Pool) Warm(ctx context.Context) error {
	c, err := p.start(ctx)
	if err != nil {
		return err
	}
	p.giveBack(c)
	return nil
}

// Close ends all probes that have nothing in hand; the others end with what they have.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.kill()
	}
}

// take returns a probe: one that has served before, or, when fresh, a new one.
func (p *Pool) take(ctx context.Context, fresh bool) (*child, error) {
	if !fresh {
		p.mu.Lock()
		if n := len(p.idle); n > 0 {
			c := p.idle[n-1]
			p.idle = p.idle[:n-1]
			p.mu.Unlock()
			return c, nil
		}
		p.mu.Unlock()
	}
	return p.start(ctx)
}

func (p *Pool) giveBack(c *child) {
	p.mu.Lock()
	if !p.closed && c.asked < p.config.Recycle && len(p.idle) < cap(p.slots) {
		p.idle = append(p.idle, c)
		c = nil
	}
	p.mu.Unlock()
	if c != nil {
		c.kill()
	}
}
