package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/endpoints"
	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/onebox"
	"github.com/pdfmill/pdfmill/embedded"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/object"
	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// Pipeline checks a pipeline that runs, to which connect and open lead.
func Pipeline(e endpoints.Endpoints, connect func(context.Context) (*jet.Broker, error), open func() (*object.S3, error)) []Check {
	const running = "is the pipeline running? (pdfmill up) Are address, user and password right?"
	checks := []Check{
		{"NATS", quick, func(ctx context.Context) (string, string, string) {
			broker, err := connect(ctx)
			if err != nil {
				return Bad, err.Error(), running
			}
			defer broker.Close()
			took, err := nats(ctx, broker)
			if err != nil {
				return Bad, err.Error(), "the streams are missing or JetStream is not available: start the pipeline, which makes them"
			}
			return OK, fmt.Sprintf("%s: round trip in %s", secret.URL(e.NATSURL), took), ""
		}},
		{"object store", quick, func(ctx context.Context) (string, string, string) {
			store, err := open()
			if err != nil {
				return Bad, err.Error(), "name the object store with --s3-endpoint"
			}
			defer store.Close()
			took, err := s3(ctx, store, e.InboxBucket)
			if err != nil {
				return Bad, err.Error(), running
			}
			return OK, fmt.Sprintf("%s: round trip in %s", e.S3Endpoint, took), ""
		}},
	}
	if e.HTTPURL == "" {
		return checks
	}
	return append(checks, Check{"services", quick, func(ctx context.Context) (string, string, string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.HTTPURL+"/readyz", nil)
		if err != nil {
			return Bad, err.Error(), ""
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return Bad, err.Error(), running
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return Bad, e.HTTPURL + "/readyz says " + response.Status, "its body says which service is not ready, and why"
		}
		return OK, "all are ready", ""
	}})
}

// Own starts NATS and an object store as a pipeline would, in a temporary folder, and sends something through both.
func Own(log *slog.Logger) Check {
	return Check{"embedded NATS and S3", patient, func(ctx context.Context) (outcome, detail, advice string) {
		const hint = "see the log with --log-level debug; is the temporary folder writable, on a file system with extended attributes?"
		dir, err := os.MkdirTemp("", "pdfmill-doctor-")
		if err != nil {
			return Bad, err.Error(), "make the temporary folder writable, or set TMPDIR to one that is"
		}
		defer os.RemoveAll(dir)
		box, err := onebox.Start(ctx, onebox.Config{Dir: dir, NATSAddr: "127.0.0.1:0", S3Addr: "127.0.0.1:0", Durability: embedded.Synced, Log: log})
		if err != nil {
			return Bad, err.Error(), hint
		}
		defer func() {
			if err := box.Stop(context.WithoutCancel(ctx)); err != nil && outcome == OK {
				outcome, detail, advice = Bad, err.Error(), hint
			}
		}()
		byNATS, err := nats(ctx, box.Broker)
		if err != nil {
			return Bad, err.Error(), hint
		}
		byS3, err := s3(ctx, box.Store, onebox.InboxBucket)
		if err != nil {
			return Bad, err.Error(), hint
		}
		return OK, fmt.Sprintf("round trips in %s and %s", byNATS, byS3), ""
	}}
}

// nats asks JetStream for something that it has to look up.
func nats(ctx context.Context, broker *jet.Broker) (time.Duration, error) {
	began := time.Now()
	if _, err := broker.ReadStatus(ctx, "doctor"); err != nil && !errors.Is(err, jet.ErrNoStatus) {
		return 0, err
	}
	return time.Since(began).Round(time.Microsecond), nil
}

// s3 writes an object that ingest skips by its name, reads it back and removes it.
func s3(ctx context.Context, store object.Store, bucket string) (took time.Duration, err error) {
	began, key, want := time.Now(), ".pdfmill-doctor-"+rand.Text(), []byte(rand.Text())
	if _, err := object.PutBytes(ctx, store, bucket, key, want, object.Put{}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, store.Delete(ctx, bucket, key)) }()
	got, _, err := object.GetBytes(ctx, store, bucket, key, 1<<10)
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(got, want) {
		return 0, fmt.Errorf("%s/%s reads back as something else", bucket, key)
	}
	return time.Since(began).Round(time.Microsecond), nil
}
