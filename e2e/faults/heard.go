package faults

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// heard is what somebody with a plain subscription heard of ends: it may miss some while NATS is away, and says when by this process' clock.
type heard struct {
	mu    sync.Mutex
	count map[string]int // by inbox key
	times []time.Time
}

func hear(t testing.TB, nc *nats.Conn) *heard {
	t.Helper()
	h := &heard{count: map[string]int{}}
	for _, subject := range []string{"pdf.converted", "pdf.failed"} {
		_, err := nc.Subscribe(subject, func(m *nats.Msg) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.count[strings.TrimPrefix(m.Header.Get("ce-subject"), inbox+"/")]++
			h.times = append(h.times, time.Now())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// ends is how many ends of drops of a key were heard of.
func (h *heard) ends(key string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.count[key]
}

// all is when ends were heard of.
func (h *heard) all() []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]time.Time{}, h.times...)
}
