package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"
)

// arrival is an event as a subscriber got it.
type arrival struct {
	source  string // bucket/key
	subject string
	at      time.Time
}

// driver is a client of a daemon: it uploads, and hears of what becomes of it.
type driver struct {
	store    *minio.Client
	bucket   string
	conn     *nats.Conn
	running  jetstream.ConsumeContext
	arrivals chan arrival
}

func drive(ctx context.Context, d *daemon) (*driver, error) {
	store, err := d.s3()
	if err != nil {
		return nil, err
	}
	conn, err := d.nats()
	if err != nil {
		return nil, err
	}
	v := &driver{store: store, bucket: d.InboxBucket, conn: conn, arrivals: make(chan arrival, 1<<16)}
	if err := v.subscribe(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return v, nil
}

func (v *driver) subscribe(ctx context.Context) error {
	js, err := jetstream.New(v.conn)
	if err != nil {
		return err
	}
	consumer, err := js.OrderedConsumer(ctx, "PDF_EVENTS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	v.running, err = consumer.Consume(func(m jetstream.Msg) {
		v.arrivals <- arrival{m.Headers().Get("ce-subject"), m.Subject(), time.Now()}
	})
	return err
}

func (v *driver) close() {
	v.running.Stop()
	v.conn.Close()
}

func (v *driver) put(ctx context.Context, key string, pdf []byte) error {
	_, err := v.store.PutObject(ctx, v.bucket, key, bytes.NewReader(pdf), int64(len(pdf)), minio.PutObjectOptions{ContentType: "application/pdf"})
	if err != nil {
		return fmt.Errorf("upload %s: %w", key, err)
	}
	return nil
}

// next waits for one event.
func (v *driver) next(ctx context.Context) (arrival, error) {
	select {
	case a := <-v.arrivals:
		return a, nil
	case <-time.After(time.Minute):
		return arrival{}, fmt.Errorf("no event for a minute")
	case <-ctx.Done():
		return arrival{}, ctx.Err()
	}
}

// document is what to upload.
type document struct {
	key string
	pdf []byte
}

// flooded is what became of many documents at once.
type flooded struct {
	seconds  float64            // from the first upload to the last event
	uploaded float64            // seconds to the end of the last upload
	cpu      map[string]float64 // seconds that the daemon's processes worked meanwhile, by what they are
	failed   int                // documents that were not converted
}

// flood uploads documents with several clients at once to a daemon and waits for all their events.
func flood(ctx context.Context, d *daemon, clients int, documents []document) (f flooded, err error) {
	v, err := drive(ctx, d)
	if err != nil {
		return f, err
	}
	defer v.close()
	before, err := worked(d.cmd.Process.Pid)
	if err != nil {
		return f, err
	}
	started := time.Now()
	group, each := errgroup.WithContext(ctx)
	group.Go(func() error {
		uploads, each := errgroup.WithContext(each)
		uploads.SetLimit(clients)
		for _, one := range documents {
			uploads.Go(func() error { return v.put(each, one.key, one.pdf) })
		}
		err := uploads.Wait()
		f.uploaded = time.Since(started).Seconds()
		return err
	})
	group.Go(func() error {
		ended, wanted := map[string]bool{}, map[string]bool{} // the stream tells of everything, also of earlier documents
		for _, one := range documents {
			wanted[v.bucket+"/"+one.key] = true
		}
		for len(ended) < len(documents) {
			a, err := v.next(each)
			if err != nil {
				return fmt.Errorf("%d of %d documents have ended: %w", len(ended), len(documents), err)
			}
			if !wanted[a.source] {
				continue
			}
			if !ended[a.source] && a.subject != "pdf.converted" {
				f.failed++
			}
			ended[a.source] = true
			f.seconds = a.at.Sub(started).Seconds()
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return f, err
	}
	f.cpu, err = worked(d.cmd.Process.Pid)
	for role, seconds := range before {
		f.cpu[role] -= seconds
	}
	return f, err
}

// worked is the sum of all processor time.
func (f flooded) worked() float64 { return sum(f.cpu) }

// split says which processes took the time, in milliseconds per piece.
func (f flooded) split(pieces int) string {
	parts := make([]string, 0, len(f.cpu))
	for _, role := range slices.Sorted(maps.Keys(f.cpu)) {
		parts = append(parts, fmt.Sprintf("%s %.1f ms", role, f.cpu[role]/float64(pieces)*1000))
	}
	return strings.Join(parts, ", ")
}
