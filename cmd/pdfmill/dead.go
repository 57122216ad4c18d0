package main

import (
	"context"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/deadletter"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
)

type deadCommand struct {
	Ls     deadLs     `cmd:"" help:"List dead letters, or count them by cause."`
	Show   deadShow   `cmd:"" help:"Show everything known about one."`
	Replay deadReplay `cmd:"" help:"Send documents through once more."`
	Drop   deadDrop   `cmd:"" help:"Remove dead letters for good."`
}

// selection says which dead letters are meant.
type selection struct {
	Stage  string        `placeholder:"NAME" group:"Which:" help:"Died in this stage: ingest, validator, gpu-runner, publisher."`
	Class  string        `placeholder:"CLASS" group:"Which:" help:"For this reason, like pdf-encrypted."`
	Source string        `placeholder:"PREFIX" group:"Which:" help:"Of a source bucket/key that begins like this."`
	Job    string        `placeholder:"ID" group:"Which:" help:"Of this job."`
	Text   string        `placeholder:"WORDS" group:"Which:" help:"With this in the message."`
	Newer  time.Duration `placeholder:"AGE" group:"Which:" help:"Died at most so long ago, like 24h."`
	Older  time.Duration `placeholder:"AGE" group:"Which:" help:"Died longer ago than this."`
}

func (s selection) filter(ids []string, now time.Time) deadletter.Filter {
	f := deadletter.Filter{IDs: ids, Stage: s.Stage, Class: failure.Class(s.Class), Source: s.Source, Job: s.Job, Text: s.Text}
	if s.Newer > 0 {
		f.Since = now.Add(-s.Newer)
	}
	if s.Older > 0 {
		f.Until = now.Add(-s.Older)
	}
	return f
}

// empty reports whether nothing narrows the selection.
func (s selection) empty() bool { return s == selection{} }

// withBox calls do with the dead letters of the pipeline.
func (r remote) withBox(g *globals, std streams, do func(context.Context, *deadletter.Box, *jet.Broker) error) error {
	return r.withBroker(g, std, func(ctx context.Context, broker *jet.Broker) error {
		box, err := deadletter.NewBox(ctx, broker.JS())
		if err != nil {
			return err
		}
		return do(ctx, box, broker)
	})
}

// byWhom is who asks for something: as told, or the user of the system.
func byWhom(told string) string {
	if told != "" {
		return told
	}
	return os.Getenv("USER")
}
