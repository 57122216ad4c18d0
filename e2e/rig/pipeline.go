package rig

import (
	"bytes"
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// Endpoints is what clients of a pipeline need to know; `pdfmill up` writes it.
type Endpoints struct {
	NATSURL      string `json:"nats_url"`
	NATSUser     string `json:"nats_user"`
	NATSPassword string `json:"nats_password"`
	S3Endpoint   string `json:"s3_endpoint"`
	S3AccessKey  string `json:"s3_access_key"`
	S3SecretKey  string `json:"s3_secret_key"`
	InboxBucket  string `json:"inbox_bucket"`
	InboxDir     string `json:"inbox_dir"`
	HTTPURL      string `json:"http_url"`
}

// Pipeline is one that runs, whichever processes it is made of.
type Pipeline struct {
	Endpoints
	// Processes of pdfmill's, without servers that are not its own.
	Processes []*Process

	t       testing.TB
	env     []string // by which pdfmill's commands find it
	servers []*Process

	natsConfig string // of a stock nats-server
	nats       *Process
}

// Mode is a way to run the same services. Started again with the same data, it goes on where it was.
type Mode struct {
	Name  string
	Start func(t testing.TB, data string) *Pipeline
}

// Modes are all there are.
func Modes() []Mode {
	return []Mode{
		{"all in one", func(t testing.TB, data string) *Pipeline { t.Helper(); return Up(t, data) }},
		{"separate processes", Apart},
	}
}

// Kill ends every process as a power cut would.
func (p *Pipeline) Kill() {
	for _, process := range append(p.Processes, p.servers...) {
		process.Kill()
	}
}

// Stop ends pdfmill's processes politely; one that takes longer than limit, or does not exit with 0, fails the test.
func (p *Pipeline) Stop(limit time.Duration) {
	p.t.Helper()
	for _, process := range p.Processes {
		if code := process.Stop(limit); code != 0 {
			p.t.Errorf("%s: exit %d after SIGTERM", process.name, code)
		}
	}
}

// Run runs a command of pdfmill's on this pipeline and returns what it left behind.
func (p *Pipeline) Run(args ...string) Output {
	p.t.Helper()
	return Command{Args: args, Env: p.env}.Run(p.t)
}

// Pdfmill runs a command that must succeed and returns what it printed.
func (p *Pipeline) Pdfmill(args ...string) string {
	p.t.Helper()
	out := p.Run(args...)
	if out.Code != 0 {
		p.t.Fatalf("pdfmill %q: exit %d\n%s%s", args, out.Code, out.Stdout, out.Stderr)
	}
	return out.Stdout
}

// Idle waits until nothing is queued and nothing in work.
func (p *Pipeline) Idle() {
	p.t.Helper()
	pipelinetest.Eventually(p.t, "every queue is empty", func() bool {
		var status struct {
			Queues map[string]struct {
				Waiting uint64 `json:"waiting"`
				InWork  int    `json:"in_work"`
			} `json:"queues"`
		}
		if err := json.Unmarshal([]byte(p.Pdfmill("status", "--json")), &status); err != nil || len(status.Queues) == 0 {
			p.t.Fatalf("status: %v", err)
		}
		for _, q := range status.Queues {
			if q.Waiting > 0 || q.InWork > 0 {
				return false
			}
		}
		return true
	})
}

// NATS connects with the stock client and the user's credentials.
func (p *Pipeline) NATS() *nats.Conn {
	p.t.Helper()
	nc, err := nats.Connect(p.NATSURL, nats.UserInfo(p.NATSUser, p.NATSPassword))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(nc.Close)
	return nc
}

// S3 returns the stock client with the user's credentials.
func (p *Pipeline) S3() *minio.Client {
	p.t.Helper()
	u, err := url.Parse(p.S3Endpoint)
	if err != nil {
		p.t.Fatal(err)
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(p.S3AccessKey, p.S3SecretKey, ""), Secure: u.Scheme == "https"})
	if err != nil {
		p.t.Fatal(err)
	}
	return client
}

// Put drops a document with the stock client.
func (p *Pipeline) Put(key string, content []byte, metadata map[string]string) {
	p.t.Helper()
	_, err := p.S3().PutObject(p.t.Context(), p.InboxBucket, key, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{UserMetadata: metadata})
	if err != nil {
		p.t.Fatal(err)
	}
}

// Service starts one more process of a service, where they are processes of their own.
func (p *Pipeline) Service(name string, args ...string) *Process {
	p.t.Helper()
	return Start(p.t, p.env, Binary(p.t, "pdfmill-"+name), args...)
}

// Start starts a command of pdfmill's that runs until it is told to end.
func (p *Pipeline) Start(args ...string) *Process {
	p.t.Helper()
	return Start(p.t, p.env, Binary(p.t, "pdfmill"), args...)
}
