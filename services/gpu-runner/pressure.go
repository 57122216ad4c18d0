package gpurunner

import (
	"sync"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// pressure counts how often each range has run out of memory here. It is only kept in memory: another process begins with a modest try.
type pressure struct {
	mu    sync.Mutex
	times map[string]int
}

// mostPressures bounds what is kept: ranges that went elsewhere are never forgotten otherwise.
const mostPressures = 10_000

func (p *pressure) of(m event.Range) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.times[m.MessageID()]
	if m.Because == failure.OOM || m.Because == failure.HostOOM {
		n++
	}
	return n
}

// count takes in how a try has ended.
func (p *pressure) count(m event.Range, class failure.Class) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if class != failure.OOM && class != failure.HostOOM {
		delete(p.times, m.MessageID())
		return
	}
	if p.times == nil || len(p.times) >= mostPressures {
		p.times = map[string]int{}
	}
	p.times[m.MessageID()]++
}

// forget drops what is known of a range that has become others.
func (p *pressure) forget(m event.Range) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.times, m.MessageID())
}
