package rig

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// Endpoints is what `pdfmill up` writes for its clients.
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

// Daemon is a running `pdfmill up`.
type Daemon struct {
	Endpoints
	Data string

	t    testing.TB
	cmd  *exec.Cmd
	log  *syncBuffer
	done chan struct{}
}

// Up starts the daemon on data and waits until it is ready. It is killed when the test ends.
func Up(t testing.TB, data string, args ...string) *Daemon {
	t.Helper()
	endpoints := filepath.Join(data, "endpoints.json")
	if err := os.Remove(endpoints); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	d := &Daemon{t: t, Data: data, log: &syncBuffer{}, done: make(chan struct{})}
	d.cmd = exec.Command(Binary(t), append([]string{ //nolint:noctx // it outlives contexts: the test kills it
		"up", "--data", data, "--nats-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = d.cmd.Wait(); close(d.done) }()
	t.Cleanup(func() {
		d.Kill()
		if t.Failed() {
			t.Logf("the daemon said:\n%s", d.log)
		}
	})
	pipelinetest.Eventually(t, "pdfmill up writes "+endpoints, func() bool {
		select {
		case <-d.done:
			t.Fatalf("pdfmill up ended: %s\n%s", d.cmd.ProcessState, d.log)
		default:
		}
		content, err := os.ReadFile(endpoints)
		return err == nil && json.Unmarshal(content, &d.Endpoints) == nil
	})
	return d
}

// Kill ends the daemon as a power cut would, and waits until it is gone.
func (d *Daemon) Kill() {
	_ = d.cmd.Process.Kill() // it may be gone already
	<-d.done
}

// Stop ends the daemon politely and returns its exit code; one that takes longer than limit fails the test.
func (d *Daemon) Stop(limit time.Duration) int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(limit):
		d.t.Fatalf("pdfmill up is still there %s after SIGTERM\n%s", limit, d.log)
	}
	return d.cmd.ProcessState.ExitCode()
}

// Log is everything that the daemon printed so far.
func (d *Daemon) Log() string { return d.log.String() }

// NATS connects with the stock client and the user's credentials.
func (d *Daemon) NATS() *nats.Conn {
	d.t.Helper()
	nc, err := nats.Connect(d.NATSURL, nats.UserInfo(d.NATSUser, d.NATSPassword))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(nc.Close)
	return nc
}

// S3 returns the stock client with the user's credentials.
func (d *Daemon) S3() *minio.Client {
	d.t.Helper()
	u, err := url.Parse(d.S3Endpoint)
	if err != nil {
		d.t.Fatal(err)
	}
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(d.S3AccessKey, d.S3SecretKey, ""), Secure: u.Scheme == "https"})
	if err != nil {
		d.t.Fatal(err)
	}
	return client
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
