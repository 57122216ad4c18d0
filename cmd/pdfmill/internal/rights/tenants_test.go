package rights_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/rights"
	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/job"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// house is a real server with the accounts that topology users writes.
type house struct {
	t   *testing.T
	dir string
	url string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir()}
	users := filepath.Join(h.dir, "users")
	topology := jet.Topology{Replicas: 1, Engines: []string{"text"}, Tenants: tenant.Set{
		{Name: "acme", Source: "inbox/acme/", Account: true}, {Name: "bolt", Source: "inbox/bolt/", Account: true}, {Name: "quiet", Source: "inbox/quiet/"},
	}}
	if err := rights.Write(users, topology, rights.Buckets{Inboxes: []string{"inbox"}, Own: "pdfmill"}, "PDFMILL"); err != nil {
		t.Fatal(err)
	}
	// Beside the user that bolt gets, one with no limits but those of its account.
	accounts := filepath.Join(users, rights.AccountsFile)
	text, err := os.ReadFile(accounts)
	if err != nil {
		t.Fatal(err)
	}
	bolt := `"` + jet.TenantAccount("bolt") + `": `
	if !strings.Contains(string(text), bolt) {
		t.Fatalf("no account of bolt in\n%s", text)
	}
	head, tail, _ := strings.Cut(string(text), bolt)
	text = []byte(head + bolt + strings.Replace(tail, `"users":[`, `"users":[{"user":"unlimited","password":"unlimited"},`, 1))
	conf := fmt.Sprintf(`
listen: "127.0.0.1:-1"
jetstream { store_dir: %q }
accounts {
  PDFMILL { jetstream: enabled, include "users/%s", include "users/%s" }
  include "users/%s"
}`, filepath.Join(h.dir, "jetstream"), rights.UsersFile, rights.ImportsFile, rights.AccountsFile)
	for path, content := range map[string][]byte{accounts: text, filepath.Join(h.dir, "nats.conf"): []byte(conf)} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	options, err := server.ProcessConfigFile(filepath.Join(h.dir, "nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	options.NoSigs, options.NoLog = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(pipelinetest.Patience) {
		t.Fatal("the server does not start")
	}
	h.url = s.ClientURL()
	admin := h.broker(jet.RoleAdmin)
	plan, err := admin.Diff(t.Context(), topology)
	if err == nil {
		err = admin.Execute(t.Context(), plan, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = admin.Diff(t.Context(), topology); err != nil || len(plan.Changes) > 0 {
		t.Fatalf("applied, and still differs: %+v, %v", plan.Changes, err)
	}
	return h
}

// broker is a role's.
func (h *house) broker(role string) *jet.Broker {
	h.t.Helper()
	b, err := jet.Connect(h.t.Context(), jet.Config{URL: h.url, NKey: rights.SeedFile(filepath.Join(h.dir, "users"), role), InboxPrefix: jet.InboxPrefix(role)}, role, telemetry.Discard())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(b.Close)
	return b
}

// tenant connects with the stock client and what the tenant gets.
func (h *house) tenant(name string) *nats.Conn {
	h.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(rights.SeedFile(filepath.Join(h.dir, "users"), rights.TenantUser(name)))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.connect(seed)
}

func (h *house) connect(how nats.Option) *nats.Conn {
	h.t.Helper()
	nc, err := nats.Connect(h.url, how, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(nc.Close)
	return nc
}

// courier runs as a publisher's process runs it, until the returned function is called.
func (h *house) courier() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	c := jet.NewCourier(h.broker(stage.Publisher), telemetry.Discard())
	go func() { ended <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Error(err)
		}
	}
}

// end is the event that ends a job of an object; one that failed before it was a job knows no tenant.
func end(key, owner string, fails bool) stage.Output {
	source := document.Source{Bucket: "inbox", Key: key, SHA256: strings.Repeat("ab", 32), ModTime: time.Unix(1, 0)}
	if fails {
		j := event.NewDropped(source).Work()
		return event.Terminal(j, event.SubjectFailed, event.Failed{Job: j.ID, Drop: j.Drop, Source: source}, time.Unix(2, 0))
	}
	j := job.New(source, job.Default(), "", time.Unix(1, 0)).For(owner)
	return event.Terminal(j, event.SubjectConverted, event.Converted{Job: j.ID, Drop: j.Drop, Source: source, Tenant: owner}, time.Unix(2, 0))
}

// stored reads everything a tenant's stream holds, as the tenant, with a consumer of its own: subject and ce-id of each.
func stored(t *testing.T, nc *nats.Conn) []string {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := js.CreateConsumer(t.Context(), jet.StreamEvents, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = js.DeleteConsumer(context.WithoutCancel(t.Context()), jet.StreamEvents, consumer.CachedInfo().Name)
	}()
	var all []string
	for range consumer.CachedInfo().NumPending {
		m, err := consumer.Next(jetstream.FetchMaxWait(pipelinetest.Patience))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Subject()+" "+m.Headers().Get("ce-id"))
		if err := m.Ack(); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	return all
}

// TestEventsComeIntoTheirAccounts: each tenant gets its own, under its own subjects and the same ids, once; nothing is lost while nobody brings them, and everybody's
// stay where they were.
func TestEventsComeIntoTheirAccounts(t *testing.T) {
	h := newHouse(t)
	publisher := h.broker(stage.Publisher)
	outs := []stage.Output{
		end("acme/a.pdf", "acme", false), end("bolt/a.pdf", "bolt", false), end("a.pdf", "", false), end("quiet/a.pdf", "quiet", false),
		end("acme/bad.pdf", "", true), end("acme/late.pdf", "acme", false), end("bad.pdf", "", true),
	}
	acme, bolt := h.tenant("acme"), h.tenant("bolt")
	live, err := acme.SubscribeSync("pdf.acme.>")
	if err == nil {
		err = acme.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Publish(t.Context(), outs[:5]...); err != nil {
		t.Fatal(err)
	}
	stop, second := h.courier(), h.courier() // two replicas
	want := map[string][]string{
		"acme": {"pdf.acme.converted " + outs[0].ID, "pdf.acme.failed " + outs[4].ID},
		"bolt": {"pdf.bolt.converted " + outs[1].ID},
	}
	await := func() {
		t.Helper()
		for name, nc := range map[string]*nats.Conn{"acme": acme, "bolt": bolt} {
			slices.Sort(want[name])
			pipelinetest.Eventually(t, name+" has its events", func() bool { return len(stored(t, nc)) >= len(want[name]) })
			if got := stored(t, nc); !slices.Equal(got, want[name]) {
				t.Errorf("%s has %q, want %q", name, got, want[name])
			}
		}
	}
	await()
	stop()
	second()
	if err := publisher.Publish(t.Context(), outs[5:]...); err != nil {
		t.Fatal(err)
	}
	defer h.courier()()
	want["acme"] = append(want["acme"], "pdf.acme.converted "+outs[5].ID)
	await()
	for range want["acme"] {
		if m, err := live.NextMsg(pipelinetest.Patience); err != nil || !strings.HasPrefix(m.Subject, "pdf.acme.") || m.Header.Get("ce-specversion") != "1.0" {
			t.Errorf("a plain subscription heard %+v, %v", m, err)
		}
	}
	js, err := jetstream.New(h.connectAs(jet.RoleAdmin))
	if err != nil {
		t.Fatal(err)
	}
	if all, err := js.Stream(t.Context(), jet.StreamEvents); err != nil || all.CachedInfo().State.Msgs != uint64(len(outs)) {
		t.Errorf("pdfmill's own stream: %+v, %v", all, err)
	}
}

// TestCouriersSurviveTheirConsumer: a publisher's process makes it again when somebody has deleted it, and nothing is lost.
func TestCouriersSurviveTheirConsumer(t *testing.T) {
	h := newHouse(t)
	defer h.courier()()
	publisher, acme := h.broker(stage.Publisher), h.tenant("acme")
	first, second := end("acme/a.pdf", "acme", false), end("acme/b.pdf", "acme", false)
	for _, event := range []stage.Output{first, second} {
		if err := publisher.Publish(t.Context(), event); err != nil {
			t.Fatal(err)
		}
		pipelinetest.Eventually(t, "it is in its account", func() bool {
			return slices.Contains(stored(t, acme), "pdf.acme.converted "+event.ID)
		})
		js, err := jetstream.New(h.connectAs(jet.RoleAdmin))
		if err == nil {
			err = js.DeleteConsumer(t.Context(), jet.StreamEvents, "tenants")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// connectAs connects with a role's key.
func (h *house) connectAs(role string) *nats.Conn {
	h.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(rights.SeedFile(filepath.Join(h.dir, "users"), role))
	if err != nil {
		h.t.Fatal(err)
	}
	return h.connect(seed)
}

// refused says whether the server refused what was just done.
func refused(t *testing.T, nc *nats.Conn, do func() error) bool {
	t.Helper()
	if err := do(); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // its answer comes after the refusal
		t.Fatal(err)
	}
	return nc.LastError() != nil && strings.Contains(strings.ToLower(nc.LastError().Error()), "permissions violation")
}

// TestATenantMayOnly follow its own events: the server refuses everything else.
func TestATenantMayOnly(t *testing.T) {
	h := newHouse(t)
	for _, subject := range []string{
		">", "pdf.>", "pdf.bolt.>", "pdf.bolt.converted", "pdf.converted", "pdf.failed", "pdf.dropped", "pdf.ingested", "pdf.dead.>", "$KV.>", "$JS.>", "$SYS.>", "pdfmill.>",
		jet.InboxPrefix("operator") + ".>", jet.InboxPrefix("publisher") + ".>",
	} {
		nc := h.tenant("acme")
		if !refused(t, nc, func() error { _, err := nc.SubscribeSync(subject); return err }) {
			t.Errorf("acme may subscribe to %s", subject)
		}
	}
	for _, subject := range []string{
		"pdf.acme.converted", "pdf.bolt.converted", "pdf.converted", "pdf.failed", "pdf.dropped", "pdf.dropped.tenant-acme", "pdf.ingested", "pdf.validated.text.bulk", "pdf.rendered",
		"pdf.dead.ingest.crash", "pdfmill.ops.cancel", "pdf.gpu", "pdfmill.tenant.acme.event.converted", "pdfmill.tenant.bolt.event.converted", "pdfmill.tenant.bolt.API.STREAM.INFO.PDF_EVENTS",
		"$KV.pdf_jobs.x", "$KV.pdf_tenants.acme", "$KV.pdf_usage.day.acme.2026-11-26", "$JS.API.DIRECT.GET.KV_pdf_jobs.$KV.pdf_jobs.x", "$JS.API.STREAM.MSG.GET.PDF_JOBS",
		"$JS.API.STREAM.INFO.PDF_JOBS", "$JS.API.CONSUMER.CREATE.PDF_JOBS.x.pdf.ingested", "$JS.API.CONSUMER.CREATE.PDF_DEAD.x", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.DELETE.PDF_EVENTS",
		"$JS.API.STREAM.PURGE.PDF_EVENTS", "$JS.API.STREAM.UPDATE.PDF_EVENTS", "$JS.API.STREAM.MSG.DELETE.PDF_EVENTS", "_INBOX_operator.x",
	} {
		nc := h.tenant("acme")
		if !refused(t, nc, func() error { return nc.Publish(subject, nil) }) {
			t.Errorf("acme may publish to %s", subject)
		}
	}
}

// TestAnAccountIsAWall: even somebody in a tenant's account whom nothing else limits hears and reaches nobody else, also with consumers that deliver to others' subjects.
func TestAnAccountIsAWall(t *testing.T) {
	h := newHouse(t)
	defer h.courier()()
	intruder, admin := h.connect(nats.UserInfo("unlimited", "unlimited")), h.connectAs(jet.RoleAdmin)
	all, err := intruder.SubscribeSync("pdf.>")
	var heard *nats.Subscription
	if err == nil {
		heard, err = admin.SubscribeSync("pdf.>")
	}
	if err == nil {
		err = admin.Flush()
	}
	if err == nil {
		err = intruder.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(intruder)
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []string{jet.StreamJobs, jet.StreamDead, "KV_" + jet.KVJobs, "KV_" + jet.KVTenants} {
		if _, err := js.Stream(t.Context(), stream); err == nil {
			t.Errorf("%s can be seen from a tenant's account", stream)
		}
	}
	if err := h.broker(stage.Publisher).Publish(t.Context(), end("acme/a.pdf", "acme", false), end("bolt/a.pdf", "bolt", false)); err != nil {
		t.Fatal(err)
	}
	if m, err := all.NextMsg(pipelinetest.Patience); err != nil || m.Subject != "pdf.bolt.converted" {
		t.Fatalf("the intruder heard %v, %v", m, err)
	}
	// A consumer pushes the event to where drops are told of, and to another tenant's subject.
	for i, subject := range []string{"pdf.dropped", "pdf.acme.converted", "pdfmill.tenant.acme.event.converted"} {
		_, err := intruder.Request("$JS.API.CONSUMER.CREATE."+jet.StreamEvents+fmt.Sprintf(".push%d", i), fmt.Appendf(nil,
			`{"stream_name":"PDF_EVENTS","config":{"name":"push%d","deliver_subject":%q,"ack_policy":"none","deliver_policy":"all"}}`, i, subject), pipelinetest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		mine, err := intruder.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := intruder.Publish(subject, []byte("forged")); err != nil {
			t.Fatal(err)
		}
		if _, err := mine.NextMsg(pipelinetest.Patience); err != nil { // it is delivered, in that account
			t.Fatal(err)
		}
	}
	if err := intruder.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := admin.Flush(); err != nil {
		t.Fatal(err)
	}
	for n, _, _ := heard.Pending(); n > 0; n-- {
		if m, err := heard.NextMsg(pipelinetest.Patience); err != nil || m.Subject != "pdf.converted" || strings.Contains(string(m.Data), "forged") {
			t.Errorf("pdfmill's account heard %+v, %v", m, err)
		}
	}
	if got := stored(t, h.tenant("acme")); len(got) != 1 {
		t.Errorf("acme's account holds %q", got)
	}
}
