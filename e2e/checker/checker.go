// Package checker reads the streams and buckets of a pipeline with stock clients, and says what must not be. It shares no code with what it checks.
package checker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bucket is pdfmill's own.
const Bucket = "pdfmill"

// Verdict is what the checker found.
type Verdict struct {
	Sources, Converted, Failed int
	Duplicates                 int // events stored more than once, under one ce-id
	DeadLetters                int
	Objects                    int
	Faults                     []string // what must not be
}

func (v *Verdict) fault(format string, args ...any) {
	v.Faults = append(v.Faults, fmt.Sprintf(format, args...))
}

// Told is the part of an event that is checked.
type Told struct {
	Job, Drop string
	Tenant    string
	Pass      int
	Complete  bool
	Markdown  struct {
		Bucket, Key, SHA256, Inline string
		Bytes                       int64
	}
	Images []struct {
		Key   string
		Bytes int64
	}
	Manifest   struct{ Bucket, Key string }
	DeadLetter *struct{ ID string } `json:"dead_letter"`
}

// Check verifies the promise: each drop of each source (how often each was dropped, by bucket and key) has ended once, nothing is left to do, and what was announced is there, whole.
func Check(ctx context.Context, js jetstream.JetStream, s3 *minio.Client, dropped map[string]int) (Verdict, error) {
	v := Verdict{Sources: len(dropped)}
	if err := v.checkQueue(ctx, js); err != nil {
		return v, err
	}
	dead, err := deadLetters(ctx, js)
	if err != nil {
		return v, err
	}
	v.DeadLetters = len(dead)
	objects, err := List(ctx, s3, Bucket)
	if err != nil {
		return v, err
	}
	v.Objects = len(objects)
	if err := v.checkEvents(ctx, js, s3, dropped, objects, dead); err != nil {
		return v, err
	}
	return v, v.checkObjects(ctx, s3, objects)
}

func (v *Verdict) checkQueue(ctx context.Context, js jetstream.JetStream) error {
	jobs, err := js.Stream(ctx, "PDF_JOBS")
	if err != nil {
		return err
	}
	if n := jobs.CachedInfo().State.Msgs; n != 0 {
		v.fault("%d messages remain in PDF_JOBS", n)
	}
	return nil
}

func (v *Verdict) checkEvents(ctx context.Context, js jetstream.JetStream, s3 *minio.Client, dropped map[string]int, objects map[string]int64, dead map[string]bool) error {
	type end struct {
		subject, sha string
	}
	ends := map[string]end{}              // by ce-id
	passes := map[string]string{}         // ce-id by drop and pass
	ids := map[string]map[string]string{} // by source: ce-ids
	checked := map[string]bool{}
	err := Read(ctx, js, "PDF_EVENTS", func(m jetstream.Msg) error {
		var e Told
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return err
		}
		id, source := m.Headers().Get("ce-id"), m.Headers().Get("ce-subject")
		now := end{m.Subject(), e.Markdown.SHA256}
		if was, again := ends[id]; again {
			v.Duplicates++
			if was != now {
				v.fault("%s ended as %v and as %v under one id", source, was, now)
			}
		}
		ends[id] = now
		pass := fmt.Sprintf("%s-%d", e.Drop, e.Pass)
		if other, ok := passes[pass]; ok && other != id {
			v.fault("%s: pass %s has two ids, %s and %s", source, pass, other, id)
		}
		passes[pass] = id
		if ids[source] == nil {
			ids[source] = map[string]string{}
		}
		ids[source][id] = m.Subject()
		switch m.Subject() {
		case "pdf.converted":
			if checked[e.Markdown.Key+e.Markdown.SHA256] {
				return nil
			}
			checked[e.Markdown.Key+e.Markdown.SHA256] = true
			return v.checkProduct(ctx, s3, source, e, objects)
		default:
			if e.DeadLetter == nil || !dead[e.DeadLetter.ID] {
				v.fault("%s failed without a dead letter: %s", source, m.Data())
			}
		}
		return nil
	})
	for key, n := range dropped {
		all := ids[key]
		if len(all) != n {
			v.fault("%s was dropped %d times and has %d ends: %v", key, n, len(all), all)
		}
		for _, subject := range all {
			if subject == "pdf.converted" {
				v.Converted++
			} else {
				v.Failed++
			}
		}
	}
	return err
}

// checkProduct verifies that what an event names exists with the hash it claims.
func (v *Verdict) checkProduct(ctx context.Context, s3 *minio.Client, source string, e Told, objects map[string]int64) error {
	data, err := Get(ctx, s3, e.Markdown.Bucket, e.Markdown.Key)
	if err != nil {
		v.fault("%s: %s: %v", source, e.Markdown.Key, err)
		return nil
	}
	if sum := sha(data); sum != e.Markdown.SHA256 || int64(len(data)) != e.Markdown.Bytes {
		v.fault("%s: %s has %d bytes and hash %s, the event says %d and %s", source, e.Markdown.Key, len(data), sum, e.Markdown.Bytes, e.Markdown.SHA256)
	}
	if e.Markdown.Inline != "" && e.Markdown.Inline != string(data) {
		v.fault("%s: the inline text is not the object", source)
	}
	for _, i := range e.Images {
		if size, ok := objects[i.Key]; !ok || size != i.Bytes {
			v.fault("%s: image %s has %d bytes (found: %t), the event says %d", source, i.Key, size, ok, i.Bytes)
		}
	}
	if _, ok := objects[e.Manifest.Key]; !ok {
		v.fault("%s: no manifest %s", source, e.Manifest.Key)
	}
	home := "jobs/" + e.Job + "/"
	if e.Tenant != "" {
		home = "tenants/" + e.Tenant + "/" + e.Job + "/"
	}
	for _, key := range []string{e.Markdown.Key, e.Manifest.Key} {
		if !strings.HasPrefix(key, home) {
			v.fault("%s: %s is not below %s", source, key, home)
		}
	}
	return nil
}

// checkObjects verifies that nothing is half-written.
func (v *Verdict) checkObjects(ctx context.Context, s3 *minio.Client, objects map[string]int64) error {
	for key := range objects {
		switch parts := strings.Split(key, "/"); {
		case strings.HasPrefix(key, "source/"):
			data, err := Get(ctx, s3, Bucket, key)
			if err != nil {
				return err
			}
			if name := strings.TrimSuffix(path.Base(key), ".pdf"); sha(data) != name {
				v.fault("%s holds other bytes than its name says", key)
			}
		case strings.HasSuffix(key, ".json"):
			data, err := Get(ctx, s3, Bucket, key)
			if err != nil {
				return err
			}
			if !json.Valid(data) {
				v.fault("%s is half-written", key)
			}
			if path.Base(key) == "manifest.json" {
				v.checkRevision(ctx, s3, key, data, objects)
			}
		case strings.Contains(key, "/images/"):
			owner := strings.Join(parts[:len(parts)-2], "/")
			_, result := objects[owner+"/result.json"]
			_, manifest := objects[owner+"/manifest.json"]
			if !result && !manifest {
				v.fault("%s belongs to nothing", key)
			}
		}
	}
	return nil
}

// checkRevision verifies that a claimed revision was filled.
func (v *Verdict) checkRevision(ctx context.Context, s3 *minio.Client, key string, data []byte, objects map[string]int64) {
	var m Told
	if json.Unmarshal(data, &m) != nil {
		return // said already
	}
	text, err := Get(ctx, s3, Bucket, m.Markdown.Key)
	if err != nil || sha(text) != m.Markdown.SHA256 {
		v.fault("%s describes %s, which is not there as described: %v", key, m.Markdown.Key, err)
	}
	for _, i := range m.Images {
		if size, ok := objects[i.Key]; !ok || size != i.Bytes {
			v.fault("%s describes %s, which is not there as described", key, i.Key)
		}
	}
}

// deadLetters are the ids of those there are.
func deadLetters(ctx context.Context, js jetstream.JetStream) (map[string]bool, error) {
	all := map[string]bool{}
	return all, Read(ctx, js, "PDF_DEAD", func(m jetstream.Msg) error {
		var d struct{ ID string }
		if err := json.Unmarshal(m.Data(), &d); err != nil {
			return err
		}
		all[d.ID] = true
		return nil
	})
}

// Endings counts the different ends of each source.
func Endings(ctx context.Context, js jetstream.JetStream) (map[string]int, error) {
	seen, ends := map[string]bool{}, map[string]int{}
	return ends, Read(ctx, js, "PDF_EVENTS", func(m jetstream.Msg) error {
		if id := m.Headers().Get("ce-id"); !seen[id] {
			seen[id] = true
			ends[m.Headers().Get("ce-subject")]++
		}
		return nil
	})
}

// Read calls see for every message that a stream holds now.
func Read(ctx context.Context, js jetstream.JetStream, stream string, see func(jetstream.Msg) error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{InactiveThreshold: 10 * time.Second})
	if err != nil {
		return err
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return err
	}
	for left := info.NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, 256)), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return err
		}
		got := false
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			got, left = true, meta.NumPending
			if err := see(m); err != nil {
				return fmt.Errorf("message %d of %s: %w", meta.Sequence.Stream, stream, err)
			}
		}
		if errors.Is(batch.Error(), nats.ErrNoResponders) && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond) // in a cluster it takes a moment until everybody knows of a consumer
			continue
		}
		if err := batch.Error(); err != nil || !got {
			return errors.Join(err, fmt.Errorf("%d messages of %s were not read", left, stream))
		}
	}
	return nil
}

// List is the size of each object in a bucket, in bytes.
func List(ctx context.Context, s3 *minio.Client, bucket string) (map[string]int64, error) {
	all := map[string]int64{}
	for o := range s3.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return nil, o.Err
		}
		all[o.Key] = o.Size
	}
	return all, nil
}

// Get reads an object.
func Get(ctx context.Context, s3 *minio.Client, bucket, key string) ([]byte, error) {
	o, err := s3.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, err
	}
	defer o.Close()
	return io.ReadAll(o)
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
