package rig

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// Apart starts a stock nats-server, a stock S3 server and the four services, each as a process of its own, on data, and waits until all are ready.
func Apart(t testing.TB, data string) *Pipeline {
	t.Helper()
	e := Endpoints{NATSUser: "user", NATSPassword: "nats-secret", S3AccessKey: "user", S3SecretKey: "s3-secret"}
	return ApartAs(t, data, e, func(_ string, e Endpoints) []string {
		return []string{
			"PDFMILL_NATS_URL=" + e.NATSURL, "PDFMILL_NATS_USER=" + e.NATSUser, "PDFMILL_NATS_PASSWORD=" + e.NATSPassword,
			"PDFMILL_S3_ENDPOINT=" + e.S3Endpoint, "PDFMILL_S3_ACCESS_KEY=" + e.S3AccessKey, "PDFMILL_S3_SECRET_KEY=" + e.S3SecretKey,
		}
	})
}

// ApartAs is Apart with servers that know such users, and services each of which finds them, and says who it is, by an environment of its own; that of "" is for commands.
func ApartAs(t testing.TB, data string, e Endpoints, as func(service string, e Endpoints) []string) *Pipeline {
	t.Helper()
	p := &Pipeline{t: t, Endpoints: e}
	p.InboxBucket = "inbox"
	p.configureNATS(filepath.Join(data, "nats"))
	p.StartNATS()
	p.startS3(filepath.Join(data, "s3"))
	env := func(name string) []string {
		return append(as(name, p.Endpoints), "PDFMILL_HTTP_ADDR=127.0.0.1:0", "PDFMILL_SCAN_INTERVAL=200ms") // nobody tells ingest of a drop here: its listing finds it
	}
	p.env = env("")
	for _, name := range []string{"ingest", "validator", "gpu-runner", "publisher"} {
		p.Processes = append(p.Processes, Start(t, env(name), Binary(t, "pdfmill-"+name)))
	}
	for _, service := range p.Processes {
		service.Await("ready", func() bool { return Ready(t, service) })
	}
	return p
}

func (p *Pipeline) configureNATS(dir string) {
	p.t.Helper()
	address := FreeAddr(p.t)
	p.NATSURL, p.natsConfig = "nats://"+address, filepath.Join(p.t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always }\nauthorization { user: %q, password: %q }\n", address, dir, p.NATSUser, p.NATSPassword)
	if err := os.WriteFile(p.natsConfig, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// StartNATS starts the stock nats-server, at first or after KillNATS.
func (p *Pipeline) StartNATS() {
	p.t.Helper()
	p.nats = Start(p.t, nil, Server(p.t, "nats-server"), "--config", p.natsConfig)
	p.servers = append(p.servers, p.nats)
}

// KillNATS ends it as a power cut would.
func (p *Pipeline) KillNATS() { p.nats.Kill() }

func (p *Pipeline) startS3(dir string) {
	p.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		p.t.Fatal(err)
	}
	addr := FreeAddr(p.t)
	s := Start(p.t, []string{"ROOT_ACCESS_KEY=" + p.S3AccessKey, "ROOT_SECRET_KEY=" + p.S3SecretKey}, Server(p.t, "versitygw"), "--port", addr, "--quiet", "posix", dir)
	p.servers = append(p.servers, s)
	p.S3Endpoint, p.InboxDir = "http://"+addr, filepath.Join(dir, p.InboxBucket)
	client := p.S3()
	s.Await("it has the inbox bucket", func() bool {
		err := client.MakeBucket(p.t.Context(), p.InboxBucket, minio.MakeBucketOptions{})
		return err == nil || minio.ToErrorResponse(err).Code == minio.BucketAlreadyOwnedByYou
	})
}

// Ready asks a service whose log tells where it answers.
func Ready(t testing.TB, service *Process) bool {
	t.Helper()
	for line := range strings.Lines(service.Log()) {
		var entry struct{ Msg, HTTP string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Msg != "started" {
			continue
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, entry.HTTP+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	return false
}
