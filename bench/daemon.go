package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
)

// endpoints is what `pdfmill up` writes for its clients.
type endpoints struct {
	NATSURL      string `json:"nats_url"`
	NATSUser     string `json:"nats_user"`
	NATSPassword string `json:"nats_password"`
	S3Endpoint   string `json:"s3_endpoint"`
	S3AccessKey  string `json:"s3_access_key"`
	S3SecretKey  string `json:"s3_secret_key"`
	InboxBucket  string `json:"inbox_bucket"`
	InboxDir     string `json:"inbox_dir"`
}

// daemon is a running `pdfmill up`.
type daemon struct {
	endpoints
	data  string  // its folder
	ready float64 // seconds from the start of the process
	cmd   *exec.Cmd
	log   bytes.Buffer
	ended chan error
}

// readyWait is long: the first start of a machine makes the Python environment.
const readyWait = 5 * time.Minute

// up starts the daemon on a fresh folder and returns when it is ready.
func (r *rig) up(ctx context.Context, args ...string) (*daemon, error) {
	data := r.fresh("up")
	d := &daemon{data: data, ended: make(chan error, 1)}
	d.cmd = exec.CommandContext(ctx, r.binary(), append([]string{
		"up", "--data", data, "--nats-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
	}, args...)...)
	d.cmd.Stdout, d.cmd.Stderr = &d.log, &d.log
	started := time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { d.ended <- d.cmd.Wait() }()
	give, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		content, err := os.ReadFile(filepath.Join(data, "endpoints.json"))
		if err == nil && json.Unmarshal(content, &d.endpoints) == nil {
			d.ready = time.Since(started).Seconds()
			return d, nil
		}
		select {
		case err := <-d.ended:
			return nil, fmt.Errorf("pdfmill up ended: %w\n%s", err, d.log.String())
		case <-give.Done():
			_ = d.cmd.Process.Kill()
			<-d.ended //nolint:errcheck // killed, as asked
			return nil, fmt.Errorf("pdfmill up is not ready: %w\n%s", give.Err(), d.log.String())
		case <-ticker.C:
		}
	}
}

// stop ends the daemon in good order.
func (d *daemon) stop() error {
	err := errors.Join(d.cmd.Process.Signal(syscall.SIGTERM), <-d.ended)
	if err != nil {
		return fmt.Errorf("stop pdfmill up: %w\n%s", err, d.log.String())
	}
	return nil
}

func (d *daemon) nats() (*nats.Conn, error) {
	return nats.Connect(d.NATSURL, nats.UserInfo(d.NATSUser, d.NATSPassword))
}

func (d *daemon) s3() (*minio.Client, error) {
	u, err := url.Parse(d.S3Endpoint)
	if err != nil {
		return nil, err
	}
	return minio.New(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(d.S3AccessKey, d.S3SecretKey, ""), Secure: u.Scheme == "https", Region: "us-east-1",
	})
}
