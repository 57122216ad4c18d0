package ingest

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

const (
	// MaxConcurrency bounds Config.Concurrency: each document in work is one open scratch file and two connections to the store.
	MaxConcurrency = 256
	// MinScanInterval is the least Config.ScanInterval.
	MinScanInterval = 100 * time.Millisecond
	// maxTurns bounds Config.Turns: each is as many messages in hand as may be in work.
	maxTurns = 16
)

// Config of ingest.
type Config struct {
	Inbox        []string          `name:"inbox" env:"PDFMILL_INBOX" default:"inbox" help:"Where documents are dropped: buckets, or BUCKET/PREFIX for what begins like this there."`
	ScanInterval time.Duration     `name:"scan-interval" env:"PDFMILL_SCAN_INTERVAL" default:"30s" help:"Pause between two listings of an inbox, which find what no event told of (at least 100ms; a listing that takes long makes its pause longer)."`
	MaxBytes     int64             `name:"ingest-max-bytes" env:"PDFMILL_INGEST_MAX_BYTES" default:"2147483648" help:"Bytes of an object at most; a larger one is not even read."`
	Concurrency  int               `name:"ingest-concurrency" env:"PDFMILL_INGEST_CONCURRENCY" default:"4" help:"Objects taken in at once (1 to 256)."`
	Ahead        int               `name:"queue-ahead" env:"PDFMILL_QUEUE_AHEAD" default:"32" help:"Messages that may wait behind ingest, beside twice those in work there. What goes beyond waits in the inbox's queue, where sources take turns; with priority interactive it does not wait."`
	Turns        map[string]int    `name:"turns" env:"PDFMILL_TURNS" placeholder:"SOURCE=N" help:"Turns of a source for each of the others', where they wait: BUCKET/FOLDER=4;…, or BUCKET for what lies in no folder (1 to 16; default 1)."`
	SourceNeeds  map[string]string `name:"source-needs" env:"PDFMILL_SOURCE_NEEDS" placeholder:"SOURCE=NEEDS" help:"What documents of a source need of who converts them, where they don't say it themselves: BUCKET/FOLDER=region=eu;…, or BUCKET for all in it."`
	Scratch      string            `name:"ingest-scratch" env:"PDFMILL_INGEST_SCRATCH" type:"path" help:"Folder for an object while it is read, with room for ingest-concurrency times ingest-max-bytes at worst; default: the system's temporary folder."`

	// Directories are the local folders, as absolute paths, that inbox buckets are: of the gateway that runs in this very process. They are watched, so that
	// copying a file is a drop, and never read: documents come from the store.
	Directories map[string]string `kong:"-"`
}

// Validate reports every setting that can't be used, joined.
func (c Config) Validate() error {
	var faults []error
	fail := func(format string, v ...any) { faults = append(faults, fmt.Errorf(format, v...)) }
	if len(c.Inbox) == 0 || slices.ContainsFunc(c.inboxes(), func(i inbox) bool { return i.bucket == "" }) {
		fail("inbox is %q, it must name at least one bucket", c.Inbox)
	}
	if c.ScanInterval < MinScanInterval {
		fail("scan-interval is %s, it must be at least %s", c.ScanInterval, MinScanInterval)
	}
	if c.MaxBytes < 1 {
		fail("ingest-max-bytes is %d, it must be positive", c.MaxBytes)
	}
	if c.Concurrency < 1 || c.Concurrency > MaxConcurrency {
		fail("ingest-concurrency is %d, it must be 1 to %d", c.Concurrency, MaxConcurrency)
	}
	if c.Ahead < 1 {
		fail("queue-ahead is %d, it must be positive", c.Ahead)
	}
	for source, turns := range c.Turns {
		if turns < 1 || turns > maxTurns {
			fail("turns of %s are %d, they must be 1 to %d", source, turns, maxTurns)
		}
	}
	for source, needs := range c.SourceNeeds {
		if _, err := job.ParseNeeds(needs); err != nil {
			fail("needs of %s: %w", source, err)
		}
	}
	for bucket, dir := range c.Directories {
		if !slices.Contains(c.Inbox, bucket) {
			fail("a folder is given for bucket %q, which is not one of inbox %q", bucket, c.Inbox)
		}
		if !filepath.IsAbs(dir) {
			fail("folder %q of bucket %q is not an absolute path", dir, bucket)
		}
	}
	return errors.Join(faults...)
}

// needs of a document that names none: those of the longest source that it lies in.
func (c Config) needs(of document.Source) string {
	longest, found := "", ""
	for source, needs := range c.SourceNeeds {
		bucket, folder, in := strings.Cut(source, "/")
		if bucket == of.Bucket && (!in || strings.HasPrefix(of.Key, strings.TrimSuffix(folder, "/")+"/")) && len(source) > len(longest) {
			longest, found = source, needs
		}
	}
	parsed, _ := job.ParseNeeds(found) // Validate has read it
	return parsed
}
