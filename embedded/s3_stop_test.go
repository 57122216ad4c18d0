package embedded_test

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/pdfmill/pdfmill/embedded"
)

func TestIdleClientsDoNotHoldTheGateway(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.StartS3(t.Context(), s3Config(dir, embedded.Relaxed, (&puts{}).announce))
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, client(t, s.URL(), "user"), "inbox", "a.pdf", "x") // its connection stays open
	stop(t, s.Stop)
	if _, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://")); err == nil {
		t.Error("a stopped gateway listens")
	}
	// The folder is free, and so is the process.
	startS3(t, s3Config(dir, embedded.Relaxed, (&puts{}).announce))
}

func TestARequestInWorkIsAnsweredBeforeTheEnd(t *testing.T) {
	told, proceed := make(chan struct{}), make(chan struct{})
	s, err := embedded.StartS3(t.Context(), s3Config(t.TempDir(), embedded.Synced, func(ctx context.Context, _ embedded.Put) error {
		close(told)
		select {
		case <-proceed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	c := client(t, s.URL(), "user")
	go func() { answer <- put(t, c, "inbox", "a.pdf", "x", minio.PutObjectOptions{}) }()
	<-told
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(context.WithoutCancel(t.Context())) }()
	for { // until it takes nobody new
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	close(proceed)
	if err := <-answer; err != nil {
		t.Errorf("the request in work: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestNothingIsAcknowledgedAfterStop(t *testing.T) {
	told, done := make(chan struct{}), make(chan error, 1)
	s, err := embedded.StartS3(t.Context(), s3Config(t.TempDir(), embedded.Relaxed, func(ctx context.Context, _ embedded.Put) error {
		close(told)
		<-ctx.Done()
		done <- ctx.Err()
		return nil // as if it had just worked out
	}))
	if err != nil {
		t.Fatal(err)
	}
	answer := make(chan error, 1)
	c := client(t, s.URL(), "user")
	go func() { answer <- put(t, c, "inbox", "a.pdf", "x", minio.PutObjectOptions{}) }()
	<-told
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // does not wait
	stop(t, func(context.Context) error { return s.Stop(ctx) })
	<-done
	if err := <-answer; err == nil {
		t.Error("an object was acknowledged after the end")
	}
	untilItStarts(t)
}

// untilItStarts waits for the last of a stopped gateway.
func untilItStarts(t *testing.T) {
	t.Helper()
	for {
		s, err := embedded.StartS3(t.Context(), s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce))
		if err == nil {
			stop(t, s.Stop)
			return
		}
		if !strings.Contains(err.Error(), "has one already") || t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestAPortInUseIsNamedWithAHint(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	config := s3Config(t.TempDir(), embedded.Relaxed, (&puts{}).announce)
	config.Addr = addr
	if _, err := embedded.StartS3(t.Context(), config); err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "--s3-addr") {
		t.Errorf("S3 on a port in use: %v", err)
	}
	config.Addr = ""
	startS3(t, config) // the failure left nothing behind
	_, err = embedded.StartNATS(t.Context(), embedded.NATSConfig{Dir: t.TempDir(), Addr: addr, Users: []embedded.User{{Name: "a", Password: "b"}}})
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "address already in use") || !strings.Contains(err.Error(), "--nats-addr") {
		t.Errorf("NATS on a port in use: %v", err)
	}
}
