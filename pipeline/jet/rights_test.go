package jet_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// guarded runs a server on which each role is a user, with its name as password.
func guarded(t *testing.T, topology jet.Topology) (connect func(role string) *nats.Conn) {
	t.Helper()
	o := &server.Options{JetStream: true, StoreDir: t.TempDir()}
	for _, role := range jet.Roles() {
		r, err := topology.Rights(role)
		if err != nil {
			t.Fatal(err)
		}
		user := &server.User{Username: role, Password: role}
		if role != jet.RoleAdmin {
			user.Permissions = &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: r.Publish, Deny: r.DenyPublish},
				Subscribe: &server.SubjectPermission{Allow: r.Subscribe, Deny: r.DenySubscribe},
			}
		}
		o.Users = append(o.Users, user)
	}
	s, _ := serve(t, o)
	return func(role string) *nats.Conn {
		t.Helper()
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(role, role), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		return nc
	}
}

// refused says whether the server refused what was just done on a connection of its own.
func refused(t *testing.T, nc *nats.Conn, do func(*nats.Conn) error) bool {
	t.Helper()
	if err := do(nc); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil { // its answer comes after the refusal
		t.Fatal(err)
	}
	err := nc.LastError()
	if err != nil && !strings.Contains(err.Error(), "permissions violation") {
		t.Fatal(err)
	}
	return err != nil
}

// everything that somebody might want to publish, by a short name.
func wishes() map[string]string {
	all := map[string]string{
		"drop": "pdf.dropped", "drop in a lane": "pdf.dropped.07", "ingested": "pdf.ingested", "range": "pdf.validated.text.bulk", "other range": "pdf.validated.marker.bulk", "rendered": "pdf.rendered",
		"converted": "pdf.converted", "failed": "pdf.failed",
		"status": "$KV.pdf_jobs.x", "taken": "$KV.pdf_sources.x", "replay mark": "$KV.pdf_replays.x", "cancel": "$KV.pdf_ends.x", "lease": "$KV.pdf_leases.x",
		"read status": "$JS.API.DIRECT.GET.KV_pdf_jobs.$KV.pdf_jobs.x", "read taken": "$JS.API.DIRECT.GET.KV_pdf_sources.$KV.pdf_sources.x",
		"read job": "$JS.API.STREAM.MSG.GET.PDF_JOBS", "delete job": "$JS.API.STREAM.MSG.DELETE.PDF_JOBS",
		"read dead": "$JS.API.DIRECT.GET.PDF_DEAD", "delete dead": "$JS.API.STREAM.MSG.DELETE.PDF_DEAD",
		"read event": "$JS.API.STREAM.MSG.GET.PDF_EVENTS", "delete event": "$JS.API.STREAM.MSG.DELETE.PDF_EVENTS",
		"follow events": "$JS.API.CONSUMER.CREATE.PDF_EVENTS.mine.pdf.converted", "look through events": "$JS.API.CONSUMER.CREATE.PDF_EVENTS.look-0", "unfollow events": "$JS.API.CONSUMER.DELETE.PDF_EVENTS.mine", "take an event": "$JS.API.CONSUMER.MSG.NEXT.PDF_EVENTS.mine",
		"stop a look": "$JS.API.CONSUMER.DELETE.PDF_EVENTS.look-0", "follow jobs": "$JS.API.CONSUMER.CREATE.PDF_JOBS.mine.pdf.ingested",
		"follow dead": "$JS.API.CONSUMER.CREATE.PDF_DEAD.mine.pdf.dead.>", "spoil advisories": "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.PDF_JOBS.x",
	}
	for _, stream := range []string{"PDF_JOBS", "PDF_EVENTS", "PDF_DEAD", "KV_pdf_sources"} {
		for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "LEADER.STEPDOWN", "SNAPSHOT"} {
			all[verb+" "+stream] = "$JS.API.STREAM." + verb + "." + stream
		}
	}
	for _, stage := range []string{"ingest", "validator", "gpu-runner", "publisher"} {
		all["dead "+stage] = "pdf.dead." + stage + ".crash"
		durable, filter := stage, map[string]string{"ingest": "pdf.dropped", "validator": "pdf.ingested", "publisher": "pdf.rendered"}[stage]
		if filter == "" {
			durable, filter = "gpu-runner-text-bulk", "pdf.validated.text.bulk"
		}
		all["take "+stage] = "$JS.API.CONSUMER.MSG.NEXT.PDF_JOBS." + durable
		all["ack "+stage] = "$JS.ACK.PDF_JOBS." + durable + ".1.1.1.1.1"
		all["consume "+stage] = "$JS.API.CONSUMER.CREATE.PDF_JOBS." + durable + "." + filter
		all["consume more, "+stage] = "$JS.API.CONSUMER.CREATE.PDF_JOBS." + durable + ".pdf.>"
		all["unconsume "+stage] = "$JS.API.CONSUMER.DELETE.PDF_JOBS." + durable
	}
	return all
}

// TestEachRoleMayOnly: what is not listed here for a role the server refuses it.
func TestEachRoleMayOnly(t *testing.T) {
	own := func(stage string, more ...string) []string {
		return append(more, "take "+stage, "ack "+stage, "consume "+stage, "dead "+stage, "failed", "status", "read status", "cancel", "look through events", "stop a look")
	}
	sweeper := []string{"read job", "delete job", "dead ingest", "dead validator", "dead gpu-runner", "dead publisher", "drop", "ingested", "range", "rendered"}
	allowed := map[string][]string{
		"gateway":    {"drop", "drop in a lane"},
		"ingest":     append(own("ingest", "drop", "drop in a lane", "ingested", "taken", "lease", "read taken"), sweeper...),
		"validator":  own("validator", "range", "rendered"),
		"gpu-runner": own("gpu-runner", "range", "rendered"),
		"publisher":  append(own("publisher", "drop", "drop in a lane", "ingested", "replay mark", "lease", "read dead", "delete dead", "follow dead", "read event", "converted"), sweeper...),
		"user":       {"read event", "follow events", "unfollow events", "take an event"},
		"operator": {
			"drop in a lane", "ingested", "failed", "replay mark", "status", "lease", "cancel", "read status", "read taken", "read job",
			"read dead", "delete dead", "read event", "follow events", "unfollow events", "take an event", "look through events", "stop a look", "follow dead", "dead ingest", "dead validator", "dead gpu-runner", "dead publisher",
		},
	}
	connect := guarded(t, jet.Topology{Replicas: 1, Engines: []string{"text"}})
	for role, mayDo := range allowed {
		for name, subject := range wishes() {
			no := refused(t, connect(role), func(nc *nats.Conn) error { return nc.Publish(subject, nil) })
			if no == slices.Contains(mayDo, name) {
				t.Errorf("%s, %s (%s): refused %t", role, name, subject, no)
			}
		}
	}
}

// TestEachRoleHearsOnly: nobody listens to work, to the dead, or to the replies to others.
func TestEachRoleHearsOnly(t *testing.T) {
	connect := guarded(t, jet.Topology{Replicas: 1, Engines: []string{"text"}})
	everybody := []string{">", "$JS.API.>", "$KV.>", "$SYS.>", "$JS.ACK.>"}
	for _, role := range jet.Roles() {
		if role == jet.RoleAdmin {
			continue
		}
		no := slices.Clone(everybody)
		for _, other := range []string{"ingest", "validator", "gpu-runner", "publisher", "operator"} {
			if other != role {
				no = append(no, jet.InboxPrefix(other)+".>")
			}
		}
		if role != jet.RoleUser && role != jet.RoleOperator {
			no = append(no, "pdf.>", "pdf.dead.>", "pdf.ingested", "pdf.converted")
		}
		if role == jet.RoleUser {
			no = append(no, "pdf.dead.>", "pdf.ingested", "pdf.rendered", "pdf.validated.text.bulk")
		}
		for _, subject := range no {
			if !refused(t, connect(role), func(nc *nats.Conn) error { _, err := nc.SubscribeSync(subject); return err }) {
				t.Errorf("%s may subscribe to %s", role, subject)
			}
		}
		inbox := jet.InboxPrefix(role) + ".x"
		if refused(t, connect(role), func(nc *nats.Conn) error { _, err := nc.SubscribeSync(inbox); return err }) {
			t.Errorf("%s can't get replies", role)
		}
	}
}

// TestUserHearsEventsOfPDF: a person types pdf.>, and gets events and nothing else.
func TestUserHearsEventsOfPDF(t *testing.T) {
	connect := guarded(t, jet.Topology{Replicas: 1})
	user, admin := connect(jet.RoleUser), connect(jet.RoleAdmin)
	heard, err := user.SubscribeSync("pdf.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := user.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"pdf.dropped", "pdf.dropped.00", "pdf.ingested", "pdf.validated.text.bulk", "pdf.rendered", "pdf.dead.ingest.crash", "pdf.converted", "pdf.failed"} {
		if err := admin.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"pdf.converted", "pdf.failed"} {
		m, err := heard.NextMsg(pipelinetest.Patience)
		if err != nil || m.Subject != want {
			t.Fatalf("%v, %v; want %s", m, err, want)
		}
	}
}

// TestSharedConsumersAreReserved: whoever may follow a stream can neither delete, change nor empty the consumer that pdfmill's processes share on it, by any name that the
// server knows for that.
func TestSharedConsumersAreReserved(t *testing.T) {
	topology := jet.Topology{Replicas: 1, Engines: []string{"text"}}
	connect := guarded(t, topology)
	admin, err := jetstream.New(connect(jet.RoleAdmin))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range topology.Declare().Streams {
		if _, err := admin.CreateStream(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	for stream, consumers := range topology.Declare().Consumers {
		if stream == jet.StreamJobs {
			continue
		}
		for _, c := range consumers {
			if _, err := admin.CreateConsumer(t.Context(), stream, c); err != nil {
				t.Fatal(err)
			}
			of := stream + "." + c.Durable
			changed := fmt.Sprintf(`{"stream_name":%q,"config":{"name":%q,"deliver_policy":"all","ack_policy":"explicit","replay_policy":"instant","max_ack_pending":1}}`, stream, c.Durable)
			for _, role := range []string{jet.RoleUser, jet.RoleOperator, "ingest", "validator", "gpu-runner", "publisher"} {
				own := map[string]string{jet.StreamEvents: "publisher ", jet.StreamAdvisories: "publisher ingest "}[stream]
				for subject, body := range map[string]string{
					"$JS.API.CONSUMER.DELETE." + of: "", "$JS.API.CONSUMER.CREATE." + stream: changed, "$JS.API.CONSUMER.CREATE." + of: changed,
					"$JS.API.CONSUMER.CREATE." + of + ".pdf.failed": changed, "$JS.API.CONSUMER.DURABLE.CREATE." + of: changed, "$JS.API.CONSUMER.MSG.NEXT." + of: "", "$JS.ACK." + of + ".1.1.1.1.1": "",
				} {
					if strings.Contains(own, role+" ") && !strings.Contains(subject, "DELETE") {
						continue
					}
					if !refused(t, connect(role), func(nc *nats.Conn) error { return nc.Publish(subject, []byte(body)) }) {
						t.Errorf("%s may publish to %s", role, subject)
					}
				}
			}
			is, err := admin.Consumer(t.Context(), stream, c.Durable)
			if err != nil {
				t.Fatal(err)
			}
			if got := is.CachedInfo().Config.MaxAckPending; got == 1 {
				t.Errorf("somebody has changed %s of %s", c.Durable, stream)
			}
		}
	}
}
