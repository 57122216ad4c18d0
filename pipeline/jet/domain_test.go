package jet_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/pdfmill/pdfmill/pipeline/document"
	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pages"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
	"github.com/pdfmill/pdfmill/pipeline/tenant"
)

// behindLeaf runs a server with the streams, in a JetStream domain of its own, and a leaf node with a domain of its own. Each role is a user of the leaf, with
// its rights and no others. stopHub takes the server behind away, startHub brings it back.
func behindLeaf(t *testing.T, topology jet.Topology) (connect func(role string) *jet.Broker, stopHub, startHub func()) {
	t.Helper()
	dir := t.TempDir()
	serveFile := func(name, text string) (*server.Server, func()) {
		t.Helper()
		o, err := server.ProcessConfigFile(write(t, filepath.Join(dir, name+".conf"), text))
		if err != nil {
			t.Fatal(err)
		}
		return serve(t, o)
	}
	hubText := func(port, leafPort int) string {
		return fmt.Sprintf(`
server_name: hub
port: %d
jetstream { store_dir: %q, domain: hub }
leafnodes { host: 127.0.0.1, port: %d, authorization { user: leaf, password: leaf, account: PDFMILL } }
accounts { PDFMILL { jetstream: enabled, users: [ { user: hub, password: hub } ] } }
`, port, filepath.Join(dir, "hub"), leafPort)
	}
	hub, stop := serveFile("hub", hubText(-1, -1))
	port, leafPort := portOf(t, hub), leafPortOf(t, hub)
	var users strings.Builder
	for _, role := range jet.Roles() {
		r, err := topology.Rights(role)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&users, "{ user: %s, password: %s", role, role)
		if role != jet.RoleAdmin {
			fmt.Fprintf(&users, ", permissions: { publish: { allow: %s }, subscribe: { allow: %s, deny: %s } }", quoted(r.Publish), quoted(r.Subscribe), quoted(r.DenySubscribe))
		}
		users.WriteString(" }\n")
	}
	leaf, _ := serveFile("leaf", fmt.Sprintf(`
server_name: leaf
port: -1
jetstream { store_dir: %q, domain: leaf }
leafnodes { reconnect: 1s, remotes: [ { url: "nats-leaf://leaf:leaf@127.0.0.1:%d", account: PDFMILL } ] }
accounts { PDFMILL { jetstream: enabled, users: [ %s ] } }
`, filepath.Join(dir, "leaf"), leafPort, users.String()))
	return func(role string) *jet.Broker {
		t.Helper()
		return mustDial(t, jet.Config{URL: leaf.ClientURL(), User: role, Password: role, Domain: topology.Domain, InboxPrefix: jet.InboxPrefix(role)})
	}, stop, func() { serveFile("hub", hubText(port, leafPort)) }
}

func leafPortOf(t *testing.T, s *server.Server) int {
	t.Helper()
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.LeafNode.Port
}

func quoted(subjects []string) string {
	all := make([]string, len(subjects))
	for i, s := range subjects {
		all[i] = fmt.Sprintf("%q", s)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// TestBehindALeafNode: streams are in a domain that is reached through a leaf node with streams of its own, and everybody does there what they do elsewhere, with the
// rights that are made for the domain: messages, batches, keys, what is written together, deaths. Then the server behind goes away and comes back.
func TestBehindALeafNode(t *testing.T) {
	acme := tenant.Tenant{Name: "acme", Source: "in", Documents: 3}
	topology := jet.Topology{Replicas: 1, Engines: []string{"text"}, Domain: "hub", Tenants: tenant.Set{acme}}
	connect, stopHub, startHub := behindLeaf(t, topology)
	admin := connect(jet.RoleAdmin)
	if err := admin.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := admin.SetTenants(t.Context(), topology.Tenants, 1); err != nil {
		t.Fatal(err)
	}

	validator, ingest := connect(stage.Validator), connect(stage.Ingest)
	start(t, validator, func(_ context.Context, d stage.Delivery[event.Ingested]) ([]stage.Output, error) {
		if strings.HasPrefix(d.Body.Source.Key, "bad") {
			return nil, failure.Newf(failure.PDFCorrupt, "open", d.Body.Source.Path(), "it is broken")
		}
		var ranges []stage.Output
		for n := range 3 {
			m := event.Range{Job: d.Body.Job, Engine: "text", Lane: "bulk", Range: pages.Range{First: n + 1, Last: n + 1}, Total: 3, Want: pages.Set{{First: 1, Last: 3}}, Mode: event.ModeDefault}
			ranges = append(ranges, stage.Output{Subject: m.Subject(), ID: m.MessageID(), Body: m})
		}
		return ranges, nil
	}, 0)
	publish(t, ingest, event.Ingested{Job: testJob("good")}.Output(), event.Ingested{Job: testJob("bad")}.Output())
	pipelinetest.Eventually(t, "one document has become three ranges, the other has failed", func() bool {
		return messages(t, admin, jet.StreamJobs) == 3 && messages(t, admin, jet.StreamEvents) == 1 && messages(t, admin, jet.StreamDead) == 1
	})

	meter := jet.NewMeter(ingest)
	for n := range 5 {
		over, err := meter.Count(t.Context(), acme, fmt.Sprint(n), tenant.Usage{Documents: 1}, noon, true)
		if err != nil {
			t.Fatal(err)
		}
		if (over != nil) != (n >= 3) {
			t.Errorf("document %d: %v", n+1, over)
		}
	}
	if used := usedOn(t, admin, "acme", noon); used.Documents != 3 {
		t.Errorf("acme has used %+v, want 3 documents", used)
	}
	sources := jet.NewSources(ingest)
	taken := jet.Taken{Source: document.Source{Bucket: "in", Key: "a.pdf", ETag: "x"}, TakenAt: noon}
	if err := sources.Put(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if _, found, err := sources.Get(t.Context(), taken.Source); err != nil || !found {
		t.Errorf("what was taken: found %t, %v", found, err)
	}

	stopHub()
	later := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), pipelinetest.Patience)
		defer cancel()
		for {
			err := ingest.Publish(ctx, event.Ingested{Job: testJob("later")}.Output())
			if err == nil || ctx.Err() != nil {
				later <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	startHub()
	if err := pipelinetest.Receive(t, "a message after the server is back", later); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "the validator goes on", func() bool {
		s, err := admin.JS().Stream(t.Context(), jet.StreamJobs)
		return err == nil && s.CachedInfo().State.Msgs == 6
	})
}
