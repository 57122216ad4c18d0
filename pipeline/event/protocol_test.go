package event_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// protocol is a model of the pipeline: the messages, ids, endings and splits are the real ones, the broker, the store and the stages' rules are reduced to what
// decides about losing a page or ending a job twice. A process may die between any two steps, a message may be delivered again at any time, and the
// broker may forget the ids it has seen.
type protocol struct {
	work  map[int]*delivery // the work queue, by sequence
	next  int
	known map[string]bool // message ids that the broker remembers
	told  []told          // PDF_EVENTS
	dead  map[string]deadletter.Record
	marks map[string]int     // passes started by replays, by drop
	begun map[string]int     // passes that a replay was about to start, or did, by drop
	stale map[string]int     // those begun before the broker forgot ids
	ran   map[string]job.Job // passes that were started

	store    map[string]bool      // keys of good results and of a sweep's marks, as they are
	degraded map[string]pages.Set // by pass
	lost     map[string]pages.Set // by pass
	ends     map[string]string    // passes that a dead letter ended
	failed   map[string]bool      // passes whose end is kept as failed
	revision map[string]bool      // passes that made a revision

	cancelled map[string]bool // passes that nobody wants
	sweep     sweep

	drops []job.Job
	total int // pages of every document
}

// sweep is how far a sweep of the results has come: a process may die, and documents go on, between any two steps.
type sweep struct {
	step    int
	objects []string // listed
	top     int64    // highest generation among them
	live    bool
}

type delivery struct {
	subject  string
	data     []byte
	attempts int
}

// States of an end that a dead letter made.
const (
	pending = "pending" // noted, perhaps not told
	isTold  = "told"
)

type told struct{ id, subject string }

// steps at which a process may die.
const (
	diesBefore = iota // nothing is done
	diesStored        // results are in the store, nothing is published
	diesSent          // what follows is published, the message is not acknowledged
	lives
)

const rangePages = 3

func newProtocol(t *rapid.T) *protocol {
	p := &protocol{
		work: map[int]*delivery{}, known: map[string]bool{}, dead: map[string]deadletter.Record{}, marks: map[string]int{}, begun: map[string]int{}, stale: map[string]int{}, ran: map[string]job.Job{}, store: map[string]bool{}, cancelled: map[string]bool{},
		degraded: map[string]pages.Set{}, lost: map[string]pages.Set{}, failed: map[string]bool{}, ends: map[string]string{}, revision: map[string]bool{},
		total: rapid.IntRange(1, 8).Draw(t, "pages"),
	}
	p.drop()
	return p
}

// drop drops the same document under another name.
func (p *protocol) drop() {
	source := document.Source{Bucket: "inbox", Key: fmt.Sprintf("%d.pdf", len(p.drops)), Size: 7, SHA256: strings.Repeat("ab", 32)}
	j := job.New(source, job.Default(), "", time.Unix(0, 0))
	p.drops = append(p.drops, j)
	p.publish(event.Ingested{Job: j}.Output())
}

// ended reports whether the end of a message's pass is told.
func (p *protocol) ended(d *delivery) bool {
	var m event.Ingested
	unmarshal(d, &m)
	return slices.ContainsFunc(p.told, func(x told) bool { return x.id == event.TerminalID(m.Job) })
}

// publish is the broker's: a known id counts once.
func (p *protocol) publish(outputs ...stage.Output) {
	for _, o := range outputs {
		if p.known[o.ID] {
			continue
		}
		p.known[o.ID] = true
		if o.Subject == event.SubjectConverted || o.Subject == event.SubjectFailed {
			p.told = append(p.told, told{o.ID, o.Subject})
			continue
		}
		data, err := json.Marshal(o.Body)
		if err != nil {
			panic(err)
		}
		if m, is := o.Body.(event.Ingested); is {
			p.ran[m.PassID()] = m.Job
		}
		p.next++
		p.work[p.next] = &delivery{subject: o.Subject, data: data}
	}
}

// deliver gives a message to its stage, whose process dies at a step or lives to acknowledge it.
func (p *protocol) deliver(t *rapid.T, calm bool) {
	seq := rapid.SampledFrom(slices.Sorted(maps.Keys(p.work))).Draw(t, "message")
	d := p.work[seq]
	d.attempts++
	dies := lives
	if !calm {
		dies = rapid.IntRange(diesBefore, lives).Draw(t, "dies")
	}
	if dies == diesBefore {
		return
	}
	var about event.Ingested
	if unmarshal(d, &about); p.ends[about.PassID()] != "" { // a dead letter ended it: that is told, if it was not yet
		if p.ends[about.PassID()] == pending {
			p.tell(about.Job)
		}
		delete(p.work, seq)
		return
	}
	if p.cancelled[about.PassID()] {
		p.endCancelled(about.Job)
		delete(p.work, seq)
		return
	}
	if d.attempts > 1 && p.ended(d) { // what comes again after its end was told is done
		delete(p.work, seq)
		return
	}
	var outputs []stage.Output
	switch {
	case d.subject == event.SubjectIngested:
		outputs = p.validate(t, seq, d, calm)
	case d.subject == event.SubjectRendered:
		outputs = p.join(d)
	default:
		outputs = p.convert(t, seq, d, calm)
	}
	if dies == diesStored {
		return
	}
	if p.ends[about.PassID()] == pending {
		p.tell(about.Job)
	} else {
		p.publish(outputs...)
	}
	if dies == lives {
		delete(p.work, seq)
	}
}

func (p *protocol) validate(t *rapid.T, seq int, d *delivery, calm bool) []stage.Output {
	var m event.Ingested
	unmarshal(d, &m)
	if !calm && rapid.IntRange(0, 9).Draw(t, "refused") == 0 {
		return p.bury(seq, d, stage.Validator, failure.PDFCorrupt, m.Job, nil)
	}
	want := pages.Set{{First: 1, Last: p.total}}
	for key := range p.store {
		if floor, ok := job.ParseSweepMark(strings.TrimPrefix(key, m.Prefix()+"ranges/")); ok {
			m.Generation = max(m.Generation, floor)
		}
	}
	missing := want.Subtract(p.good(m.Job))
	if len(missing) == 0 {
		return []stage.Output{event.Rendered{Job: m.Job, Engine: "text", Total: p.total, Want: want, Cached: true}.Output()}
	}
	var out []stage.Output
	for _, r := range missing {
		for first := r.First; first <= r.Last; first += rangePages {
			out = append(out, event.Range{
				Job: m.Job, Engine: "text", Lane: job.LaneBulk, Range: pages.Range{First: first, Last: min(first+rangePages-1, r.Last)}, Total: p.total, Want: want, Mode: event.ModeDefault,
			}.Output())
		}
	}
	return out
}

func (p *protocol) convert(t *rapid.T, seq int, d *delivery, calm bool) []stage.Output {
	var m event.Range
	unmarshal(d, &m)
	done := event.Rendered{Job: m.Job, Engine: m.Engine, Range: m.Range, Total: m.Total, Want: m.Want, Mode: m.Mode}
	outcome := rapid.SampledFrom([]string{"well", "a page fails", "dies"}).Draw(t, "outcome")
	if calm && outcome == "dies" {
		outcome = "well"
	}
	switch {
	case outcome == "well" && m.Mode == event.ModePlain:
		add(p.degraded, m.PassID(), m.Range)
	case outcome == "well":
		p.store[m.RangePrefix(m.Range)] = true
	case m.Mode == event.ModePlain:
		return p.bury(seq, d, stage.GPURunner, failure.EngineError, m.Job, &m.Range)
	case outcome == "a page fails":
		bad := m.Range.First + rapid.IntRange(0, m.Range.Len()-1).Draw(t, "page")
		for page := m.Range.First; page <= m.Range.Last; page++ {
			if page != bad {
				p.store[m.RangePrefix(pages.Range{First: page, Last: page})] = true
			}
		}
		m.Range, m.Mode = pages.Range{First: bad, Last: bad}, event.ModePlain
		return []stage.Output{m.Output(), done.Output()}
	default:
		a, b, ok := m.Range.Split()
		if !ok {
			m.Mode = event.ModePlain
			return []stage.Output{m.Output()}
		}
		left, right := m, m
		left.Range, right.Range = a, b
		return []stage.Output{left.Output(), right.Output()}
	}
	return []stage.Output{done.Output()}
}

func (p *protocol) join(d *delivery) []stage.Output {
	var m event.Rendered
	unmarshal(d, &m)
	pass := m.PassID()
	for _, f := range m.Failed {
		add(p.lost, pass, pages.Range{First: f.Page, Last: f.Page})
	}
	if p.failed[pass] {
		return []stage.Output{event.Terminal(m.Job, event.SubjectFailed, event.Failed{}, time.Time{})}
	}
	through := union(p.good(m.Job), p.degraded[pass])
	if !union(through, p.lost[pass]).Covers(m.Want) {
		return nil
	}
	if len(through) == 0 {
		p.failed[pass] = true
		return []stage.Output{event.Terminal(m.Job, event.SubjectFailed, event.Failed{}, time.Time{})}
	}
	p.revision[pass] = true
	return []stage.Output{event.Terminal(m.Job, event.SubjectConverted, event.Converted{}, time.Time{})}
}

// bury keeps a dead letter, once, and returns the real endings.
func (p *protocol) bury(seq int, d *delivery, stageName string, class failure.Class, j job.Job, r *pages.Range) []stage.Output {
	record := deadletter.Record{
		ID: deadletter.RecordID(stageName, fmt.Sprint(seq)), Stage: stageName, Class: class, Message: "so it goes", Job: j, PageRange: r, Payload: d.data, Attempts: d.attempts,
	}
	p.dead[record.ID] = record
	endings := event.Ending(record, 1, time.Time{})
	if endings[0].Subject == event.SubjectFailed && p.ends[j.PassID()] == "" {
		p.ends[j.PassID()] = pending
	}
	return endings
}

// tell tells the end that a dead letter made, unless another was told.
func (p *protocol) tell(j job.Job) {
	id := event.TerminalID(j)
	if !slices.ContainsFunc(p.told, func(x told) bool { return x.id == id }) {
		p.publish(event.Terminal(j, event.SubjectFailed, event.Failed{}, time.Time{}))
	}
	p.ends[j.PassID()] = isTold
}

// once checks what must hold at any time: no pass has two ends.
func (p *protocol) once(t *rapid.T) {
	ends := map[string]string{}
	for _, e := range p.told {
		if was, ok := ends[e.id]; ok && was != e.subject {
			t.Fatalf("%s ended as %s and as %s", e.id, was, e.subject)
		}
		ends[e.id] = e.subject
	}
}

// TestProtocol explores it.
func TestProtocol(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProtocol(t)
		t.Repeat(map[string]func(*rapid.T){
			"": p.once,
			"deliver": func(t *rapid.T) {
				if len(p.work) > 0 {
					p.deliver(t, false)
				}
			},
			"replay": func(t *rapid.T) {
				if len(p.dead) > 0 {
					p.replay(t)
				}
			},
			"drop again": func(*rapid.T) {
				if len(p.drops) < 4 {
					p.drop()
				}
			},
			"reconvert": p.reconvert,
			"quiet": func(t *rapid.T) { // everything is worked off
				for len(p.work) > 0 {
					p.deliver(t, true)
					p.once(t)
				}
			},
			"sweep": func(t *rapid.T) {
				for range rapid.IntRange(1, 3).Draw(t, "steps") {
					p.sweepOn(t)
				}
			},
			"cancel": func(t *rapid.T) {
				if len(p.work) > 0 && rapid.IntRange(0, 4).Draw(t, "cancels") == 0 {
					p.cancel(t)
				}
			},
			"forget": func(*rapid.T) { // a night passes
				p.known = map[string]bool{}
				maps.Copy(p.stale, p.begun)
			},
			"crash loop": func(t *rapid.T) { // a message that was delivered too often is buried by somebody else
				for seq, d := range p.work {
					if d.attempts < 4 || !strings.HasPrefix(d.subject, "pdf.validated.") {
						continue
					}
					var m event.Range
					unmarshal(d, &m)
					if p.ended(d) {
						delete(p.work, seq)
						return
					}
					p.publish(p.bury(seq, d, stage.GPURunner, failure.CrashLoop, m.Job, &m.Range)...)
					delete(p.work, seq)
					return
				}
			},
		})
		for range 10_000 { // the storm is over: everything left is worked off, while a sweep goes on
			if len(p.work) == 0 {
				break
			}
			p.sweepOn(t)
			p.deliver(t, true)
			p.once(t)
		}
		if len(p.work) > 0 {
			t.Fatalf("%d messages are never done", len(p.work))
		}
		for _, j := range p.ran {
			if id := event.TerminalID(j); !slices.ContainsFunc(p.told, func(x told) bool { return x.id == id }) {
				t.Fatalf("pass %d of %s has no end", j.Pass, j.Drop)
			}
		}
	})
}

func add(sets map[string]pages.Set, key string, r pages.Range) {
	sets[key] = union(sets[key], pages.Set{r})
}

func union(sets ...pages.Set) pages.Set {
	var all []pages.Range
	for _, s := range sets {
		all = append(all, s...)
	}
	return pages.Union(all...)
}

func unmarshal(d *delivery, into any) {
	if err := json.Unmarshal(d.data, into); err != nil {
		panic(err)
	}
}
