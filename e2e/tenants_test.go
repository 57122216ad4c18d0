package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
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
	pipelinetest.Eventually(t, "one more is converted", func() bool { // a server that was started again may be told twice of what waits
		all := tenants(t, p)
		return len(all) == 1 && all["acme"].Waiting >= 1 && strings.Contains(p.Pdfmill("status", "--tenant", "acme"), "3 converted")
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

// may says whether the store lets the tenant do something: put, get, stat, delete, list.
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
	}
	if err != nil && minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
		a.t.Fatalf("%s, %s %s/%s: %v", a.name, what, bucket, key, err)
	}
	return err == nil
}

// TestTenantsSeeNothingOfEachOther: two tenants drop the same document with the stock clients and what they were told. Each hears of its own, converted for itself, and
// reads it; whatever else it tries, the servers refuse.
func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	data, declared := t.TempDir(), filepath.Join(t.TempDir(), "tenants.json")
	write(t, declared, []byte(`{"tenants": [{"name": "acme", "source": "inbox/acme/", "account": true}, {"name": "bolt", "source": "bolt-in", "account": true}]}`))
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
		nc, err := nats.Connect(a.NATSURL, nats.UserInfo(a.NATSUser, a.NATSPassword))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		consumer, err := js.CreateConsumer(t.Context(), "PDF_EVENTS", jetstream.ConsumerConfig{Durable: "mine", AckPolicy: jetstream.AckExplicitPolicy})
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
		{"acme", "get", "pdfmill", source, false},
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
	if out := p.Pdfmill("status"); !strings.Contains(out, "2 converted") {
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
