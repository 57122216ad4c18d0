package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
	"github.com/pdfmill/pdfmill/e2e/rig"
)

// pdfmill runs the operator's binary against the cluster and returns what it printed; it must exit with code.
func (c *cluster) pdfmill(code int, args ...string) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, rig.Binary(c.t, "pdfmill"), append(args, "--nats-url", "nats://"+c.natsAddr, "--nats-user", user, "--s3-endpoint", "http://"+c.s3Addr, "--s3-access-key", user)...)
	cmd.Env = []string{"PDFMILL_NATS_PASSWORD=" + c.secret, "PDFMILL_S3_SECRET_KEY=" + c.secret, "HOME=" + os.Getenv("HOME"), "USER=tester"}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	if got := cmd.ProcessState.ExitCode(); got != code {
		c.t.Fatalf("pdfmill %q: exit %d, want %d\n%s%s", args, got, code, out.String(), errs.String())
	}
	return out.String()
}

// last is the last event about a key.
func (c *cluster) last(key string) (e struct {
	checker.Told
	Revision int
	Cached   bool
	Class    string
},
) {
	c.t.Helper()
	if err := checker.Read(c.t.Context(), c.js, "PDF_EVENTS", func(m jetstream.Msg) error {
		if m.Headers().Get("ce-subject") != inbox+"/"+key {
			return nil
		}
		e.Class = ""
		return json.Unmarshal(m.Data(), &e)
	}); err != nil {
		c.t.Fatal(err)
	}
	return e
}

// TestOperator drives a pipeline of separate processes by the operator's binary: cancel, replay, status and its rebuilding, reconvert, sweep, drop.
func TestOperator(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1, nil)
	all := rig.Samples(t)
	c.drop("done.pdf", document(all, 0))
	c.settle()
	done := c.last("done.pdf")

	c.replica("gpu-runner", 0).terminate()
	c.drop("unwanted.pdf", document(all, 1))
	job := ""
	c.until("status says that it waits for a worker", func() bool {
		for line := range strings.SplitSeq(c.pdfmill(0, "status"), "\n") {
			if strings.Contains(line, "unwanted.pdf") && strings.Contains(line, "queued") && strings.Contains(line, "waits for a text worker") {
				job, _, _ = strings.Cut(line, " ")
			}
		}
		return job != ""
	})
	if text := c.pdfmill(0, "status", job); !strings.Contains(text, "1 of it at gpu-runner, behind 0 others") {
		t.Errorf("status of a queued job:\n%s", text)
	}
	if text := c.pdfmill(0, "cancel", job); !strings.Contains(text, "unwanted.pdf") {
		t.Errorf("cancel: %s", text)
	}
	if e := c.last("unwanted.pdf"); e.Class != "cancelled" {
		t.Errorf("a cancelled job ended as %+v", e)
	}
	c.pdfmill(2, "cancel", "abc")
	c.pdfmill(1, "cancel", done.Job)
	c.start("gpu-runner", 0, "")
	c.settle()
	if text := c.pdfmill(0, "dead", "replay", "--class", "cancelled"); !strings.Contains(text, "1 of 1 documents replayed") {
		t.Errorf("replay: %s", text)
	}
	c.dropped[inbox+"/unwanted.pdf"]++ // a replay is another end
	c.until("the replayed job converts", func() bool { return c.last("unwanted.pdf").Markdown.SHA256 != "" })

	if err := c.js.DeleteKeyValue(t.Context(), "pdf_jobs"); err != nil {
		t.Fatal(err)
	}
	c.replica("validator", 0).terminate()
	c.start("validator", 0, "") // a service that starts makes sure of the topology
	c.until("the projection can be rebuilt", func() bool {
		_, err := c.js.KeyValue(t.Context(), "pdf_jobs")
		return err == nil
	})
	c.pdfmill(0, "status", "--rebuild")
	if text := c.pdfmill(0, "status", done.Job); !strings.Contains(text, "converted") || !strings.Contains(text, "done.pdf") {
		t.Errorf("status after rebuilding:\n%s", text)
	}

	c.pdfmill(2, "reconvert", "--where", "colour=blue")
	if text := c.pdfmill(0, "reconvert", "--where", "source=inbox/done", "--dry-run"); !strings.Contains(text, "1 of 1 documents would be") {
		t.Errorf("reconvert: %s", text)
	}
	c.pdfmill(0, "reconvert", "--where", "source=inbox/done")
	c.dropped[inbox+"/done.pdf"]++
	c.until("it is converted again", func() bool { return c.last("done.pdf").Pass == 1 })
	if e := c.last("done.pdf"); e.Revision != 2 || e.Cached || e.Job != done.Job || e.Markdown.Key == done.Markdown.Key {
		t.Errorf("converted again: %+v", e)
	}

	// A job that is being swept is planned as if nothing of it were there.
	mark := fmt.Sprintf("jobs/%s/ranges/swept@%d", done.Job, time.Now().Add(time.Hour).Unix())
	if _, err := c.s3.PutObject(t.Context(), bucket, mark, bytes.NewReader(nil), 0, noOptions); err != nil {
		t.Fatal(err)
	}
	c.drop("same.pdf", document(all, 0))
	c.settle()
	if e := c.last("same.pdf"); e.Job != done.Job || e.Cached || e.Revision != 3 {
		t.Errorf("dropped while its results are swept away: %+v", e)
	}

	c.drop("bad.pdf", document(all, 4))
	c.settle()
	c.pdfmill(2, "dead", "drop", "--class", "not-pdf") // nobody to ask
	if text := c.pdfmill(0, "dead", "ls", "--json"); strings.Count(text, "\n") != 1 || !json.Valid([]byte(text)) {
		t.Errorf("dead letters as NDJSON: %s", text)
	}
	c.verify("operator's commands")
	if text := c.pdfmill(0, "dead", "drop", "--class", "not-pdf", "--yes"); !strings.Contains(text, "1 dropped") {
		t.Errorf("drop: %s", text)
	}
}
