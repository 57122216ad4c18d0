package ingest

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pdfmill/pdfmill/pipeline/document"
)

// shareOfTime bounds what looking through an inbox costs: the pause after a pass is at least this many times as long as the pass.
const shareOfTime = 9

// nextPass is the pause after a pass that took so long. Jitter keeps processes that started together apart.
func nextPass(interval, took time.Duration) time.Duration {
	interval = max(interval, shareOfTime*took)
	return interval - interval/10 + rand.N(interval/5+1)
}

// listing finds what no event told of in a bucket that some store holds.
type listing struct {
	*Service
	inbox
}

func (s *Service) newListing(in inbox) *listing { return &listing{s, in} }

// run lists at once and then at intervals, until ctx ends.
func (l *listing) run(ctx context.Context) {
	for ctx.Err() == nil {
		started := time.Now()
		if err := l.pass(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("could not list an inbox, will try again", "inbox", l.inbox, "err", err)
		}
		pause(ctx, nextPass(l.config.ScanInterval, time.Since(started)))
	}
}

// pass drops in every object that is not known. It goes on when some can't be: their lane may be full, and the others' not.
func (l *listing) pass(ctx context.Context) error {
	var batch []document.Source
	var refused error
	send := func() {
		if err := l.hints.send(ctx, l.now(), batch); err != nil {
			refused = err // the latest is as good as all
		}
		batch = batch[:0]
	}
	for info, err := range l.platform.Store.List(ctx, l.bucket, l.prefix) {
		if err != nil {
			return err
		}
		source := sourceOf(info)
		if strings.HasSuffix(info.Key, "/") || l.known.about(source, true, l.now()) == settled || !l.real(ctx, info.Key) {
			continue
		}
		if batch = append(batch, source); len(batch) == hintBatch {
			if send(); ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	if send(); refused != nil {
		return refused
	}
	l.scans.Add(1)
	return nil
}

// real says whether the key is what it looks like: a listing is XML, which has no way to write some characters.
func (l *listing) real(ctx context.Context, key string) bool {
	if !strings.ContainsRune(key, utf8.RuneError) {
		return true
	}
	if _, err := l.platform.Store.Stat(ctx, l.bucket, key); err != nil {
		l.skips.skip(l.bucket, key, reasonVanished)
		return false
	}
	return true
}
