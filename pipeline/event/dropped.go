package event

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/job"
)

// Dropped says that something was put into an inbox. It has the shape of an S3 event notification, so that MinIO's own NATS target
// can publish it as well as the embedded gateway, the directory watch and the listing. It is a hint that wakes
// ingest up; what counts is what the bucket then holds.
type Dropped struct {
	EventName string          `json:"EventName"`
	Key       string          `json:"Key"` // "bucket/key"
	Records   []DroppedRecord `json:"Records"`
	// Pass counts replays of this drop; 0 for a new one.
	Pass int `json:"pdfmill_pass,omitempty"`
	// BeganAt is when a replay started this pass; zero for a new drop.
	BeganAt time.Time `json:"pdfmill_began_at,omitzero"`
	// Set holds options that a replay changes, by name, over those of the object's metadata.
	Set map[string]string `json:"pdfmill_set,omitempty"`
}

// DroppedRecord is the part of an S3 event record that pdfmill reads.
type DroppedRecord struct {
	EventTime time.Time `json:"eventTime"`
	S3        struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key  string `json:"key"` // URL-encoded, as S3 does
			Size int64  `json:"size"`
			ETag string `json:"eTag"`
			// UserMetadata is the object's, as far as whoever tells of it knows it.
			UserMetadata map[string]string `json:"userMetadata,omitempty"`
		} `json:"object"`
	} `json:"s3"`
}

// NewDropped describes one object as an S3 event.
func NewDropped(s document.Source) Dropped {
	var r DroppedRecord
	r.EventTime = s.ModTime.UTC()
	r.S3.Bucket.Name = s.Bucket
	r.S3.Object.Key = url.QueryEscape(s.Key)
	r.S3.Object.Size = s.Size
	r.S3.Object.ETag = s.ETag
	return Dropped{EventName: "s3:ObjectCreated:Put", Key: s.Path(), Records: []DroppedRecord{r}}
}

// Source is the object that the event names, as far as the event knows it.
func (d Dropped) Source() (document.Source, error) {
	if len(d.Records) != 1 {
		return document.Source{}, fmt.Errorf("event has %d records, want 1", len(d.Records))
	}
	r := d.Records[0]
	key, err := url.QueryUnescape(r.S3.Object.Key)
	if err != nil {
		return document.Source{}, fmt.Errorf("object key %q: %w", r.S3.Object.Key, err)
	}
	return document.Source{
		Bucket: r.S3.Bucket.Name, Key: key, ETag: r.S3.Object.ETag, Size: r.S3.Object.Size,
		ModTime: r.EventTime.UTC().Truncate(time.Second),
	}, nil
}

// Of is the same drop, of this state of the object.
func (d Dropped) Of(s document.Source) Dropped {
	other := NewDropped(s)
	other.Pass, other.BeganAt, other.Set = d.Pass, d.BeganAt, d.Set
	return other
}

// Validate reports why the event names no object.
func (d Dropped) Validate() error {
	s, err := d.Source()
	switch {
	case err != nil:
		return err
	case s.Bucket == "" || s.Key == "":
		return fmt.Errorf("event names no object: bucket %q, key %q", s.Bucket, s.Key)
	case !strings.HasPrefix(d.EventName, "s3:ObjectCreated:"):
		return fmt.Errorf("event %q is not about a created object", d.EventName)
	}
	return nil
}

// Work is a job of which only the source is known: options and hash come with the object.
func (d Dropped) Work() job.Job {
	s, err := d.Source()
	if err != nil {
		return job.Job{Pass: d.Pass}
	}
	id := document.Digest("drop", s.Version())
	return job.Job{ID: id, Drop: id, Pass: d.Pass, Source: s, Options: job.Default(), AcceptedAt: s.ModTime, BeganAt: d.BeganAt}
}

// MessageID is the same for every hint about the same state of the object.
func (d Dropped) MessageID() string {
	w := d.Work()
	return fmt.Sprintf("dropped:%s:%d", w.Source.Version(), d.Pass)
}
