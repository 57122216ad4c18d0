package event_test

import (
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// replay starts the next pass of a dead letter's drop, as deadletter.Box does: it publishes and marks, or dies in between.
func (p *protocol) replay(t *rapid.T) {
	r := p.dead[rapid.SampledFrom(slices.Sorted(maps.Keys(p.dead))).Draw(t, "dead letter")]
	if r.Job.Pass < p.marks[r.Job.Drop] || p.marks[r.Job.Drop] >= 2 {
		return
	}
	p.nextPass(t, r.Job.Drop, r.Job.Pass, func(pass int) stage.Output {
		out, err := event.Replay(r, pass, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		return out
	})
}

// nextPass is deadletter.Box's: it notes the pass, publishes, and records that it did, or dies before each.
func (p *protocol) nextPass(t *rapid.T, drop string, after int, start func(pass int) stage.Output) {
	pass := max(p.marks[drop], after) + 1
	if p.begun[drop] >= pass {
		if pass = p.begun[drop]; p.stale[drop] >= pass {
			pass++
		}
	}
	p.begun[drop] = pass
	if rapid.IntRange(0, 5).Draw(t, "dies before") == 0 {
		return
	}
	p.publish(start(pass))
	if rapid.Bool().Draw(t, "marks") {
		p.marks[drop] = pass
	}
}

// good are the pages whose results a pass may use.
func (p *protocol) good(j job.Job) (all pages.Set) {
	for key := range p.store {
		dir := strings.TrimSuffix(strings.TrimPrefix(key, j.Prefix()+"ranges/"), "/")
		if r, generation, err := job.ParseRangeDir(dir); err == nil && generation >= j.Generation {
			all = union(all, pages.Set{r})
		}
	}
	return all
}

// reconvert starts the next pass of a drop that has ended, of a generation that the clock of whoever asks gives, right or wrong.
func (p *protocol) reconvert(t *rapid.T) {
	j := rapid.SampledFrom(p.drops).Draw(t, "drop")
	if j.Pass = p.marks[j.Drop]; j.Pass >= 2 || !slices.ContainsFunc(p.told, func(x told) bool { return x.id == event.TerminalID(j) }) {
		return
	}
	j.Generation = rapid.Int64Range(1, 4).Draw(t, "generation")
	p.nextPass(t, j.Drop, j.Pass, func(pass int) stage.Output {
		j.Pass = pass
		return event.Ingested{Job: j}.Output()
	})
}

// cancel marks the passes of the queue as unwanted, and ends them, or dies before.
func (p *protocol) cancel(t *rapid.T) {
	passes := map[string]job.Job{}
	for _, d := range p.work {
		var m event.Ingested
		unmarshal(d, &m)
		passes[m.PassID()] = m.Job
	}
	for _, pass := range slices.Sorted(maps.Keys(passes)) {
		p.cancelled[pass] = true
	}
	if rapid.Bool().Draw(t, "ends them") {
		for _, pass := range slices.Sorted(maps.Keys(passes)) {
			p.endCancelled(passes[pass])
		}
	}
}

// endCancelled is the broker's: one dead letter and one end, unless the pass has one.
func (p *protocol) endCancelled(j job.Job) {
	if p.ends[j.PassID()] == "" {
		d := &delivery{data: []byte("{}")}
		p.bury(0, d, "cancel "+j.PassID(), failure.Cancelled, j, nil)
	}
	p.tell(j)
}

// sweepOn goes on with the sweep of the document's results by one step, or begins anew.
func (p *protocol) sweepOn(t *rapid.T) {
	j, s := p.drops[0], &p.sweep
	if rapid.IntRange(0, 9).Draw(t, "sweeper dies") == 0 {
		*s = sweep{}
	}
	switch s.step {
	case 0:
		*s = sweep{}
		for key := range p.store {
			s.objects = append(s.objects, key)
			name := strings.TrimSuffix(strings.TrimPrefix(key, j.Prefix()+"ranges/"), "/")
			if _, generation, err := job.ParseRangeDir(name); err == nil {
				s.top = max(s.top, generation)
			}
			if generation, ok := job.ParseSweepMark(name); ok {
				s.top = max(s.top, generation)
			}
		}
	case 1:
		mark := j.SweepMark(max(s.top+1, rapid.Int64Range(1, 4).Draw(t, "generation")))
		p.store[mark] = true
		s.objects = append(s.objects, mark)
	case 2:
		s.live = len(p.work) > 0 // the queue holds this document only
	case 3:
		for _, key := range s.objects {
			if !s.live {
				delete(p.store, key)
			}
		}
	}
	s.step = (s.step + 1) % 4
}
