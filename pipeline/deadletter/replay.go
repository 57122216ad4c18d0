package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/stage"
)

// Again makes the message that sends the drop of a record through once more; event.Replay is one. It fails when the record
// can't be replayed as asked.
type Again func(r Record, pass int, set map[string]string, fromStart bool) (stage.Output, error)

// Where a replay starts.
const (
	FromStage = "stage" // where it died: what earlier passes did well is kept; the default
	FromStart = "start" // at the inbox, as if dropped again
)

// Options of a replay. Make and Publish are required.
type Options struct {
	DryRun bool              // select and make, but publish and mark nothing
	Rate   float64           // documents per second; 0: no limit
	From   string            // FromStage or FromStart
	Set    map[string]string // options to change, by name
	By     string            // who asks; kept in the mark
	Again  bool              // also what was replayed already

	Make     Again
	Publish  func(ctx context.Context, outputs ...stage.Output) error // returns when stored
	Progress func(Step)                                               // may be nil; called after each document
}

// Outcomes of a Step.
const (
	Replayed    = "replayed"
	WouldReplay = "would-replay" // in a dry run
	Already     = "already"      // somebody replayed it meanwhile
	Refused     = "refused"      // it can't be replayed; Err says why
)

// Step is what became of one document of a replay.
type Step struct {
	Record  Record
	Pass    int // that was started
	Outcome string
	Err     error        // of Refused
	Output  stage.Output // that was published, or would be
	Done    int          // documents so far, of Total
	Total   int
}

// Report sums up a replay; it is also valid, as far as it goes, beside an error.
type Report struct {
	Selected int // dead letters that the filter selects, replayed ones included
	Total    int // documents (drops) to replay: several dead letters of one are one
	Replayed int // or, in a dry run, would be
	Already  int // dead letters, and documents, that were replayed before or by somebody else meanwhile
	Refused  int
}

// Replay sends the drops of the selected dead letters through once more, each as its next pass. It notes the pass, publishes, and records then that
// it did: a replay that dies in between publishes the same message id again, or, when the broker may have forgotten it, another pass. One that is
// interrupted goes on where it was when called again. Two replays at once start each pass once.
func (b *Box) Replay(ctx context.Context, f Filter, o Options) (Report, error) {
	if o.From != "" && o.From != FromStage && o.From != FromStart {
		return Report{}, fmt.Errorf("replay: from %q is neither %s nor %s", o.From, FromStage, FromStart)
	}
	if o.Rate < 0 {
		return Report{}, fmt.Errorf("replay: a rate of %g documents a second", o.Rate)
	}
	report, picks, err := b.pick(ctx, f, o)
	if err != nil {
		return report, err
	}
	pace := NewPace(o.Rate)
	for i, p := range picks {
		if err := pace.Wait(ctx); err != nil {
			return report, fmt.Errorf("replay stopped after %d of %d documents: %w", i, len(picks), err)
		}
		step, err := b.step(ctx, p, o)
		if err != nil {
			return report, fmt.Errorf("replay of dead letter %s, %d of %d documents done: %w", p.id, i, len(picks), err)
		}
		switch step.Outcome {
		case Replayed, WouldReplay:
			report.Replayed++
		case Already:
			report.Already++
		case Refused:
			report.Refused++
		}
		if step.Done, step.Total = i+1, len(picks); o.Progress != nil {
			o.Progress(step)
		}
	}
	return report, nil
}

// pick is one document to replay: its first dead letter of its last pass.
type pick struct {
	id   string
	seq  uint64
	pass int
}

// pick reads the whole selection before anything is replayed, and keeps only places: records can be large and replays slow.
func (b *Box) pick(ctx context.Context, f Filter, o Options) (report Report, picks []pick, err error) {
	f.Replayed = true // they are counted, not passed over in silence
	place := map[string]int{}
	for e, err := range b.List(ctx, f) {
		if err != nil {
			return report, nil, err
		}
		report.Selected++
		if e.Replayed && !o.Again {
			report.Already++
			continue
		}
		p := pick{id: e.ID, seq: e.Seq, pass: e.Job.Pass}
		name := e.Job.Drop
		if !isDrop(name) {
			name = e.ID // belongs to no drop; refused when its turn comes
		}
		at, seen := place[name]
		switch {
		case !seen:
			place[name] = len(picks)
			picks = append(picks, p)
		case picks[at].pass < p.pass:
			picks[at] = p
		}
	}
	report.Total = len(picks)
	return report, picks, nil
}

// step replays one document. An error ends the replay; a document that can't be replayed is a Refused step.
func (b *Box) step(ctx context.Context, p pick, o Options) (Step, error) {
	raw, err := b.stream.GetMsg(ctx, p.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Step{Record: Record{ID: p.id}, Outcome: Refused, Err: fmt.Errorf("dead letter %s was dropped meanwhile: %w", p.id, ErrNotFound)}, nil
	}
	if err != nil {
		return Step{}, fmt.Errorf("read message %d of %s: %w", p.seq, Stream, err)
	}
	s := Step{Record: decode(raw.Subject, raw.Data, p.seq)}
	drop := s.Record.Job.Drop
	if !isDrop(drop) {
		s.Outcome, s.Err = Refused, errors.New("its message could not be read, so nobody knows which document it is about (drop the document into the inbox again)")
		return s, nil
	}
	mark, err := b.mark(ctx, drop)
	if err != nil {
		return s, err
	}
	if s.Record.Job.Pass < mark.Pass && !o.Again {
		s.Outcome = Already
		return s, nil
	}
	s.Pass = max(mark.Pass, s.Record.Job.Pass) + 1
	if s.Output, err = o.Make(s.Record, s.Pass, o.Set, o.From == FromStart); err != nil {
		s.Outcome, s.Err = Refused, err
		return s, nil //nolint:nilerr // one that is refused does not keep the others: the step carries why
	}
	if o.DryRun {
		s.Outcome = WouldReplay
		return s, nil
	}
	pass, err := b.begin(ctx, drop, s.Pass)
	if err != nil {
		return s, err
	}
	if pass == 0 {
		s.Outcome = Already
		return s, nil
	}
	s.Pass = pass
	if s.Output, err = o.Make(s.Record, s.Pass, o.Set, o.From == FromStart); err != nil {
		return s, err
	}
	if err := o.Publish(ctx, s.Output); err != nil {
		return s, err
	}
	first, err := b.raise(ctx, drop, s.Pass, o.By, time.Now())
	if err != nil {
		return s, err
	}
	if s.Outcome = Replayed; !first {
		s.Outcome = Already
	}
	return s, nil
}
