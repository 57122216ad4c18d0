package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/micro"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// DeskSubject is what the subjects of the operators' requests begin with. They are of no stream: a request is answered or fails, nothing keeps it. Whoever may
// publish on pdfmill.ops.> and has an inbox needs no credentials for any stream.
const DeskSubject = "pdfmill.ops"

// DeskRequest is the body of every request, a JSON object; what a request does not need is ignored.
type DeskRequest struct {
	IDs      []string          `json:"ids,omitempty"`
	Stage    string            `json:"stage,omitempty"`
	Class    failure.Class     `json:"class,omitempty"`
	Source   string            `json:"source,omitempty"` // prefix of bucket/key
	Job      string            `json:"job,omitempty"`
	Text     string            `json:"text,omitempty"`
	Since    time.Time         `json:"since,omitzero"`
	Until    time.Time         `json:"until,omitzero"`
	Replayed bool              `json:"replayed,omitempty"` // also those that were replayed
	All      bool              `json:"all,omitempty"`      // of replay and drop: when nothing else selects
	Limit    int               `json:"limit,omitempty"`    // of list; default and most: 100
	DryRun   bool              `json:"dry_run,omitempty"`
	Rate     float64           `json:"rate,omitempty"` // documents per second
	From     string            `json:"from,omitempty"`
	Set      map[string]string `json:"set,omitempty"`
	By       string            `json:"by,omitempty"`
	Again    bool              `json:"again,omitempty"`
}

func (r DeskRequest) filter() deadletter.Filter {
	return deadletter.Filter{
		IDs: r.IDs, Stage: r.Stage, Class: r.Class, Source: r.Source, Job: r.Job, Text: r.Text, Since: r.Since, Until: r.Until, Replayed: r.Replayed,
	}
}

// selects reports whether the request names what it is about.
func (r DeskRequest) selects() bool {
	return r.All || len(r.IDs) > 0 || r.Stage != "" || r.Class != "" || r.Source != "" || r.Job != "" || r.Text != "" || !r.Since.IsZero() || !r.Until.IsZero()
}

// mostListed bounds an answer, which is one message.
const mostListed = 100

// Desk answers operators' requests over NATS, as the NATS service "pdfmill-ops"; every process of the pipeline runs one, and one of them answers.
type Desk struct {
	broker  *Broker
	version string
	log     *slog.Logger
}

// NewDesk makes a desk for the process with this version of pdfmill.
func NewDesk(b *Broker, version string, log *slog.Logger) *Desk {
	return &Desk{broker: b, version: version, log: log}
}

// Name implements lifecycle.Service.
func (d *Desk) Name() string { return "operators' desk" }

// Ready implements lifecycle.Service.
func (d *Desk) Ready() error { return d.broker.Healthy() }

// Run answers until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	service, err := micro.AddService(d.broker.conn, micro.Config{
		Name: "pdfmill-ops", Version: "1.0.0", Description: "pdfmill's dead letters, status and cancellations", Metadata: map[string]string{"pdfmill": d.version},
	})
	if err != nil {
		return fmt.Errorf("serve operators' requests: %w", err)
	}
	defer func() { _ = service.Stop() }() // the connection's end stops it too
	for name, answer := range map[string]func(context.Context, DeskRequest) (any, error){
		"dead.list": d.list, "dead.groups": d.groups, "dead.replay": d.replay, "dead.drop": d.drop, "status": d.status, "cancel": d.cancel,
	} {
		err := service.AddEndpoint(strings.ReplaceAll(name, ".", "-"), d.handler(ctx, name, answer), micro.WithEndpointSubject(DeskSubject+"."+name))
		if err != nil {
			return fmt.Errorf("serve operators' requests on %s.%s: %w", DeskSubject, name, err)
		}
	}
	<-ctx.Done()
	return nil
}

// errAsk marks an error of whoever asked.
var errAsk = errors.New("bad request")

func (d *Desk) handler(ctx context.Context, name string, answer func(context.Context, DeskRequest) (any, error)) micro.Handler {
	return micro.HandlerFunc(func(req micro.Request) {
		var asked DeskRequest
		var result any
		var err error
		if len(req.Data()) > 0 {
			if err = json.Unmarshal(req.Data(), &asked); err != nil {
				err = fmt.Errorf("%w: the body is not a JSON object as expected: %w", errAsk, err)
			}
		}
		if err == nil {
			result, err = answer(ctx, asked)
		}
		switch {
		case err == nil:
			err = req.RespondJSON(result)
		case errors.Is(err, errAsk):
			err = req.Error("400", err.Error(), nil)
		default:
			d.log.Warn("operator's request failed", "request", name, "err", err)
			err = req.Error("500", err.Error(), nil)
		}
		if err != nil {
			d.log.Debug("operator's request not answered", "request", name, "err", err)
		}
	})
}

func (d *Desk) box(ctx context.Context, r DeskRequest) (*deadletter.Box, error) {
	if err := r.filter().Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", errAsk, err)
	}
	return deadletter.NewBox(ctx, d.broker.js)
}

// deskEntry is a dead letter as it is listed: without its payload and evidence, which may be large.
type deskEntry struct {
	deadletter.Entry
	Payload struct{} `json:"payload"`
	Detail  string   `json:"detail,omitempty"`
}

func (d *Desk) list(ctx context.Context, r DeskRequest) (any, error) {
	box, err := d.box(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Limit <= 0 || r.Limit > mostListed {
		r.Limit = mostListed
	}
	out := struct {
		DeadLetters []deskEntry `json:"dead_letters"`
		More        bool        `json:"more"` // there are others: narrow the selection
	}{DeadLetters: []deskEntry{}}
	room := int(d.broker.MaxPayload()) / 2
	for e, err := range box.List(ctx, r.filter()) {
		if err != nil {
			return nil, err
		}
		size := len(e.Message) + 1024
		for _, link := range e.Chain {
			size += len(link)
		}
		if out.More = len(out.DeadLetters) == r.Limit || size > room; out.More {
			break
		}
		room -= size
		e.Payload, e.Headers = nil, nil
		out.DeadLetters = append(out.DeadLetters, deskEntry{Entry: e})
	}
	return out, nil
}

func (d *Desk) groups(ctx context.Context, r DeskRequest) (any, error) {
	box, err := d.box(ctx, r)
	if err != nil {
		return nil, err
	}
	groups, err := box.Groups(ctx, r.filter())
	if err != nil {
		return nil, err
	}
	return map[string]any{"groups": groups[:min(len(groups), mostListed)], "more": len(groups) > mostListed}, nil
}

func (d *Desk) replay(ctx context.Context, r DeskRequest) (any, error) {
	if !r.selects() {
		return nil, fmt.Errorf("%w: which ones? (name ids, or select by class and so on, or say \"all\": true)", errAsk)
	}
	box, err := d.box(ctx, r)
	if err != nil {
		return nil, err
	}
	report, err := box.Replay(ctx, r.filter(), deadletter.Options{
		DryRun: r.DryRun, Rate: r.Rate, From: r.From, Set: r.Set, By: r.By, Again: r.Again, Make: event.Replay, Publish: d.broker.Publish,
	})
	return map[string]any{"selected": report.Selected, "documents": report.Total, "replayed": report.Replayed, "already": report.Already, "refused": report.Refused}, err
}

func (d *Desk) drop(ctx context.Context, r DeskRequest) (any, error) {
	if len(r.IDs) == 0 {
		return nil, fmt.Errorf("%w: name the ids of the dead letters to drop", errAsk)
	}
	box, err := d.box(ctx, r)
	if err != nil {
		return nil, err
	}
	n, err := box.Drop(ctx, r.IDs...)
	if errors.Is(err, deadletter.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w (%d dropped)", errAsk, err, n)
	}
	return map[string]int{"dropped": n}, err
}

func (d *Desk) status(ctx context.Context, r DeskRequest) (any, error) {
	s, err := d.broker.ReadStatus(ctx, r.Job)
	if errors.Is(err, ErrNoStatus) {
		return nil, fmt.Errorf("%w: %w", errAsk, err)
	}
	if err != nil {
		return nil, err
	}
	out := struct {
		Status
		Place *Place `json:"place,omitempty"`
	}{Status: s}
	if place, err := d.broker.PlaceOf(ctx, s.Job); err == nil && !s.Ended() {
		out.Place = &place
	}
	return out, nil
}

func (d *Desk) cancel(ctx context.Context, r DeskRequest) (any, error) {
	if r.Job == "" {
		return nil, fmt.Errorf("%w: name the job", errAsk)
	}
	ended, err := d.broker.Cancel(ctx, r.By, func(j job.Job) bool { return j.ID == r.Job })
	return map[string]int{"cancelled": len(ended)}, err
}
