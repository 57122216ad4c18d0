package ingest

import (
	"context"
	"sync"
	"time"
)

// lookers are those in this process that look through an inbox: they know what was taken. A process that has none asks pdf_sources by key, and holds nothing of it.
type lookers struct {
	mu   sync.Mutex
	n    int
	warm chan struct{} // closed when all that was taken before is known
	end  func()        // of following, and of all that is known by it
}

// informed runs look when all that was taken is known, and keeps that up to date meanwhile. Keys of pdf_sources don't tell in which inbox an object lies: who looks through
// several reads all of it, once.
func (s *Service) informed(ctx context.Context, look func(context.Context)) {
	warm := s.enter()
	defer s.leave()
	select {
	case <-ctx.Done():
	case <-warm:
		look(ctx)
	}
}

func (s *Service) enter() <-chan struct{} {
	l := &s.lookers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n == 1 {
		ctx, cancel := context.WithCancel(context.Background())
		warm, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			s.follow(ctx, sync.OnceFunc(func() { close(warm) }))
		}()
		l.warm, l.end = warm, func() {
			cancel()
			<-ended
			s.known.forget()
		}
	}
	return l.warm
}

func (s *Service) leave() {
	l := &s.lookers
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n--; l.n == 0 {
		l.end()
	}
}

// follow keeps known up to date with what this and other processes take, until ctx ends.
func (s *Service) follow(ctx context.Context, ready func()) {
	for {
		err := s.sources.Follow(ctx, ready, s.known.take)
		if ctx.Err() != nil {
			return
		}
		s.log.Warn("lost sight of what was taken, looking again", "err", err)
		pause(ctx, time.Second)
	}
}
