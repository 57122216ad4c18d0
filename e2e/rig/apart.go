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
	p := &Pipeline{t: t, Endpoints: Endpoints{
		NATSUser: "user", NATSPassword: "nats-secret", S3AccessKey: "user", S3SecretKey: "s3-secret", InboxBucket: "inbox",
	}}
	p.startNATS(filepath.Join(data, "nats"))
	p.startS3(filepath.Join(data, "s3"))
	p.env = []string{
		"PDFMILL_NATS_URL=" + p.NATSURL, "PDFMILL_NATS_USER=" + p.NATSUser, "PDFMILL_NATS_PASSWORD=" + p.NATSPassword,
		"PDFMILL_S3_ENDPOINT=" + p.S3Endpoint, "PDFMILL_S3_ACCESS_KEY=" + p.S3AccessKey, "PDFMILL_S3_SECRET_KEY=" + p.S3SecretKey,
		"PDFMILL_HTTP_ADDR=127.0.0.1:0", "PDFMILL_SCAN_INTERVAL=200ms", // nobody tells ingest of a drop here: its listing finds it
	}
	for _, name := range []string{"ingest", "validator", "gpu-runner", "publisher"} {
		p.Processes = append(p.Processes, Start(t, p.env, Binary(t, "pdfmill-"+name)))
	}
	for _, service := range p.Processes {
		service.Await("ready", func() bool { return Ready(t, service) })
	}
	return p
}

func (p *Pipeline) startNATS(dir string) {
	p.t.Helper()
	ports := p.t.TempDir()
	config := filepath.Join(p.t.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: 127.0.0.1:-1\nports_file_dir: %q\njetstream { store_dir: %q, sync_interval: always }\nauthorization { user: %q, password: %q }\n",
		ports, dir, p.NATSUser, p.NATSPassword)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	s := Start(p.t, nil, Server(p.t, "nats-server"), "--config", config)
	p.servers = append(p.servers, s)
	s.Await("it says where it listens", func() bool {
		content, err := os.ReadFile(filepath.Join(ports, fmt.Sprintf("nats-server_%d.ports", s.PID())))
		var listens struct{ NATS []string }
		if err != nil || json.Unmarshal(content, &listens) != nil || len(listens.NATS) == 0 {
			return false
		}
		p.NATSURL = listens.NATS[0]
		return true
	})
}

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
