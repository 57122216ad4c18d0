package deploy

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/e2e/rig"
	"github.com/pdfmill/pdfmill/pipeline/config"
	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/stage"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// The keys of the store's owner; every service uses them here: who may do what is tested elsewhere.
const rootKey, rootSecret = "root-access", "root-secret"

func services() []string {
	return []string{stage.Ingest, stage.Validator, stage.GPURunner, stage.Publisher}
}

// site is a place to deploy to: a CA, users, and where the servers listen.
type site struct {
	t      *testing.T
	dir    string
	ca     *pipelinetest.CA
	users  string // folder that pdfmill topology users wrote
	natsAt string // host:port
	s3At   string
	plain  bool // the servers speak no TLS
	// tenants is the declaration of a tenant, acme, whose source is inbox/acme/, in TestTenants; "" elsewhere.
	tenants string
}

// newSite is one with a tenant that has an account, or without.
func newSite(t *testing.T, tenant bool) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.ca, s.users = pipelinetest.NewCA(t, s.dir), filepath.Join(s.dir, "users")
	rig.Binary(t, "pdfmill") // building it takes longer than a command may
	args := []string{"topology", "users", s.users}
	if tenant {
		s.tenants = `{"tenants": [{"name": "acme", "source": "inbox/acme/", "documents": 10, "account": true}]}`
		file := filepath.Join(s.dir, "tenants.json")
		if err := os.WriteFile(file, []byte(s.tenants), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--tenants", file)
	}
	if out := rig.Run(t, args...); out.Code != 0 {
		t.Fatal(out.Stderr)
	}
	return s
}

// cache is where Python environments are that tests share.
func cache(t *testing.T) string {
	t.Helper()
	dir, err := config.CacheDir(os.Getenv("PDFMILL_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (s *site) folder(names ...string) string {
	s.t.Helper()
	dir := filepath.Join(append([]string{s.dir}, names...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

// binaries is a folder with pdfmill's binaries, as a release archive has them.
func (s *site) binaries() string {
	s.t.Helper()
	dir := s.folder("bin")
	for _, name := range []string{"pdfmill", "pdfmill-ingest", "pdfmill-validator", "pdfmill-gpu-runner", "pdfmill-publisher"} {
		s.link(rig.Binary(s.t, name), filepath.Join(dir, name))
	}
	return dir
}

func (s *site) link(from, to string) {
	s.t.Helper()
	if err := os.Symlink(from, to); err != nil && !os.IsExist(err) {
		s.t.Fatal(err)
	}
}

func (s *site) port() int {
	s.t.Helper()
	_, port, err := net.SplitHostPort(rig.FreeAddr(s.t))
	if err != nil {
		s.t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		s.t.Fatal(err)
	}
	return number
}

func (s *site) tls() *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(read(s.t, s.ca.File)))
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// listens waits until somebody takes connections there.
func (s *site) listens(p *rig.Process, addr string) {
	s.t.Helper()
	p.Await("it listens on "+addr, func() bool {
		c, err := (&net.Dialer{Timeout: time.Second}).DialContext(s.t.Context(), "tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// healthy waits until a path answers with 200.
func (s *site) healthy(p *rig.Process, url string) {
	s.t.Helper()
	p.Await(url+" answers", func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		response, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: s.tls()}}).Do(request)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

func (s *site) store() *minio.Client {
	s.t.Helper()
	client, err := minio.New(s.s3At, &minio.Options{
		Creds: credentials.NewStaticV4(rootKey, rootSecret, ""), Secure: !s.plain, Transport: &http.Transport{TLSClientConfig: s.tls()},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// overtime is what a process gets beside its drain, for all that is neither in hand nor a worker's.
const overtime = 5 * time.Second

// drain is how long at most a service said that it would take when it was told to stop.
func drain(t *testing.T, p *rig.Process) time.Duration {
	t.Helper()
	for line := range strings.Lines(p.Log()) {
		var entry struct{ Msg, Within string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "stopping" {
			continue
		}
		within, err := time.ParseDuration(entry.Within)
		if err != nil {
			t.Fatal(err)
		}
		return within
	}
	t.Fatalf("%s does not say how long it takes to stop\n%s", p.Name(), p.Log())
	return 0
}

// passes drops a document as a stranger would, and waits for its Markdown.
func (s *site) passes() {
	s.t.Helper()
	s.passesFor(jet.RoleUser, "order.pdf", "pdf.converted")
	if s.tenants != "" {
		s.passesFor("tenant-acme", "acme/order.pdf", "pdf.acme.converted")
	}
}

// looksWell is what an operator sees from elsewhere.
func (s *site) looksWell() {
	s.t.Helper()
	secret := filepath.Join(s.dir, "operator.s3")
	if err := os.WriteFile(secret, []byte(rootSecret), 0o600); err != nil {
		s.t.Fatal(err)
	}
	env := []string{
		"PDFMILL_NATS_NKEY=" + filepath.Join(s.users, jet.RoleOperator+".nk"), "PDFMILL_NATS_INBOX_PREFIX=" + jet.InboxPrefix(jet.RoleOperator),
		"PDFMILL_S3_ACCESS_KEY=" + rootKey, "PDFMILL_S3_SECRET_KEY_FILE=" + secret,
	}
	if s.plain {
		env = append(env, "PDFMILL_NATS_URL=nats://"+s.natsAt, "PDFMILL_S3_ENDPOINT=http://"+s.s3At)
	} else {
		env = append(env, "PDFMILL_NATS_URL=tls://"+s.natsAt, "PDFMILL_NATS_CA="+s.ca.File, "PDFMILL_S3_ENDPOINT=https://"+s.s3At, "PDFMILL_S3_CA="+s.ca.File)
	}
	seen := map[string]string{}
	doctor := rig.Command{Args: []string{"doctor", "--json"}, Env: env}.Run(s.t)
	for results := json.NewDecoder(strings.NewReader(doctor.Stdout)); results.More(); {
		var r struct{ Check, Outcome, Detail string }
		if err := results.Decode(&r); err != nil {
			s.t.Fatalf("%v\n%s", err, doctor.Stdout)
		}
		seen[r.Check] = r.Outcome
	}
	if seen["NATS"] != "ok" || seen["object store"] != "ok" {
		s.t.Errorf("doctor: %s", doctor.Stdout)
	}
	if status := (rig.Command{Args: []string{"status"}, Env: env}).Run(s.t); status.Code != 0 {
		s.t.Errorf("status: exit %d\n%s", status.Code, status.Stderr)
	}
}

// passesFor has somebody hear of a document.
func (s *site) passesFor(who, key, subject string) {
	s.t.Helper()
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(s.users, who+".nk"))
	if err != nil {
		s.t.Fatal(err)
	}
	options := []nats.Option{seed}
	if !s.plain {
		options = append(options, nats.RootCAs(s.ca.File))
	}
	nc, err := nats.Connect("nats://"+s.natsAt, options...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	events, err := nc.SubscribeSync(subject[:strings.LastIndex(subject, ".")] + ".*")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		s.t.Fatal(err)
	}
	samples, err := filepath.Glob("../../samples/*.pdf")
	if err != nil || len(samples) == 0 {
		s.t.Fatalf("no samples: %v", err)
	}
	content := []byte(read(s.t, samples[0]))
	if _, err := s.store().PutObject(s.t.Context(), "inbox", key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{}); err != nil {
		s.t.Fatal(err)
	}
	m, err := events.NextMsg(2 * pipelinetest.Patience)
	if err != nil {
		s.t.Fatal(err)
	}
	if m.Subject != subject || m.Header.Get("ce-subject") != "inbox/"+key {
		s.t.Errorf("%s: %s", m.Subject, fmt.Sprintf("%.500s", m.Data))
	}
}
