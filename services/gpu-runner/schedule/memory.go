package schedule

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
)

// saveEvery is how often what was learned is saved: what a process learned since is lost when it is killed, and learned again.
const saveEvery = 30 * time.Second

// recall loads what was learned before.
func (s *Scheduler) recall(ctx context.Context) {
	if s.cfg.Store == nil {
		return
	}
	all, err := s.cfg.Store.Peaks(ctx)
	if err != nil {
		s.log.Warn("what was learned of memory can't be read: predictions begin anew", "error", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, data := range all {
		if err := s.predictor.Restore(data); err != nil {
			s.log.Warn("a part of what was learned of memory is dropped", "error", err)
		}
	}
}

// remember saves what was learned since the last time. Of several processes that learn about the same, the last one to save is remembered: what it
// overwrites was as good.
func (s *Scheduler) remember(ctx context.Context) {
	if s.cfg.Store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s.mu.Lock()
	out := map[string][]byte{}
	for key := range s.dirty {
		if data, err := s.predictor.Save(key); err == nil {
			out[nameOf(key)] = data
		}
	}
	s.dirty = map[predict.Key]bool{}
	s.mu.Unlock()
	for name, data := range out {
		if err := s.cfg.Store.SavePeaks(ctx, name, data); err != nil {
			s.log.Debug("what was learned of memory is not saved", "error", err)
		}
	}
}

func nameOf(k predict.Key) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%g", k.Engine, k.Version, k.Model, k.Scale))
	return hex.EncodeToString(sum[:16])
}
