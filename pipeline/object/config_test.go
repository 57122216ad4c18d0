package object

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// wire is an S3 server as far as requests can be looked at: it answers every one with success.
type wire struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
}

func newWire(t *testing.T) *wire {
	t.Helper()
	w := &wire{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, r)
		out.Header().Set("ETag", `"x"`)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *wire) last() *http.Request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[len(w.seen)-1]
}

// client dials the server whatever the host's name is.
func (w *wire) client(t *testing.T, c Config) *S3 {
	t.Helper()
	if c.Endpoint == "" {
		c.Endpoint = w.URL
	}
	c.Region = "us-east-1"
	s, err := NewS3(c)
	if err != nil {
		t.Fatal(err)
	}
	s.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, w.Listener.Addr().String())
	}
	t.Cleanup(s.Close)
	return s
}

func mustPut(t *testing.T, s *S3) {
	t.Helper()
	if _, err := PutBytes(t.Context(), s, "inbox", "a.pdf", []byte("x"), Put{}); err != nil {
		t.Fatal(err)
	}
}

func TestStyles(t *testing.T) {
	w := newWire(t)
	for style, want := range map[string]string{"path": "s3.example.test /inbox/a.pdf", "virtual": "inbox.s3.example.test /a.pdf", "auto": "s3.example.test /inbox/a.pdf"} {
		mustPut(t, w.client(t, Config{Endpoint: "http://s3.example.test", AccessKey: "a", SecretKey: "s", Style: style}))
		if r := w.last(); r.Host+" "+r.URL.Path != want {
			t.Errorf("%s: %s %s, want %s", style, r.Host, r.URL.Path, want)
		}
	}
}

func TestEncryptionIsAskedFor(t *testing.T) {
	w := newWire(t)
	for sse, want := range map[string][2]string{"": {"", ""}, "s3": {"AES256", ""}, "kms:key-7": {"aws:kms", "key-7"}} {
		mustPut(t, w.client(t, Config{AccessKey: "a", SecretKey: "s", SSE: sse}))
		h := w.last().Header
		if got := [2]string{h.Get("X-Amz-Server-Side-Encryption"), h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id")}; got != want {
			t.Errorf("%q: %q, want %q", sse, got, want)
		}
	}
}

// TestSecretIsReplacedWithoutRestart: what the file holds signs the next request.
func TestSecretIsReplacedWithoutRestart(t *testing.T) {
	w := newWire(t)
	file := filepath.Join(t.TempDir(), "secret")
	write := func(secret string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("first", time.Now().Add(-time.Minute))
	s := w.client(t, Config{AccessKey: "a", SecretKeyFile: file})
	secret := func() string {
		t.Helper()
		v, err := s.client.GetCreds()
		if err != nil {
			t.Fatal(err)
		}
		return v.SecretAccessKey
	}
	if got := secret(); got != "first" {
		t.Errorf("secret %q", got)
	}
	write("second", time.Now())
	if got := secret(); got != "second" {
		t.Errorf("secret %q after it was replaced", got)
	}
	mustPut(t, s)
}

// TestCertificatesAreReplacedWithoutRestart: the store comes back with a certificate of another CA, and only what the file now holds is trusted.
func TestCertificatesAreReplacedWithoutRestart(t *testing.T) {
	serve := func(ca *pipelinetest.CA) (address string) {
		t.Helper()
		cert, key := ca.Issue(t.TempDir(), "store")
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { out.Header().Set("ETag", `"x"`) }))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	first, second := pipelinetest.NewCA(t, t.TempDir()), pipelinetest.NewCA(t, t.TempDir())
	was, is := serve(first), serve(second)
	s, err := NewS3(Config{Endpoint: "https://" + was, AccessKey: "a", SecretKey: "s", Region: "us-east-1", CA: first.File})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s)
	dial := s.transport.DialContext
	s.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) { return dial(ctx, network, is) }
	s.Close() // what is open stays good
	if _, err := PutBytes(t.Context(), s, "inbox", "a.pdf", []byte("x"), Put{}); err == nil {
		t.Error("a certificate of an unknown CA is trusted")
	}
	content, err := os.ReadFile(second.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first.File, content, 0o600); err != nil {
		t.Fatal(err)
	}
	mustPut(t, s)
	s.transport.DialContext = dial
	s.Close()
	if _, err := PutBytes(t.Context(), s, "inbox", "a.pdf", []byte("x"), Put{}); err == nil {
		t.Error("a certificate of the former CA is still trusted")
	}
}

// TestAnotherHostsCertificateIsRefused: a certificate of the right CA is not enough.
func TestAnotherHostsCertificateIsRefused(t *testing.T) {
	ca := pipelinetest.NewCA(t, t.TempDir())
	cert, key := ca.Issue(t.TempDir(), "store")
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { out.Header().Set("ETag", `"x"`) }))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	defer server.Close()
	for host, fits := range map[string]bool{"127.0.0.1": true, "10.1.2.3": false, "localhost": true, "s3.example.test": false} {
		s, err := NewS3(Config{Endpoint: "https://" + host + ":9000", AccessKey: "a", SecretKey: "s", Region: "us-east-1", CA: ca.File, Style: "path"})
		if err != nil {
			t.Fatal(err)
		}
		dial := s.transport.DialContext
		s.transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, server.Listener.Addr().String())
		}
		if _, err := PutBytes(t.Context(), s, "inbox", "a.pdf", []byte("x"), Put{}); (err == nil) != fits {
			t.Errorf("%s: %v", host, err)
		}
		s.Close()
	}
}

// TestCredentialsOfTheInstance come from where a container finds them.
func TestCredentialsOfTheInstance(t *testing.T) {
	metadata := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(out).Encode(map[string]any{
			"AccessKeyId": "of-the-container", "SecretAccessKey": "s", "Token": "t", "Expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "Code": "Success",
		})
	}))
	defer metadata.Close()
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", metadata.URL+"/creds")
	w := newWire(t)
	s, err := NewS3(Config{Endpoint: w.URL, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, s)
	if r := w.last(); !strings.Contains(r.Header.Get("Authorization"), "of-the-container") || r.Header.Get("X-Amz-Security-Token") != "t" {
		t.Errorf("signed %q", r.Header.Get("Authorization"))
	}
}

// sts is a token service that gives out numbered credentials, which last for the time given, or is away.
type sts struct {
	*httptest.Server
	lasts atomic.Int64 // a time.Duration
	away  atomic.Bool
	asked atomic.Int64
}

func newSTS(t *testing.T) *sts {
	t.Helper()
	s := &sts{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			out.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		action := r.FormValue("Action")
		if action == "AssumeRole" && !strings.Contains(r.Header.Get("Authorization"), "Credential=ours/") || r.FormValue("RoleArn") != "arn:aws:iam::1:role/mill" {
			out.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = fmt.Fprintf(out, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials><AccessKeyId>temporary-%[2]d</AccessKeyId>`+
			`<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken><Expiration>%[3]s</Expiration></Credentials></%[1]sResult></%[1]sResponse>`,
			action, s.asked.Add(1), time.Now().Add(time.Duration(s.lasts.Load())).UTC().Format(time.RFC3339Nano))
	}))
	t.Cleanup(s.Close)
	return s
}

// TestTemporaryCredentials are asked for, kept, asked for again when they end or what they were asked for with is replaced, and used to their end while nobody renews them.
func TestTemporaryCredentials(t *testing.T) {
	const role = "arn:aws:iam::1:role/mill"
	w, from := newWire(t), newSTS(t)
	from.lasts.Store(int64(time.Hour))
	file := filepath.Join(t.TempDir(), "secret")
	replace := func(at time.Time) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file, []byte("s\n"), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	replace(time.Now())
	client := func(c Config) *S3 {
		t.Helper()
		c.Endpoint, c.Region, c.STS = w.URL, "us-east-1", from.URL
		s, err := NewS3(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	s := client(Config{AccessKey: "ours", SecretKeyFile: file, Role: role})
	signedBy := func(want string) {
		t.Helper()
		mustPut(t, s)
		if h := w.last().Header; !strings.Contains(h.Get("Authorization"), "Credential="+want+"/") || h.Get("X-Amz-Security-Token") != "t" {
			t.Errorf("signed %q, want by %s", h.Get("Authorization"), want)
		}
	}
	signedBy("temporary-1")
	signedBy("temporary-1")
	from.lasts.Store(int64(-time.Second))
	replace(time.Now().Add(-time.Minute))
	signedBy("temporary-2")
	from.lasts.Store(int64(time.Hour))
	signedBy("temporary-3")
	from.away.Store(true)
	replace(time.Now().Add(-2 * time.Minute))
	signedBy("temporary-3")
	from.away.Store(false)
	signedBy("temporary-4")

	refused := client(Config{AccessKey: "another", SecretKey: "s", Role: role})
	if _, err := PutBytes(t.Context(), refused, "inbox", "a.pdf", []byte("x"), Put{}); err == nil || !strings.Contains(err.Error(), from.URL) {
		t.Errorf("STS refuses: %v", err)
	}
}

// TestWebIdentity is exchanged where s3-sts says.
func TestWebIdentity(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(dir, "none"))
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(dir, "token"))
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/mill")
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("a.jwt"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, from := newWire(t), newSTS(t)
	from.lasts.Store(int64(time.Hour))
	s, err := NewS3(Config{Endpoint: w.URL, Region: "us-east-1", STS: from.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, s)
	if h := w.last().Header; !strings.Contains(h.Get("Authorization"), "Credential=temporary-1/") {
		t.Errorf("signed %q", h.Get("Authorization"))
	}
}

func TestConfigJoinsItsFaults(t *testing.T) {
	_, err := NewS3(Config{Endpoint: "here", Style: "sideways", SecretKey: "hidden", SecretKeyFile: "f", SSE: "rot13", STS: "there", Role: "arn"})
	for _, want := range []string{"endpoint", "s3-style", "s3-secret-key-file", "s3-access-key", "s3-sse", "s3-sts", "s3-role"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
	if strings.Contains(err.Error(), "hidden") {
		t.Errorf("the error shows the secret: %v", err)
	}
}
