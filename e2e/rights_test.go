package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/pdfmill/pdfmill/e2e/rig"
	pdf "github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// unseen are the rights that this test has nobody use, by what their names match, and why they are needed.
var unseen = map[string]*regexp.Regexp{
	"a server asks how far a client is when more than a megabyte is on its way": regexp.MustCompile(`PUB \$JS\.FC\.`),
	"what is about to be read is removed":                                       regexp.MustCompile(`PUB \$JS\.API\.CONSUMER\.INFO\.(PDF_EVENTS\.look-ANY|PDF_DEAD\.>)$`),
	"a message is stranded, for a minute at least, and comes again":             regexp.MustCompile(`^(ingest|publisher) PUB pdf\.(dropped|rendered|validated-ANY\.\*)$`),
	"the store of pdfmill up, which knows lanes":                                regexp.MustCompile(`^gateway PUB pdf\.dropped\.\*$`),
	"there are servers of models":                                               regexp.MustCompile(`^gpu-runner SUB pdf\.servers$`),
	"a document is repaired":                                                    regexp.MustCompile(`^validator s3:PutObject .*/source/\*$`),
	"an object of several parts can't be stored whole":                          regexp.MustCompile(` s3:AbortMultipartUpload arn:aws:s3:::pdfmill[/-]`),
	"nobody has named a region":                                                 regexp.MustCompile(` s3:GetBucketLocation `),
	"what is not there is not forbidden":                                        regexp.MustCompile(`^ingest s3:ListBucket arn:aws:s3:::pdfmill$`),
}

// alike are rights for things of which there are several: one stands for all.
var alike = regexp.MustCompile(`\b(ingest)-(?:\d\d|urgent|tenant-acme)\b|\b(gpu-runner)-(?:text|sim)-(?:interactive|bulk|suspect)\b|\b(look)-\d\b|(pdf\.validated)\.(?:text|sim)|(pdfmill)/(?:jobs|tenants)/`)

func sort(right string) string { return alike.ReplaceAllString(right, "$1$2$3$4$5-ANY") }

// TestNoRightIsSuperfluous has everybody do all that its role is for, each as its own user of the servers, and looks at what was asked of them.
func TestNoRightIsSuperfluous(t *testing.T) {
	data, dir := t.TempDir(), t.TempDir()
	declared, socket, gpusim := filepath.Join(dir, "tenants.json"), filepath.Join(dir, "gpu"), filepath.Join(dir, "gpusim")
	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "account": true}]}`))
	rig.Build(t, gpusim, "github.com/pdfmill/pdfmill/services/gpu-runner/gpusim/cmd/gpusim")
	simulator := rig.Start(t, nil, gpusim, "--socket", socket, "--gib", "24", "--release-after", "50ms", "--time-scale", "0.01")
	simulator.Await("it listens", func() bool { return answers(t, socket) })
	for name, value := range map[string]string{
		"PDFMILL_ENGINES": "text,sim", "PDFMILL_SERVE": "text,sim", "PDFMILL_GPUSIM": socket, "PDFMILL_SIM_TIME_SCALE": "0.001", "PDFMILL_WORKERS": "2",
	} {
		t.Setenv(name, value)
	}
	p := rig.EachAsItself(t, data, "--tenants", declared)
	doEverything(t, p)

	tenants, err := tenant.Read(declared)
	if err != nil {
		t.Fatal(err)
	}
	topology := jet.Topology{Replicas: 1, Engines: []string{"text", "sim"}, Tenants: tenants}
	used := map[string]bool{}
	check := func(role, verb, right string, seen bool) {
		name := sort(role + " " + verb + " " + right)
		used[name] = used[name] || seen
	}
	for _, role := range append(jet.Roles(), "tenant-acme") {
		may, err := topology.Rights(role)
		if role == "tenant-acme" {
			may, err = jet.TenantRights("acme"), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		for verb, patterns := range map[string][]string{"PUB": may.Publish, "SUB": may.Subscribe} {
			asked := p.Seen.By(role, verb)
			for _, pattern := range patterns {
				check(role, verb, pattern, slices.ContainsFunc(asked, func(subject string) bool { return covers(pattern, subject) }))
			}
		}
		content, err := os.ReadFile(filepath.Join(p.Users, role+"-s3-policy.json"))
		if err != nil {
			continue // no user of the store
		}
		var policy struct {
			Statement []struct{ Action, Resource []string }
		}
		if err := json.Unmarshal(content, &policy); err != nil {
			t.Fatal(err)
		}
		for _, s := range policy.Statement {
			for _, action := range s.Action {
				asked := p.Seen.By(role, action)
				for _, r := range s.Resource {
					prefix, many := strings.CutSuffix(r, "*")
					check(role, action, r, slices.ContainsFunc(asked, func(name string) bool { return name == r || many && strings.HasPrefix(name, prefix) }))
				}
			}
		}
	}
	explained := map[string]bool{}
	for right, seen := range used {
		for why, names := range unseen {
			if !seen && names.MatchString(right) {
				seen, explained[why] = true, true
			}
		}
		if !seen {
			t.Errorf("nobody needs this: %s", right)
		}
	}
	for why := range unseen {
		if !explained[why] {
			t.Errorf("nothing is explained by this any more: %s", why)
		}
	}
}

// covers reports whether a subject, which may have wildcards itself, is within a pattern.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, word := range p {
		switch {
		case word == ">":
			return i < len(s)
		case i >= len(s) || word != "*" && word != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// house is a pipeline whose services are started one after the other, so that what waits for each is there to be spoiled.
type house struct {
	*rig.Roles
	t       *testing.T
	admin   jetstream.JetStream
	asker   jetstream.JetStream // of the desk: the operator
	events  *rig.Events
	letter  []byte
	n       int           // documents so far
	backset time.Duration // of NATS' clock
}

// doEverything takes documents through all that may happen to them, and has people do what they may.
func doEverything(t *testing.T, p *rig.Roles) {
	t.Helper()
	h := &house{Roles: p, t: t, admin: p.Connect("admin", ""), asker: p.Connect("operator", ""), letter: read(t, "../samples/letter.pdf")}
	h.documents()
	h.consumersGone()
	h.swept()
	h.person("user", "pdf.>", "pdfmill", "jobs/")
	h.person("tenant-acme", "pdf.acme.>", "pdfmill", "tenants/acme/")
	h.operator()
	for _, service := range []string{"publisher", "gpu-runner", "validator", "ingest"} {
		h.Down(service)
	}
}

func (h *house) documents() {
	h.t.Helper()
	h.Up("ingest")
	h.events = rig.Subscribe(h.t, h.Connect("user", "").Conn())
	h.drop("wish.pdf", "pdfmill-engine", "magic") // dies at ingest
	h.ended("wish.pdf", 1)
	h.drop("loop.pdf")
	h.crashes("pdf.ingested") // and ingest buries it
	h.ended("loop.pdf", 1)

	h.drop("letter.pdf")
	h.drop("acme/letter.pdf")
	orphan := h.drop("orphan.pdf")
	h.Put("page.pdf", []byte("<html>404 not found</html>"), nil) // dies at the validator
	h.Put("hard.pdf", pipelinetest.PDF("one", "pdfmill-sim:engine-error", "three", "four"), nil)
	h.again("pdf.ingested")
	h.Up("validator")
	h.ended("page.pdf", 1)
	corpus, err := filepath.Glob("testdata/corpus/*.pdf") // of some the validator tells the publisher
	if err != nil || len(corpus) == 0 {
		h.t.Fatalf("no corpus: %v", err)
	}
	for _, path := range corpus {
		h.Put(filepath.Base(path), read(h.t, path), nil)
	}
	source := sourceOf(orphan)
	pipelinetest.Eventually(h.t, "what waits for a worker has its source", func() bool { return h.has(source) && h.waiting("pdf.validated.text.bulk") > 2 })
	if err := h.Store("root").RemoveObject(h.t.Context(), "pdfmill", source, minio.RemoveObjectOptions{}); err != nil { // it dies at the gpu-runner
		h.t.Fatal(err)
	}
	h.queued("hard.pdf", func(stream jetstream.Stream, m *jetstream.RawStreamMsg) { // no engine that a document may ask for fails when told to
		body := bytes.Replace(m.Data, []byte(`"engine":"text"`), []byte(`"engine":"sim"`), 1)
		if _, err := h.admin.Publish(h.t.Context(), "pdf.validated.sim.bulk", body); err != nil {
			h.t.Fatal(err)
		}
		if err := stream.DeleteMsg(h.t.Context(), m.Sequence); err != nil {
			h.t.Fatal(err)
		}
	})
	h.again("pdf.validated.text.bulk")
	h.Up("gpu-runner")
	pipelinetest.Eventually(h.t, "the gpu-runner has nothing to try again, which another time of day would delay", func() bool {
		return h.waiting("pdf.validated.sim.bulk")+h.waiting("pdf.validated.text.bulk") == 0
	})
	if _, err := h.admin.Publish(h.t.Context(), "pdf.rendered", []byte("what?")); err != nil { // dies at the publisher
		h.t.Fatal(err)
	}
	h.again("pdf.rendered")
	h.Up("publisher", "--sweep-every", "1s", "--sweep-ranges-age", "1h", "--sweep-sources-age", "1h")
	for _, key := range []string{"letter.pdf", "acme/letter.pdf", "hard.pdf", "orphan.pdf"} {
		h.ended(key, 1)
	}
	for _, path := range corpus {
		h.ended(filepath.Base(path), 1)
	}

	h.Down("ingest")
	h.drop("later.pdf")
	hint, err := json.Marshal(event.NewDropped(pdf.Source{Bucket: "inbox", Key: "later.pdf"}))
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.Connect("gateway", "").Publish(h.t.Context(), "pdf.dropped", hint); err != nil {
		h.t.Fatal(err)
	}
	h.again("pdf.dropped")
	h.Up("ingest")
	h.ended("later.pdf", 1)

	h.Down("gpu-runner")
	h.drop("lost.pdf")
	pipelinetest.Eventually(h.t, "it waits", func() bool { return h.waiting("pdf.validated.text.bulk") == 1 })
	h.Down("ingest")
	h.crashes("pdf.validated.text.bulk") // and the publisher buries it
	h.ended("lost.pdf", 1)
	h.Up("ingest")
	for _, key := range []string{"unwanted.pdf", "cancelled.pdf"} {
		h.drop(key)
	}
	pipelinetest.Eventually(h.t, "they wait", func() bool { return h.waiting("pdf.validated.text.bulk") == 2 })
	h.ask("status", map[string]any{"job": h.job("unwanted.pdf")}) // with its place in the queue
	h.Pdfmill("status", h.job("unwanted.pdf"))
	h.ask("cancel", map[string]any{"job": h.job("unwanted.pdf")})
	h.Pdfmill("cancel", "inbox/cancelled.pdf")
	for _, key := range []string{"unwanted.pdf", "cancelled.pdf"} {
		h.ended(key, 1)
	}
	h.drop("stopped.pdf")
	h.queued("stopped.pdf", func(_ jetstream.Stream, m *jetstream.RawStreamMsg) { // whoever cancels it dies before it is ended
		var r event.Range
		err := json.Unmarshal(m.Data, &r)
		if err == nil {
			var ends jetstream.KeyValue
			if ends, err = h.admin.KeyValue(h.t.Context(), "pdf_ends"); err == nil {
				_, err = ends.Put(h.t.Context(), r.PassID(), fmt.Appendf(nil, `{"job": %q, "by": "somebody"}`, r.ID))
			}
		}
		if err != nil {
			h.t.Fatal(err)
		}
	})
	h.Up("gpu-runner")
	h.ended("stopped.pdf", 1)
}

// queued waits until a range of a document waits.
func (h *house) queued(key string, see func(jetstream.Stream, *jetstream.RawStreamMsg)) {
	h.t.Helper()
	stream, err := h.admin.Stream(h.t.Context(), "PDF_JOBS")
	if err != nil {
		h.t.Fatal(err)
	}
	var found *jetstream.RawStreamMsg
	pipelinetest.Eventually(h.t, key+" waits for a worker", func() bool {
		for seq := uint64(1); ; {
			m, err := stream.GetMsg(h.t.Context(), seq, jetstream.WithGetMsgSubject("pdf.validated.>"))
			if err != nil {
				return false
			}
			if seq = m.Sequence + 1; bytes.Contains(m.Data, fmt.Appendf(nil, "%q", key)) {
				found = m
				return true
			}
		}
	})
	see(stream, found)
}

// consumersGone has somebody delete the consumers of all.
func (h *house) consumersGone() {
	h.t.Helper()
	var gone [][2]string
	for _, name := range []string{"PDF_JOBS", "PDF_EVENTS", "PDF_ADVISORIES"} {
		stream, err := h.admin.Stream(h.t.Context(), name)
		if err != nil {
			h.t.Fatal(err)
		}
		all := stream.ListConsumers(h.t.Context())
		for info := range all.Info() {
			if info.Config.Durable != "" {
				gone = append(gone, [2]string{name, info.Name})
			}
		}
		if err := all.Err(); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, one := range gone {
		if err := h.admin.DeleteConsumer(h.t.Context(), one[0], one[1]); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, one := range gone {
		pipelinetest.Eventually(h.t, one[1]+" is made again", func() bool {
			_, err := h.admin.Consumer(h.t.Context(), one[0], one[1])
			return err == nil
		})
	}
}

// swept has everything be so old that the publisher takes it away.
func (h *house) swept() {
	h.t.Helper()
	source := sourceOf(h.drop("old.pdf"))
	h.ended("old.pdf", 1)
	h.Age("pdfmill", "", 48*time.Hour)
	pipelinetest.Eventually(h.t, "the publisher has swept", func() bool { return !h.has(source) })
}

func sourceOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "source/" + hex.EncodeToString(sum[:]) + ".pdf"
}

// person does with stock clients what users and tenants may.
func (h *house) person(who, subject, bucket, prefix string) {
	h.t.Helper()
	ctx, js := h.t.Context(), h.Connect(who, "")
	sub, err := js.Conn().SubscribeSync(subject)
	if err != nil {
		h.t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection's end does it too
	h.looks(js, "PDF_EVENTS")
	stream, err := js.Stream(ctx, "PDF_EVENTS")
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := stream.GetMsg(ctx, 1); err != nil {
		h.t.Errorf("%s reads an event: %v", who, err)
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		h.t.Fatal(err)
	}
	msg, err := consumer.Next(jetstream.FetchMaxWait(pipelinetest.Patience))
	if err == nil {
		err = msg.DoubleAck(ctx)
	}
	if err == nil {
		_, err = consumer.Info(ctx)
	}
	if err == nil {
		err = stream.DeleteConsumer(ctx, "mine")
	}
	if err != nil {
		h.t.Errorf("%s follows events: %v", who, err)
	}
	// Other clients make consumers so.
	requests := map[string]string{"$JS.API.CONSUMER.DURABLE.CREATE.PDF_EVENTS.old": `{"stream_name": "PDF_EVENTS", "config": {"durable_name": "old", "ack_policy": "explicit"}}`}
	if who != "user" {
		requests["$JS.API.CONSUMER.CREATE.PDF_EVENTS"] = `{"stream_name": "PDF_EVENTS", "config": {"ack_policy": "explicit"}}`
	}
	for request, body := range requests {
		if answer, err := js.Conn().Request(request, []byte(body), pipelinetest.Patience); err != nil || bytes.Contains(answer.Data, []byte(`"error"`)) {
			h.t.Errorf("%s, %s: %v, %v", who, request, err, answer)
		}
	}

	h.store(who, bucket, prefix)
}

// store does with a stock client of the store what people may.
func (h *house) store(who, bucket, prefix string) {
	h.t.Helper()
	ctx, store, key := h.t.Context(), h.Store(who), "from-"+who+".pdf"
	if who == "tenant-acme" {
		key = "acme/" + key
	}
	if _, err := store.PutObject(ctx, "inbox", key, bytes.NewReader(h.letter), int64(len(h.letter)), minio.PutObjectOptions{}); err != nil {
		h.t.Fatal(err)
	}
	core := minio.Core{Client: store}
	upload, err := core.NewMultipartUpload(ctx, "inbox", key, minio.PutObjectOptions{})
	if err == nil {
		err = core.AbortMultipartUpload(ctx, "inbox", key, upload)
	}
	if err != nil {
		h.t.Errorf("%s gives up on an object of several parts: %v", who, err)
	}
	h.reads(store, "inbox", key)
	h.ended(key, 1)
	if err := store.RemoveObject(ctx, "inbox", key, minio.RemoveObjectOptions{}); err != nil {
		h.t.Errorf("%s takes a document back: %v", who, err)
	}
	for o := range h.Store("root").ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if strings.HasSuffix(o.Key, "document.md") {
			h.reads(store, bucket, o.Key)
			break
		}
	}
	if who == "tenant-acme" { // which lists nothing
		return
	}
	for _, bucket := range []string{"inbox", "pdfmill"} {
		for o := range store.ListObjects(ctx, bucket, minio.ListObjectsOptions{}) {
			if o.Err != nil {
				h.t.Errorf("%s lists %s: %v", who, bucket, o.Err)
			}
		}
		if _, err := store.GetBucketLocation(ctx, bucket); err != nil {
			h.t.Errorf("%s: %v", who, err)
		}
	}
	for o := range store.ListObjects(ctx, "pdfmill", minio.ListObjectsOptions{Prefix: "tenants/", Recursive: true}) {
		h.reads(store, "pdfmill", o.Key)
		break
	}
}

// looks looks at streams as tools for people do.
func (h *house) looks(js jetstream.JetStream, streams ...string) {
	h.t.Helper()
	ctx := h.t.Context()
	if _, err := js.AccountInfo(ctx); err != nil {
		h.t.Error(err)
	}
	names := js.StreamNames(ctx)
	for range names.Name() {
	}
	list := js.ListStreams(ctx)
	for range list.Info() {
	}
	if err := errors.Join(names.Err(), list.Err()); err != nil {
		h.t.Error(err)
	}
	for _, name := range streams {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			h.t.Fatal(err)
		}
		consumers, infos := stream.ConsumerNames(ctx), stream.ListConsumers(ctx)
		for range consumers.Name() {
		}
		for info := range infos.Info() {
			if _, err := stream.Consumer(ctx, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
				h.t.Error(err)
			}
		}
		if err := errors.Join(consumers.Err(), infos.Err()); err != nil {
			h.t.Error(err)
		}
	}
}

// reads reads an object.
func (h *house) reads(store *minio.Client, bucket, key string) {
	h.t.Helper()
	o, err := store.GetObject(h.t.Context(), bucket, key, minio.GetObjectOptions{})
	if err == nil {
		_, err = io.ReadAll(o)
	}
	if err != nil {
		h.t.Errorf("read %s/%s: %v", bucket, key, err)
	}
}

// operator uses pdfmill's commands, and stock clients.
func (h *house) operator() {
	h.t.Helper()
	ctx := h.t.Context()
	dead := func(key string) string {
		h.t.Helper()
		return h.ended(key, 1).Body["dead_letter"].(map[string]any)["id"].(string)
	}
	h.asker = h.Connect("operator", "_INBOX") // as clients that know no other
	h.ask("dead.list", map[string]any{})
	h.ask("dead.groups", map[string]any{})
	h.ask("dead.replay", map[string]any{"ids": []string{dead("wish.pdf")}, "set": map[string]string{"engine": "text"}})
	h.ask("dead.replay", map[string]any{"ids": []string{dead("page.pdf")}})
	h.ended("wish.pdf", 2)
	h.ended("page.pdf", 2)
	h.ask("dead.drop", map[string]any{"ids": []string{dead("wish.pdf")}})
	h.drop("wish-2.pdf", "pdfmill-engine", "magic")
	h.ended("wish-2.pdf", 1)
	h.Pdfmill("dead", "ls")
	h.Pdfmill("dead", "show", dead("wish-2.pdf"))
	h.Pdfmill("dead", "replay", dead("wish-2.pdf"), "--set", "engine=text")
	h.Pdfmill("dead", "replay", dead("page.pdf"), "--again")
	h.ended("wish-2.pdf", 2)
	h.Pdfmill("dead", "drop", dead("wish-2.pdf"), "--yes")
	h.drop("better.pdf")
	h.ended("better.pdf", 1)
	h.Pdfmill("reconvert", "--where", "source=inbox/better.pdf")
	h.ended("better.pdf", 2)
	h.Pdfmill("submit", "--wait", "../samples/letter.pdf")
	h.Pdfmill("status")
	h.Pdfmill("status", "--rebuild")
	h.Pdfmill("tenants", "ls")
	h.Run("doctor") // whatever it says of this machine
	h.Pdfmill("gpu", "status")
	h.Pdfmill("gpu", "lend", "--for", "1h")
	h.Pdfmill("gpu", "return")
	watch := h.Start("watch", "--all")
	watch.Await("events are shown", func() bool { return strings.Contains(watch.Log(), "inbox/letter.pdf") })
	watch.Kill()
	source := sourceOf(h.drop("acme/old.pdf"))
	h.drop("old-2.pdf")
	h.ended("acme/old.pdf", 1)
	h.ended("old-2.pdf", 1)
	h.Down("publisher") // which would be faster
	h.Age("pdfmill", "", 48*time.Hour)
	h.Pdfmill("sweep", "--ranges-age", "1h", "--sources-age", "1h")
	if h.has(source) {
		h.t.Error("a source is there after the operator has swept")
	}
	h.Up("publisher")
	h.drop("again.pdf")
	h.ended("again.pdf", 1)

	js := h.Connect("operator", "_INBOX")
	for _, subject := range []string{"pdf.>", "$JS.EVENT.ADVISORY.>"} {
		if _, err := js.Conn().SubscribeSync(subject); err != nil {
			h.t.Fatal(err)
		}
	}
	h.looks(js, "PDF_JOBS", "PDF_EVENTS", "PDF_DEAD", "PDF_ADVISORIES")
	for _, name := range []string{"PDF_EVENTS", "PDF_DEAD", "PDF_ADVISORIES"} {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := stream.GetMsg(ctx, 1); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			h.t.Errorf("a message of %s: %v", name, err)
		}
		consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
		if err == nil {
			for range 2 { // the second in a consumer of its own
				if _, err = consumer.Next(); err != nil {
					break
				}
			}
		}
		if err != nil {
			h.t.Errorf("the operator reads %s: %v", name, err)
		}
	}
	for _, bucket := range jet.KeyValues(1) {
		kv, err := js.KeyValue(ctx, bucket.Bucket)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := kv.Get(ctx, "nothing"); !errors.Is(err, jetstream.ErrKeyNotFound) {
			h.t.Errorf("a key of %s: %v", bucket.Bucket, err)
		}
		watcher, err := kv.WatchAll(ctx)
		if err == nil {
			err = watcher.Stop()
		}
		if err != nil {
			h.t.Errorf("the operator follows %s: %v", bucket.Bucket, err)
		}
	}
	h.store("operator", "pdfmill", "jobs/")
}

// ask asks the operators' desk.
func (h *house) ask(what string, request any) {
	h.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := h.asker.Conn().Request("pdfmill.ops."+what, body, pipelinetest.Patience)
	if err != nil || answer.Header.Get(micro.ErrorHeader) != "" {
		h.t.Errorf("%s: %v, %v", what, err, answer)
	}
}

// job is the job that a document became.
func (h *house) job(key string) (id string) {
	h.t.Helper()
	pipelinetest.Eventually(h.t, key+" has a status", func() bool {
		var status struct {
			Jobs []struct {
				Job    string
				Source struct{ Key string }
			}
		}
		if err := json.Unmarshal([]byte(h.Pdfmill("status", "--limit", "0", "--json")), &status); err != nil {
			h.t.Fatal(err)
		}
		for _, j := range status.Jobs {
			if j.Source.Key == key {
				id = j.Job
			}
		}
		return id != ""
	})
	return id
}

// has reports whether anything in pdfmill's own bucket begins so.
func (h *house) has(prefix string) (found bool) {
	h.t.Helper()
	for o := range h.Store("root").ListObjects(h.t.Context(), "pdfmill", minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		if o.Err != nil {
			h.t.Fatal(o.Err)
		}
		found = true
	}
	return found
}

// waiting counts the messages of a subject.
func (h *house) waiting(subject string) uint64 {
	h.t.Helper()
	stream, err := h.admin.Stream(h.t.Context(), "PDF_JOBS")
	if err != nil {
		h.t.Fatal(err)
	}
	info, err := stream.Info(h.t.Context(), jetstream.WithSubjectFilter(subject))
	if err != nil {
		h.t.Fatal(err)
	}
	return info.State.Subjects[subject]
}

// drop puts a document that nobody has seen before, with metadata.
func (h *house) drop(key string, metadata ...string) []byte {
	h.t.Helper()
	h.n++
	about := map[string]string{}
	for i := 0; i < len(metadata); i += 2 {
		about[metadata[i]] = metadata[i+1]
	}
	content := unique(h.letter, h.n)
	h.Put(key, content, about)
	return content
}

// ended waits for the nth end of a document.
func (h *house) ended(key string, n int) rig.Event {
	h.t.Helper()
	return h.events.Await("inbox/"+key, n)
}

// consumer is that of a stage which does not run.
func (h *house) consumer(subject string) jetstream.Consumer {
	h.t.Helper()
	consumer, err := h.admin.CreateOrUpdateConsumer(h.t.Context(), "PDF_JOBS", jet.Consumer(subject))
	if err != nil {
		h.t.Fatal(err)
	}
	return consumer
}

// refuse takes a message in a stage's place, and gives it back.
func (h *house) refuse(subject string) {
	h.t.Helper()
	msg, err := h.consumer(subject).Next(jetstream.FetchMaxWait(pipelinetest.Patience))
	if err == nil {
		err = msg.Nak()
	}
	if err != nil {
		h.t.Fatalf("nothing waits on %s: %v", subject, err)
	}
}

// again has a message come to its stage once more, and look as if it were older than the server's memory of ids.
func (h *house) again(subject string) {
	h.t.Helper()
	h.refuse(subject)
	h.backset -= 10 * time.Minute
	h.SetClock(h.backset)
}

// crashes has a message come to its stage as often as it may.
func (h *house) crashes(subject string) {
	h.t.Helper()
	for range jet.MaxDeliver {
		h.refuse(subject)
	}
	if _, err := h.consumer(subject).FetchNoWait(1); err != nil {
		h.t.Fatal(err)
	}
}
