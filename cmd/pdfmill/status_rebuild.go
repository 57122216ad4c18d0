package main

import (
	"context"
	"fmt"
	"iter"
	"path"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/object"
)

// maxManifest bounds, in bytes, what is read of a product's manifest.
const maxManifest = 256 << 20

// rebuild makes the projection anew and says how many jobs it knows.
func (c *statusCommand) rebuild(ctx context.Context, g *globals, std streams, broker *jet.Broker) error {
	e, err := c.endpoints()
	if err != nil {
		return err
	}
	store, err := c.store(e)
	if err != nil {
		return usage(err, "")
	}
	defer store.Close()
	n, err := broker.RebuildStatus(ctx, products(ctx, store, e.Bucket))
	if err != nil {
		return err
	}
	if g.JSON {
		return printJSON(std.out, map[string]int{"jobs": n})
	}
	_, err = fmt.Fprintf(std.out, "Rebuilt the status of %d jobs from products, events and the work queue.\n", n)
	return err
}

// products yields the status that each product in the store stands for: the only trace of a job that is older than events are kept.
func products(ctx context.Context, store object.Store, bucket string) iter.Seq2[jet.Status, error] {
	return func(yield func(jet.Status, error) bool) {
		for o, err := range store.List(ctx, bucket, "") {
			if err != nil {
				yield(jet.Status{}, err)
				return
			}
			if _, below, ok := job.ParseKey(o.Key); !ok || path.Base(below) != "manifest.json" {
				continue
			}
			var m struct {
				Job       string          `json:"job"`
				Drop      string          `json:"drop"`
				Pass      int             `json:"pass"`
				Source    document.Source `json:"source"`
				Tenant    string          `json:"tenant"`
				Pages     int             `json:"pages"`
				Engine    event.Engine    `json:"engine"`
				Attempts  int             `json:"attempts"`
				CreatedAt time.Time       `json:"created_at"`
			}
			if _, err := object.GetJSON(ctx, store, bucket, o.Key, maxManifest, &m); err != nil {
				yield(jet.Status{}, err)
				return
			}
			if !yield(jet.Status{
				Job: m.Job, Drop: m.Drop, Pass: m.Pass, Source: m.Source, Tenant: m.Tenant, State: jet.StateConverted, Stage: "publisher", Pages: m.Pages,
				Engine: m.Engine.Name, Attempts: m.Attempts, BeganAt: m.CreatedAt, UpdatedAt: m.CreatedAt,
			}, nil) {
				return
			}
		}
	}
}
