package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

const (
	bucket  = "pdfmill"
	readyIn = 30 * time.Minute // bounds the wait for a server that recovers
	look    = 50 * time.Millisecond
)

// rig is the servers, and a connection as the services have it.
type rig struct {
	settings
	temp, secret     string
	natsAddr, s3Addr string
	nats, s3         *program
	broker           *jet.Broker
	source           []byte
	sha256           string
	filled, urgent   int // ranges published so far, and urgent ones
}

func newRig(ctx context.Context, s settings) (r *rig, err error) {
	r = &rig{settings: s, secret: rand.Text(), source: emptyPages()}
	sum := sha256.Sum256(r.source)
	r.sha256 = hex.EncodeToString(sum[:])
	if r.temp, err = os.MkdirTemp(s.dir, "pdfmill-queue-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	for _, path := range []struct {
		name string
		to   *string
	}{{"nats-server", &r.settings.nats}, {"versitygw", &r.gateway}} {
		if *path.to == "" {
			if *path.to, err = tool(ctx, path.name); err != nil {
				return r, err
			}
		}
	}
	if r.natsAddr, err = freeAddr(ctx); err != nil {
		return r, err
	}
	if r.s3Addr, err = freeAddr(ctx); err != nil {
		return r, err
	}
	config := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, max_file_store: 1TB }\nauthorization { user: pdfmill, password: %q }\n", r.natsAddr, filepath.Join(r.temp, "nats"), r.secret)
	if err := os.WriteFile(filepath.Join(r.temp, "nats.conf"), []byte(config), 0o600); err != nil {
		return r, err
	}
	if err := os.MkdirAll(filepath.Join(r.temp, "s3"), 0o700); err != nil {
		return r, err
	}
	if r.s3, err = r.start(nil, []string{"ROOT_ACCESS_KEY=pdfmill", "ROOT_SECRET_KEY=" + r.secret}, r.gateway, "--port", r.s3Addr, "--quiet", "posix", filepath.Join(r.temp, "s3")); err != nil {
		return r, err
	}
	if err := r.startNATS(ctx); err != nil {
		return r, err
	}
	if err := r.apply(ctx, r.depths[len(r.depths)-1]+1_000_000); err != nil {
		return r, err
	}
	client, err := minio.New(r.s3Addr, &minio.Options{Creds: credentials.NewStaticV4("pdfmill", r.secret, "")})
	if err != nil {
		return r, err
	}
	for _, name := range []string{"inbox", bucket} {
		if err := until(ctx, func() bool {
			err := client.MakeBucket(ctx, name, minio.MakeBucketOptions{})
			return err == nil || minio.ToErrorResponse(err).Code == "BucketAlreadyOwnedByYou"
		}); err != nil {
			return r, fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	_, err = client.PutObject(ctx, bucket, "source/"+r.sha256+".pdf", bytes.NewReader(r.source), int64(len(r.source)), minio.PutObjectOptions{})
	return r, err
}

// close ends the servers and takes everything away.
func (r *rig) close() error {
	if r.broker != nil {
		r.broker.Close()
	}
	for _, p := range []*program{r.nats, r.s3} {
		if p != nil {
			p.kill()
		}
	}
	return os.RemoveAll(r.temp)
}

// startNATS returns when the server answers for the work queue, or for JetStream as long as there is none.
func (r *rig) startNATS(ctx context.Context) (err error) {
	if r.nats, err = r.start(nil, nil, r.settings.nats, "--config", filepath.Join(r.temp, "nats.conf")); err != nil {
		return err
	}
	return until(ctx, func() bool {
		if r.broker == nil {
			r.broker, err = jet.Connect(ctx, r.config(), "bench", telemetry.Discard())
			if err != nil {
				r.broker = nil
				return false
			}
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := r.broker.JS().Stream(ctx, jet.StreamJobs)
		return err == nil || errors.Is(err, jetstream.ErrStreamNotFound)
	})
}

func (r *rig) config() jet.Config {
	return jet.Config{URL: "nats://" + r.natsAddr, User: "pdfmill", Password: r.secret}
}

// apply makes the topology, with room for so many ranges.
func (r *rig) apply(ctx context.Context, queued int) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.bin, "pdfmill"), "topology", "apply", "--engines", engine, "--max-queued", strconv.Itoa(queued))
	cmd.Env = append(os.Environ(), r.environment()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("topology apply: %w\n%s", err, out)
	}
	return nil
}

func (r *rig) environment() []string {
	return []string{
		"PDFMILL_NATS_URL=nats://" + r.natsAddr, "PDFMILL_NATS_USER=pdfmill", "PDFMILL_NATS_PASSWORD=" + r.secret, "PDFMILL_TOPOLOGY=wait",
		"PDFMILL_S3_ENDPOINT=http://" + r.s3Addr, "PDFMILL_S3_ACCESS_KEY=pdfmill", "PDFMILL_S3_SECRET_KEY=" + r.secret, "PDFMILL_HTTP_ADDR=127.0.0.1:0",
	}
}

// service starts one replica of a service.
func (r *rig) service(name string) (*program, error) {
	env := r.environment()
	if name == "gpu-runner" {
		env = append(env, "PDFMILL_SERVE="+engine, "PDFMILL_WORKERS=1", "PDFMILL_GPU=none")
	}
	log, err := os.OpenFile(filepath.Join(r.temp, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	return r.start(log, env, filepath.Join(r.bin, "pdfmill-"+name))
}

// program is a running process.
type program struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func (r *rig) start(log *os.File, env []string, path string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...), done: make(chan struct{})} //nolint:noctx // it is ended as what is measured wants it
	p.cmd.Env = append(os.Environ(), env...)
	if log != nil {
		p.cmd.Stdout, p.cmd.Stderr = log, log
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }() // how it ended does not matter
	return p, nil
}

// stop lets it end by itself.
func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	<-p.done
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may be gone
	<-p.done
}

// memory is what it holds now and what it held at most, in MB (10⁶ bytes).
func (p *program) memory() (now, peak float64, err error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	read := func(field string) float64 {
		_, rest, _ := strings.Cut(string(content), field+":")
		var kib float64
		_, _ = fmt.Sscan(rest, &kib) // 0 says that the kernel tells nothing
		return kib * 1024 / 1e6
	}
	return read("VmRSS"), read("VmHWM"), nil
}

// until waits for done.
func until(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

// stored is how many bytes files below dir have.
func stored(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		about, err := d.Info()
		if err == nil {
			total += about.Size()
		}
		return err
	})
	return total, err
}

// tool is a server that go.mod of e2e names.
func tool(ctx context.Context, name string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "tool", "-n", name)
	cmd.Dir = "../e2e"
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// emptyPages is a PDF with as many empty pages as a range has.
func emptyPages() []byte {
	var b bytes.Buffer
	kids := strings.Repeat("3 0 R ", span)
	b.WriteString("%PDF-1.4\n")
	var at []int
	for _, object := range []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", kids, span),
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] >>",
	} {
		at = append(at, b.Len())
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", len(at), object)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(at)+1)
	for _, offset := range at {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(at)+1, xref)
	return b.Bytes()
}
