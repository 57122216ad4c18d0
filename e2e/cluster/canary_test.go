//go:build cluster

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/checker"
)

// canaries are every secret there is, by what it is: of NATS and of the store, of each role, a password of documents, a key of a language model.
func (c *cluster) canaries() map[string]string {
	c.t.Helper()
	all := map[string]string{"root of the store and system of NATS": c.rootSecret, "key of the store's encryption": c.kmsKey, "password of documents": c.password, "right password": "correct horse", "key of a language model": c.llmKey}
	for role, secret := range c.secrets {
		all["S3 secret of "+role] = secret
	}
	for _, pattern := range []string{"users/*.nk", "identities/*/*.nk", "identities/*/*-key.pem", "nats*/cert-key.pem"} {
		paths, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil || len(paths) == 0 {
			c.t.Fatalf("no secrets like %s: %v", pattern, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				c.t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSpace(string(content)), "\n") // of a PEM file the second is the key's beginning
			all[path] = lines[min(1, len(lines)-1)]
		}
	}
	return all
}

// secretsKept looks for every secret in all that processes have said and been told, in every message that NATS keeps, and in every object.
func (l *load) secretsKept(t *testing.T) {
	content, err := os.ReadFile("../../contract/documents/locked.pdf")
	if err != nil {
		t.Fatal(err)
	}
	for name, ref := range map[string]string{"locked/right.pdf": "canary", "locked/unknown.pdf": "no-such-secret"} {
		if _, err := l.s3.PutObject(t.Context(), "inbox", name, bytes.NewReader(content), int64(len(content)), minio.PutObjectOptions{
			UserMetadata: map[string]string{"pdfmill-password-ref": ref},
		}); err != nil {
			t.Fatal(err)
		}
		l.dropped["inbox/"+name] = 1
	}
	l.settle() // what is in work meanwhile has been through all hands, wrong passwords and all
	opened := false
	if err := checker.Read(t.Context(), l.js, "PDF_EVENTS", func(m jetstream.Msg) error {
		opened = opened || m.Subject() == "pdf.converted" && m.Headers().Get("ce-subject") == "inbox/locked/right.pdf"
		return nil
	}); err != nil || !opened {
		t.Errorf("the document that a secret opens was not converted: %v", err)
	}

	canaries, looked := l.canaries(), 0
	grep := func(place string, content []byte) {
		looked++
		for what, secret := range canaries {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s shows the %s", place, what)
			}
		}
	}
	for _, s := range services {
		for _, p := range l.everStarted[s] {
			grep("the log of "+p.Name(), []byte(p.Log()))
		}
	}
	l.grepProcesses(grep)
	l.grepMessages(grep)
	l.grepObjects(grep)
	if looked < 100 {
		t.Errorf("looked at %d things only", looked)
	}
	// And what looks finds: MinIO is told its root secret in its environment.
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", l.s3host.process.PID()))
	if err != nil || !bytes.Contains(environ, []byte(l.rootSecret)) {
		t.Errorf("a secret is not even found where it is: %v", err)
	}
}

// grepProcesses looks at command lines of all, and at the environments of services and of whatever they started.
func (l *load) grepProcesses(grep func(string, []byte)) {
	l.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		l.t.Fatal(err)
	}
	children := 0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err != nil {
			continue // gone
		}
		words := strings.ReplaceAll(string(line), "\x00", " ")
		grep("the command line of "+words, line)
		if !l.ours(pid) {
			continue
		}
		if environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ")); err == nil {
			grep("the environment of "+words, environ)
			if strings.Contains(words, "pdfmill_runner") {
				children++
				if bytes.Contains(environ, []byte(l.dir+"/identities")) {
					l.t.Errorf("%s is told where secrets are", words)
				}
				if status, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "status")); err != nil || !bytes.Contains(status, []byte("NoNewPrivs:\t1")) {
					l.t.Errorf("%s may get more privileges: %v", words, err)
				}
				devices, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "net", "dev"))
				if err != nil || l.network.real && strings.Count(string(devices), ":") != 1 {
					l.t.Errorf("%s has a network (%v):\n%s", words, err, devices)
				}
			}
		}
	}
	if children == 0 {
		l.t.Error("no worker was looked at")
	}
}

// ours says whether a process is one of the services that run, or descends from one: where there are no namespaces, other installations' may be there too.
func (l *load) ours(pid int) bool {
	for pid > 1 {
		for _, s := range services {
			for _, p := range l.running[s] {
				if p.PID() == pid {
					return true
				}
			}
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return false // gone
		}
		_, parent, _ := strings.Cut(string(status), "PPid:")
		if pid = 0; parent != "" {
			_, _ = fmt.Sscan(parent, &pid) // 0 is nobody
		}
	}
	return false
}

// grepMessages looks at every message of every stream, KV buckets included.
func (l *load) grepMessages(grep func(string, []byte)) {
	l.t.Helper()
	names := l.js.StreamNames(l.t.Context())
	for name := range names.Name() {
		if err := checker.Read(l.t.Context(), l.js, name, func(m jetstream.Msg) error {
			grep(name+" "+m.Subject(), fmt.Append(m.Data(), m.Headers()))
			return nil
		}); err != nil && name != "PDF_JOBS" {
			l.t.Fatal(err)
		}
	}
	if err := names.Err(); err != nil {
		l.t.Fatal(err)
	}
}

// grepObjects looks at every object of pdfmill's own bucket, and at its metadata.
func (l *load) grepObjects(grep func(string, []byte)) {
	l.t.Helper()
	objects, err := checker.List(l.t.Context(), l.s3, checker.Bucket)
	if err != nil {
		l.t.Fatal(err)
	}
	for key := range objects {
		o, err := l.s3.GetObject(context.Background(), checker.Bucket, key, minio.GetObjectOptions{})
		if err != nil {
			l.t.Fatal(err)
		}
		content, err := io.ReadAll(o)
		if err != nil {
			l.t.Fatal(err)
		}
		about, err := o.Stat()
		if err != nil {
			l.t.Fatal(err)
		}
		grep("object "+key, fmt.Append(content, about.UserMetadata))
		o.Close()
	}
}
