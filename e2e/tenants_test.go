package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// tenantReport is what `tenants ls --json` says of a tenant.
type tenantReport struct {
	Name string
	Used struct {
		Documents, Bytes int64
		DeviceSeconds    float64 `json:"device_seconds"`
	}
	Over *struct {
		Quota string
		Until time.Time
	}
	Waiting int
}

func tenants(t *testing.T, p *rig.Pipeline) map[string]tenantReport {
	t.Helper()
	var list struct{ Tenants []tenantReport }
	if err := json.Unmarshal([]byte(p.Pdfmill("tenants", "ls", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	all := map[string]tenantReport{}
	for _, r := range list.Tenants {
		all[r.Name] = r
	}
	return all
}

// TestTenantsOfUp: two tenants in folders of one inbox. What is beyond a quota waits and is said to, nobody else waits, and a larger quota lets it go on.
func TestTenantsOfUp(t *testing.T) {
	data, declared := t.TempDir(), filepath.Join(t.TempDir(), "tenants.json")
	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 2}, {"name": "bolt", "source": "inbox/bolt/"}]}`))
	p := rig.Up(t, data, "--tenants", declared)
	different := func(i int) []byte { return unique(read(t, "../samples/letter.pdf"), i) }
	p.Put("bolt/same.pdf", different(1), nil)
	for i := range 4 {
		if i%2 == 0 { // half of them through the gateway, half as files
			p.Put(fmt.Sprintf("acme/%d.pdf", i), different(i), nil)
		} else {
			write(t, filepath.Join(p.InboxDir, "acme", fmt.Sprintf("%d.pdf", i)), different(i))
		}
	}
	p.Put("nobodys.pdf", different(9), nil)
	pipelinetest.Eventually(t, "two of acme's wait, and all the others are converted", func() bool {
		all := tenants(t, p)
		return all["acme"].Waiting == 2 && all["acme"].Used.Documents == 2 && all["acme"].Used.DeviceSeconds > 0 && all["bolt"].Used.Documents == 1 &&
			strings.Contains(p.Pdfmill("status"), "4 converted")
	})
	if over := tenants(t, p)["acme"].Over; over == nil || over.Quota != "documents" || !over.Until.After(time.Now()) {
		t.Errorf("acme is over %+v", over)
	}
	if out := p.Pdfmill("status", "--tenant", "acme"); !strings.Contains(out, "2 documents wait: tenant acme has used 2 of 2 documents of today; it goes on at ") || strings.Contains(out, "bolt") {
		t.Errorf("status of acme:\n%s", out)
	}
	if out := p.Run("status", "--tenant", "nobody"); out.Code != 1 || !strings.Contains(out.Stderr, "pdfmill tenants ls") {
		t.Errorf("status of no tenant: exit %d, %s", out.Code, out.Stderr)
	}
	p.Stop(10 * time.Second)

	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 3}]}`))
	p = rig.Up(t, data, "--tenants", declared)
	pipelinetest.Eventually(t, "one more is converted", func() bool {
		all := tenants(t, p)
		return len(all) == 1 && all["acme"].Waiting == 1 && strings.Contains(p.Pdfmill("status", "--tenant", "acme"), "3 converted")
	})
	p.Stop(10 * time.Second)

	p = rig.Up(t, data) // nobody is a tenant any more
	pipelinetest.Eventually(t, "the last one is converted", func() bool { return strings.Contains(p.Pdfmill("status"), "6 converted") })
	p.Stop(10 * time.Second)

	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme"}]}`))
	if out := rig.Run(t, "up", "--data", data, "--tenants", declared); out.Code != 2 || !strings.Contains(out.Stderr, declared) || !strings.Contains(out.Stderr, "BUCKET/FOLDER/") {
		t.Errorf("a declaration that is wrong: exit %d, %s", out.Code, out.Stderr)
	}
}

// as is somebody who knows nothing of a pipeline but what a tenant is told, in a file below the data directory.
type as struct {
	rig.Endpoints
	t    *testing.T
	name string
}

func tenantOf(t *testing.T, data, name string) *as {
	t.Helper()
	a := &as{t: t, name: name}
	if err := json.Unmarshal(read(t, filepath.Join(data, "tenants", name, "endpoints.json")), &a.Endpoints); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *as) s3() *minio.Client {
	a.t.Helper()
	client, err := minio.New(strings.TrimPrefix(a.S3Endpoint, "http://"), &minio.Options{Creds: credentials.NewStaticV4(a.S3AccessKey, a.S3SecretKey, "")})
	if err != nil {
		a.t.Fatal(err)
	}
	return client
}

// home is an object of the tenant's own in TestTenantsSeeNothingOfEachOther.
func (a *as) home() (bucket, key string) {
	if a.name == "acme" {
		return "inbox", "acme/copied.pdf"
	}
	return "bolt-in", "copied.pdf"
}

// may says whether the store lets the tenant do something: put, get, delete, list, copy to its own source, as a whole or as a part, look for uploads that are under way,
// and read or replace the bucket's policy.
func (a *as) may(what, bucket, key string) bool {
	a.t.Helper()
	var err error
	switch client := a.s3(); what {
	case "put":
		_, err = client.PutObject(a.t.Context(), bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
	case "get":
		var o *minio.Object
		if o, err = client.GetObject(a.t.Context(), bucket, key, minio.GetObjectOptions{}); err == nil {
			_, err = io.ReadAll(o)
		}
	case "delete":
		err = client.RemoveObject(a.t.Context(), bucket, key, minio.RemoveObjectOptions{})
	case "list":
		for o := range client.ListObjects(a.t.Context(), bucket, minio.ListObjectsOptions{Prefix: key, Recursive: true}) {
			err = o.Err
		}
	case "copy":
		to, as := a.home()
		_, err = client.CopyObject(a.t.Context(), minio.CopyDestOptions{Bucket: to, Object: as}, minio.CopySrcOptions{Bucket: bucket, Object: key})
	case "copy part":
		to, as := a.home()
		core := minio.Core{Client: client}
		id, begun := core.NewMultipartUpload(a.t.Context(), to, as, minio.PutObjectOptions{})
		if begun != nil {
			a.t.Fatal(begun)
		}
		_, err = core.CopyObjectPart(a.t.Context(), bucket, key, to, as, id, 1, 0, -1, nil)
		if end := core.AbortMultipartUpload(a.t.Context(), to, as, id); end != nil {
			a.t.Fatal(end)
		}
	case "uploads":
		for u := range client.ListIncompleteUploads(a.t.Context(), bucket, key, true) {
			err = u.Err
		}
	case "policy":
		_, err = client.GetBucketPolicy(a.t.Context(), bucket)
	case "govern":
		err = client.SetBucketPolicy(a.t.Context(), bucket, `{"Version":"2012-10-17","Statement":[]}`)
	}
	if err != nil && minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
		a.t.Fatalf("%s, %s %s/%s: %v", a.name, what, bucket, key, err)
	}
	return err == nil
}

// connect connects with the stock client.
func (a *as) connect() *nats.Conn {
	a.t.Helper()
	nc, err := nats.Connect(a.NATSURL, nats.UserInfo(a.NATSUser, a.NATSPassword), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(nc.Close)
	return nc
}

// refused says whether the NATS server refuses what do does.
func (a *as) refused(do func(*nats.Conn) error) bool {
	a.t.Helper()
	nc := a.connect()
	defer nc.Close()
	err := do(nc)
	if err == nil {
		err = nc.Flush() // its answer comes after the refusal
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}

// TestTenantsSeeNothingOfEachOther: two tenants drop the same document with the stock clients and what they were told. Each hears of its own, converted for itself, and
// reads it; whatever else it tries, the servers refuse.
func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	data, declared := t.TempDir(), filepath.Join(t.TempDir(), "tenants.json")
	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "account": true}, {"name": "bolt", "source": "bolt-in", "account": true}, {"name": "cove", "source": "inbox/cove/"}]}`))
	if out := rig.Run(t, "up", "--data", data, "--tenants", declared); out.Code != 2 || !strings.Contains(out.Stderr, "the source of bolt, bolt-in, is in no inbox") {
		t.Errorf("a source in no inbox: exit %d, %s", out.Code, out.Stderr)
	}
	p := rig.Up(t, data, "--tenants", declared, "--inbox", "inbox,bolt-in")
	letter := unique(read(t, "../samples/letter.pdf"), 77)
	type ended struct {
		Job, Tenant string
		Cached      bool
		Markdown    struct{ Bucket, Key string }
	}
	clients, ends := map[string]*as{}, map[string]ended{}
	for name, place := range map[string][2]string{"acme": {"inbox", "acme/same.pdf"}, "bolt": {"bolt-in", "same.pdf"}} {
		a := tenantOf(t, data, name)
		clients[name] = a
		js, err := jetstream.New(a.connect())
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := js.CreateConsumer(t.Context(), "PDF_EVENTS", jetstream.ConsumerConfig{Durable: "of-" + name, AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.s3().PutObject(t.Context(), place[0], place[1], bytes.NewReader(letter), int64(len(letter)), minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		m, err := consumer.Next(jetstream.FetchMaxWait(pipelinetest.Patience))
		if err != nil {
			t.Fatal(err)
		}
		var e ended
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			t.Fatal(err)
		}
		if m.Subject() != "pdf."+name+".converted" || e.Tenant != name || e.Cached || m.Headers().Get("ce-id") == "" {
			t.Errorf("%s heard %s %+v", name, m.Subject(), e)
		}
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
		ends[name] = e
	}
	if ends["acme"].Job == ends["bolt"].Job {
		t.Error("two tenants share a job")
	}
	// Somebody's who is no tenant, and one that fails.
	everything := rig.Subscribe(t, p.NATS())
	p.Put("nobodys.pdf", letter, nil)
	var nobodys ended
	if err := json.Unmarshal(everything.Await("inbox/nobodys.pdf", 1).Raw, &nobodys); err != nil {
		t.Fatal(err)
	}
	if _, err := clients["bolt"].s3().PutObject(t.Context(), "bolt-in", "broken.pdf", strings.NewReader("none"), 4, minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	everything.Await("bolt-in/broken.pdf", 1)

	sum := sha256.Sum256(letter)
	source := "source/" + hex.EncodeToString(sum[:]) + ".pdf"
	acme, bolt := ends["acme"].Markdown, ends["bolt"].Markdown
	for _, want := range []struct {
		who, what, bucket, key string
		may                    bool
	}{
		{"acme", "get", acme.Bucket, acme.Key, true},
		{"acme", "get", bolt.Bucket, bolt.Key, false},
		{"bolt", "get", bolt.Bucket, bolt.Key, true},
		{"bolt", "get", acme.Bucket, acme.Key, false},
		{"acme", "get", nobodys.Markdown.Bucket, nobodys.Markdown.Key, false},
		{"acme", "get", "inbox", "nobodys.pdf", false},
		{"acme", "delete", "inbox", "nobodys.pdf", false},
		{"acme", "get", "pdfmill", source, false},
		{"acme", "delete", "pdfmill", source, false},
		{"acme", "copy", "pdfmill", source, false},
		{"acme", "copy", bolt.Bucket, bolt.Key, false},
		{"acme", "copy", nobodys.Markdown.Bucket, nobodys.Markdown.Key, false},
		{"acme", "copy", "bolt-in", "same.pdf", false},
		{"acme", "copy", "inbox", "nobodys.pdf", false},
		{"acme", "copy part", "bolt-in", "same.pdf", false},
		{"acme", "copy part", bolt.Bucket, bolt.Key, false},
		{"acme", "copy part", "inbox", "nobodys.pdf", false},
		{"acme", "copy part", "inbox", "acme/same.pdf", true},
		{"acme", "uploads", "inbox", "", false},
		{"acme", "uploads", "bolt-in", "", false},
		{"acme", "uploads", "pdfmill", "", false},
		{"acme", "policy", "inbox", "", false},
		{"acme", "policy", "bolt-in", "", false},
		{"acme", "policy", "pdfmill", "", false},
		{"acme", "govern", "inbox", "", false},
		{"bolt", "govern", "bolt-in", "", false},
		{"bolt", "policy", "bolt-in", "", false},
		{"acme", "put", acme.Bucket, acme.Key, false},
		{"acme", "delete", acme.Bucket, acme.Key, false},
		{"acme", "list", "pdfmill", "tenants/acme/", false},
		{"acme", "list", "pdfmill", "", false},
		{"acme", "get", "inbox", "acme/same.pdf", true},
		{"acme", "list", "inbox", "", false},
		{"acme", "put", "inbox", "beside.pdf", false},
		{"acme", "put", "inbox", "acme-2/beside.pdf", false},
		{"acme", "put", "bolt-in", "beside.pdf", false},
		{"acme", "get", "bolt-in", "same.pdf", false},
		{"acme", "list", "bolt-in", "", false},
		{"bolt", "list", "bolt-in", "", true},
		{"bolt", "get", "inbox", "acme/same.pdf", false},
		{"bolt", "delete", "inbox", "acme/same.pdf", false},
		{"bolt", "delete", "bolt-in", "same.pdf", true},
	} {
		if may := clients[want.who].may(want.what, want.bucket, want.key); may != want.may {
			t.Errorf("%s, %s %s/%s: allowed %t, want %t", want.who, want.what, want.bucket, want.key, may, want.may)
		}
	}
	for _, subject := range []string{">", "pdf.>", "pdf.converted", "pdf.failed", "pdf.bolt.>", "pdf.bolt.converted", "pdf.dropped.>", "pdf.dead.>", "$KV.>", "$JS.EVENT.>", "pdfmill.>", "_INBOX_operator.>"} {
		if !clients["acme"].refused(func(nc *nats.Conn) error { _, err := nc.SubscribeSync(subject); return err }) {
			t.Errorf("acme may listen to %s", subject)
		}
	}
	var forbidden []string
	for _, stream := range []string{"PDF_JOBS", "PDF_DEAD", "PDF_ADVISORIES", "KV_pdf_jobs", "KV_pdf_sources", "KV_pdf_ends", "KV_pdf_usage", "KV_pdf_tenants"} {
		for _, request := range []string{
			"STREAM.INFO.%s", "STREAM.MSG.GET.%s", "DIRECT.GET.%s", "STREAM.PURGE.%s", "STREAM.DELETE.%s", "CONSUMER.NAMES.%s", "CONSUMER.LIST.%s", "CONSUMER.CREATE.%s", "CONSUMER.CREATE.%s.mine",
			"CONSUMER.DURABLE.CREATE.%s.mine", "CONSUMER.MSG.NEXT.%s.mine",
		} {
			forbidden = append(forbidden, "$JS.API."+fmt.Sprintf(request, stream))
		}
	}
	forbidden = append(forbidden, "pdf.dropped", "pdf.dropped.tenant-acme", "pdf.dropped.tenant-bolt", "pdf.dead.ingest.crash", "pdf.converted", "pdf.acme.converted", "pdf.bolt.converted",
		"$KV.pdf_usage.day.acme.2026-11-26", "$KV.pdf_tenants.acme", "pdfmill.ops.status", "pdfmill.ops.cancel", "pdfmill.ops.dead.list", "pdfmill.tenant.bolt.API.STREAM.INFO.PDF_EVENTS",
		"$JS.API.STREAM.DELETE.PDF_EVENTS", "$JS.API.STREAM.PURGE.PDF_EVENTS", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.PDF_EVENTS")
	for _, subject := range forbidden {
		if !clients["acme"].refused(func(nc *nats.Conn) error { return nc.Publish(subject, nil) }) {
			t.Errorf("acme may ask for %s", subject)
		}
	}
	// What it may ask for shows its own alone: bolt's consumer and events are in another account, under the same names.
	js, err := jetstream.New(clients["acme"].connect())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Consumer(t.Context(), "PDF_EVENTS", "of-bolt"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("acme looks at bolt's consumer: %v", err)
	}
	if err := js.DeleteConsumer(t.Context(), "PDF_EVENTS", "of-bolt"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("acme deletes bolt's consumer: %v", err)
	}
	stream, err := js.Stream(t.Context(), "PDF_EVENTS")
	if err != nil {
		t.Fatal(err)
	}
	var consumers, streams []string
	for name := range stream.ConsumerNames(t.Context()).Name() {
		consumers = append(consumers, name)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		streams = append(streams, name)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(consumers, []string{"of-acme"}) || !slices.Equal(streams, []string{"PDF_EVENTS"}) || !maps.Equal(info.State.Subjects, map[string]uint64{"pdf.acme.converted": 1}) {
		t.Errorf("acme sees consumers %q, streams %q, events %v", consumers, streams, info.State.Subjects)
	}

	if out := rig.Run(t, "submit", "--wait", "--data", filepath.Join(data, "tenants", "acme"), "../samples/letter.pdf"); out.Code != 0 || !strings.Contains(out.Stdout+out.Stderr, "inbox/acme/submitted/") {
		t.Errorf("a tenant submits: exit %d, %s%s", out.Code, out.Stdout, out.Stderr)
	}
	if out := rig.Run(t, "watch", "--data", filepath.Join(data, "tenants", "cove")); out.Code != 2 || !strings.Contains(out.Stderr, `"account": true`) {
		t.Errorf("a tenant without an account watches: exit %d, %s", out.Code, out.Stderr)
	}
	watch := rig.Start(t, nil, rig.Binary(t, "pdfmill"), "watch", "--all", "--data", filepath.Join(data, "tenants", "acme"))
	watch.Await("a tenant watches its events", func() bool { return strings.Contains(watch.Log(), "inbox/acme/same.pdf") })
	if strings.Contains(watch.Log(), "bolt") {
		t.Errorf("acme watches bolt's:\n%s", watch.Log())
	}
	if out := rig.Run(t, "status", "--data", filepath.Join(data, "tenants", "acme")); out.Code == 0 {
		t.Errorf("a tenant sees the pipeline's status:\n%s", out.Stdout)
	}
	watch.Kill()
	p.Stop(10 * time.Second)
	// What there was stays, with accounts and without.
	p = rig.Up(t, data, "--inbox", "inbox,bolt-in")
	if out := p.Pdfmill("status"); !strings.Contains(out, "4 converted") {
		t.Errorf("after another start:\n%s", out)
	}
	p.Stop(10 * time.Second)
}

// TestTenantsOfSeparateProcesses: they hear of tenants, and of a larger quota, while they run.
func TestTenantsOfSeparateProcesses(t *testing.T) {
	p := rig.Apart(t, t.TempDir())
	declared := filepath.Join(t.TempDir(), "tenants.json")
	apply := func(documents int) {
		t.Helper()
		write(t, declared, fmt.Appendf(nil, `{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": %d}, {"name": "bolt", "source": "inbox/bolt/"}]}`, documents))
		p.Pdfmill("topology", "apply", "--tenants", declared)
	}
	apply(2)
	for i := range 4 {
		p.Put(fmt.Sprintf("acme/%d.pdf", i), unique(read(t, "../samples/letter.pdf"), 100+i), nil)
	}
	p.Put("bolt/0.pdf", unique(read(t, "../samples/letter.pdf"), 110), nil)
	pipelinetest.Eventually(t, "two of acme's wait, and bolt's is converted", func() bool {
		all := tenants(t, p)
		return all["acme"].Waiting == 2 && all["acme"].Used.Documents == 2 && all["acme"].Used.DeviceSeconds > 0 && all["bolt"].Used.DeviceSeconds > 0
	})
	if out := p.Run("topology", "diff", "--tenants", declared); out.Code != 0 {
		t.Errorf("applied, and still differs: %s", out.Stdout)
	}
	apply(4)
	pipelinetest.Eventually(t, "the others are converted", func() bool {
		return tenants(t, p)["acme"].Waiting == 0 && strings.Contains(p.Pdfmill("status", "--tenant", "acme"), "4 converted")
	})
}

// TestQuotasOfBytesAndDeviceSeconds: who has used up either waits, or is refused, and is said to; nobody else is. What counts is what was dropped, and what engines worked.
func TestQuotasOfBytesAndDeviceSeconds(t *testing.T) {
	p := rig.Apart(t, t.TempDir())
	events := rig.Subscribe(t, p.NATS())
	declared := filepath.Join(t.TempDir(), "tenants.json")
	apply := func(bytes int64, seconds float64) {
		t.Helper()
		write(t, declared, fmt.Appendf(nil, `{"tenants": [{"name": "acme", "source": "inbox/acme/", "bytes": %[1]d}, {"name": "bolt", "source": "inbox/bolt/"},
			{"name": "cove", "source": "inbox/cove/", "device_seconds": %[2]g}, {"name": "dash", "source": "inbox/dash/", "bytes": %[1]d, "over_quota": "refuse"}]}`, bytes, seconds))
		p.Pdfmill("topology", "apply", "--tenants", declared)
	}
	size, dropped := int64(0), 0
	drop := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			content := unique(read(t, "../samples/letter.pdf"), 200+dropped)
			size, dropped = int64(len(content)), dropped+1 // all have the same
			p.Put(key, content, nil)
		}
	}
	ended := func(how string, keys ...string) (n int) {
		t.Helper()
		for _, key := range keys {
			for _, e := range events.Of("inbox/" + key) {
				if e.Subject == "pdf."+how {
					n++
				}
			}
		}
		return n
	}
	drop("warm.pdf") // it is nobody's, and tells the size
	bytes := 3 * size / 2
	apply(bytes, 1e-6)
	ofAcme, ofBolt := []string{"acme/0.pdf", "acme/1.pdf", "acme/2.pdf", "acme/3.pdf"}, []string{"bolt/0.pdf", "bolt/1.pdf"}
	ofCove, ofDash := []string{"cove/0.pdf", "cove/1.pdf", "cove/2.pdf"}, []string{"dash/0.pdf", "dash/1.pdf", "dash/2.pdf", "dash/3.pdf"}
	drop(ofCove[0])
	var timings struct {
		Timings struct{ Convert, Total float64 }
	}
	if err := json.Unmarshal(events.Await("inbox/"+ofCove[0], 1).Raw, &timings); err != nil {
		t.Fatal(err)
	}
	if used := tenants(t, p)["cove"].Used.DeviceSeconds; used <= 0 || used < timings.Timings.Convert || used > timings.Timings.Total {
		t.Errorf("%g seconds count for a document whose pages took %+v", used, timings)
	}
	drop(ofCove[1:]...)
	drop(ofAcme...)
	drop(ofDash...)
	drop(ofBolt...)
	pipelinetest.Eventually(t, "two of acme's and of cove's wait, two of dash's are refused, and all others are converted", func() bool {
		all := tenants(t, p)
		return all["acme"].Waiting == 2 && all["acme"].Used.Bytes == 2*size && all["cove"].Waiting == 2 && all["cove"].Used.Documents == 1 &&
			all["dash"].Waiting == 0 && all["dash"].Used.Bytes == 2*size && ended("failed", ofDash...) == 2 && ended("converted", ofDash...) == 2 &&
			ended("converted", ofAcme...) == 2 && ended("converted", ofBolt...) == len(ofBolt)
	})
	table := p.Pdfmill("tenants", "ls")
	for name, says := range map[string][]string{
		"acme": {fmt.Sprintf("%d of %d", 2*size, bytes), " bytes used up; goes on at "}, "cove": {" of 0.0 ", " device-seconds used up; goes on at "}, "bolt": {fmt.Sprintf(" %d ", 2*size)},
	} {
		for line := range strings.Lines(table) {
			for _, text := range says {
				if strings.HasPrefix(line, name) && !strings.Contains(line, text) {
					t.Errorf("no %q in %s", text, line)
				}
			}
		}
	}
	for _, key := range ofDash {
		for _, e := range events.Of("inbox/" + key) {
			if e.Subject == "pdf.failed" && (e.Body["class"] != "over-quota" || !strings.Contains(string(e.Raw), fmt.Sprintf("tenant dash has used %d of %d bytes of today", 2*size, bytes))) {
				t.Errorf("%s failed: %s", key, e.Raw)
			}
		}
	}
	apply(0, 3600)
	p.Pdfmill("dead", "replay", "--class", "over-quota")
	pipelinetest.Eventually(t, "with larger quotas all are converted", func() bool {
		all := tenants(t, p)
		return ended("converted", ofAcme...) == len(ofAcme) && ended("converted", ofCove...) == len(ofCove) && ended("converted", ofDash...) == len(ofDash) &&
			all["acme"].Used.Bytes == 4*size && all["dash"].Used.Bytes == 4*size && all["acme"].Waiting+all["cove"].Waiting == 0
	})
	if all := tenants(t, p); all["acme"].Over != nil || all["cove"].Over != nil || all["cove"].Used.DeviceSeconds <= timings.Timings.Convert {
		t.Errorf("in the end: %+v", all)
	}
}
