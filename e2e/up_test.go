package e2e

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestUpTellsWhereItIs: the files, the output and their secrets.
func TestUpTellsWhereItIs(t *testing.T) {
	data := t.TempDir()
	p := rig.Up(t, data)
	endpoints := filepath.Join(data, "endpoints.json")
	if about, err := os.Stat(endpoints); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("endpoints.json: %v, %v", about, err)
	}
	daemon := p.Processes[0]
	daemon.Await("it prints where it is", func() bool { return strings.Contains(daemon.Log(), "pdfmill is ready") })
	for _, wanted := range []string{p.InboxDir, p.NATSURL, p.S3Endpoint, p.HTTPURL, endpoints, "sub 'pdf.>'"} {
		if !strings.Contains(daemon.Log(), wanted) {
			t.Errorf("it does not print %s", wanted)
		}
	}
	for _, secret := range []string{p.NATSPassword, p.S3SecretKey} {
		if secret == "" || strings.Contains(daemon.Log(), secret) {
			t.Error("it prints a secret, or has none")
		}
	}
	if nc, err := nats.Connect(p.NATSURL, nats.UserInfo(p.NATSUser, "wrong")); err == nil {
		nc.Close()
		t.Error("any password will do")
	}

	second := rig.Run(t, "up", "--data", data)
	if second.Code != 3 || !strings.Contains(second.Stderr, data) || !strings.Contains(second.Stderr, "another") {
		t.Errorf("a second one on the same data: exit %d, %s", second.Code, second.Stderr)
	}
	p.Stop(10 * time.Second)
	if _, err := os.Stat(endpoints); !os.IsNotExist(err) {
		t.Errorf("endpoints.json is still there: %v", err)
	}
}

// TestSubmitIntoOneOfSeveralInboxes: the first, unless another is named; the variable may be that of the services, which names all.
func TestSubmitIntoOneOfSeveralInboxes(t *testing.T) {
	t.Setenv("PDFMILL_INBOX", "letters,invoices")
	p := rig.Up(t, t.TempDir(), "--serve", "null", "--engines", "null", "--auto-engine", "null")
	for bucket, c := range map[string]struct {
		args []string
		key  string
	}{"letters": {nil, "submitted/"}, "invoices": {[]string{"--inbox", "invoices/2026"}, "2026/submitted/"}} {
		out := p.Run(append([]string{"submit", "--json", "--wait", "../samples/letter.pdf"}, c.args...)...)
		text := strings.TrimSpace(out.Stdout)
		var one struct{ Bucket, Key, Outcome string }
		if err := json.Unmarshal([]byte(text[strings.LastIndexByte(text, '\n')+1:]), &one); err != nil || one.Outcome != "converted" || one.Bucket != bucket || !strings.HasPrefix(one.Key, c.key) {
			t.Errorf("into %s: exit %d, %v, %s%s", bucket, out.Code, err, out.Stdout, out.Stderr)
		}
	}
}

// TestUpOnAPortThatIsTaken: asked for by name it is an error of the command line; otherwise another one is picked.
func TestUpOnAPortThatIsTaken(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	for _, flag := range []string{"--nats-addr", "--s3-addr", "--http-addr"} {
		out := rig.Run(t, "up", "--data", filepath.Join(t.TempDir(), "data"), flag, addr)
		if out.Code != 2 || !strings.Contains(out.Stderr, addr) || !strings.Contains(out.Stderr, flag) || !strings.Contains(out.Stderr, "port 0") {
			t.Errorf("%s: exit %d, %s", flag, out.Code, out.Stderr)
		}
	}
}

// TestSubmitWatchStatus: the commands around a running pipeline, as text and as JSON.
func TestSubmitWatchStatus(t *testing.T) {
	bothModes(t, func(t *testing.T, mode rig.Mode) {
		p := mode.Start(t, t.TempDir())
		if out := p.Pdfmill("status"); !strings.Contains(out, "none yet") {
			t.Errorf("status of nothing: %s", out)
		}
		watch := p.Start("watch", "--json", "--all")
		dir := t.TempDir()
		write(t, filepath.Join(dir, "good.pdf"), read(t, "../samples/letter.pdf"))
		write(t, filepath.Join(dir, "bad.pdf"), []byte("no PDF at all"))
		out := p.Run("submit", "--wait", "--json", dir)
		if out.Code != 1 {
			t.Errorf("one of two failed: exit %d, %s", out.Code, out.Stderr)
		}
		outcomes := map[string]string{}
		var job string
		for line := range strings.Lines(out.Stdout) {
			var one struct {
				Input, Outcome, Class string
				Event                 struct{ Job string }
			}
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			outcomes[filepath.Base(one.Input)] = one.Outcome + one.Class
			if one.Outcome == "converted" {
				job = one.Event.Job
			}
		}
		if outcomes["good.pdf"] != "converted" || outcomes["bad.pdf"] != "failednot-pdf" {
			t.Errorf("outcomes %v", outcomes)
		}
		watch.Await("both events are printed", func() bool { return strings.Count(watch.Log(), "\n") >= 2 })
		for line := range strings.Lines(watch.Log()) {
			var e struct {
				ID, Subject string
				Data        struct{ Source struct{ Key string } }
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.ID == "" || !strings.HasPrefix(e.Subject, "pdf.") || e.Data.Source.Key == "" {
				t.Errorf("watch: %v, %s", err, line)
			}
		}
		watch.Signal(syscall.SIGINT)
		if code := watch.Wait(10 * time.Second); code != 0 {
			t.Errorf("watch: exit %d after Ctrl-C", code)
		}
		if out := p.Pdfmill("submit", "--wait", filepath.Join(dir, "good.pdf")); !strings.Contains(out, "converted") {
			t.Errorf("submit of what is known: %s", out)
		}
		pipelinetest.Eventually(t, "status shows the end of the job", func() bool { // it follows the events, and does not know the job before
			out := p.Run("status", job).Stdout
			return strings.Contains(out, "converted") && strings.Contains(out, job)
		})
		if out := p.Run("status", "ffffffffffff"); out.Code != 1 || !strings.Contains(out.Stderr, "pdfmill status") {
			t.Errorf("status of no job: exit %d, %s", out.Code, out.Stderr)
		}
		if out := p.Run("doctor", "--json"); out.Code != 0 {
			t.Errorf("doctor on a pipeline that runs: exit %d\n%s%s", out.Code, out.Stdout, out.Stderr)
		}
	})
}

// TestUpGoesOnWithoutAnEngineThatCannotRun: what is meant for it fails with what to do, everything else is converted.
func TestUpGoesOnWithoutAnEngineThatCannotRun(t *testing.T) {
	data := t.TempDir()
	p := rig.Up(t, data, "--cache", cacheOf(t, "requirements.lock"), "--serve", "text,marker", "--engines", "text,marker")
	wanted := p.Run("submit", "--wait", "--engine", "marker", "../samples/letter.pdf")
	if said := wanted.Stdout + wanted.Stderr; wanted.Code != 1 || !strings.Contains(said, "engine-missing") || !strings.Contains(said, "engines install marker") {
		t.Errorf("asked for by name: exit %d, %s", wanted.Code, said)
	}
	p.Pdfmill("submit", "--wait", "--engine", "text", "../samples/report.pdf")
	answer, err := http.Get(p.HTTPURL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"degraded"`) || !strings.Contains(string(body), "it is not installed") {
		t.Errorf("ready: %s, %v, %s", answer.Status, err, body)
	}
}

// cacheOf is a cache folder that has, of the packages in the usual one, those of one lock file.
func cacheOf(t *testing.T, lock string) string {
	t.Helper()
	usual, err := rig.Cache()
	if err != nil {
		t.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(usual, "packages-*", lock))
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	for _, file := range found {
		if err := os.Symlink(filepath.Dir(file), filepath.Join(cache, filepath.Base(filepath.Dir(file)))); err != nil {
			t.Fatal(err)
		}
	}
	return cache
}
