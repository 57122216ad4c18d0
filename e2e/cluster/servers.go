//go:build linux

package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/e2e/rig"
)

const (
	clientPort, routePort = "4222", "6222"
	s3Port                = "9000"
)

// server is a NATS server on a host of its own.
type server struct {
	*host
	dir     string
	process *rig.Process
}

// configureNATS writes the configuration of all NATS servers: one cluster, one account with the users that pdfmill made, and TLS with certificates on both sides.
func (c *cluster) configureNATS() {
	c.t.Helper()
	var routes []string
	for _, s := range c.nats {
		routes = append(routes, fmt.Sprintf("%q", "nats://"+net.JoinHostPort(s.address, routePort)))
	}
	for _, s := range c.nats {
		own := func(name string) string { return filepath.Join(s.dir, name) }
		c.ca.Issue(s.dir, "cert", s.address)
		c.copyFile(c.ca.File, own("ca.pem"))
		c.copyFile(filepath.Join(c.users, "nats-users.conf"), own("nats-users.conf"))
		identity := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, timeout: 10 }", own("cert.pem"), own("cert-key.pem"), own("ca.pem"))
		c.write(own("nats.conf"), fmt.Sprintf(`
server_name: %s
listen: %q
%s
jetstream { store_dir: %q }
cluster { name: pdfmill, listen: %q, routes: [%s], %s }
accounts {
  PDFMILL {
    jetstream: enabled
    include "nats-users.conf"
  }
  SYS { users: [ { user: system, password: %q } ] }
}
system_account: SYS
`, s.name, net.JoinHostPort(s.address, clientPort), identity, own("data"), net.JoinHostPort(s.address, routePort), strings.Join(routes, ", "), identity, c.rootSecret))
	}
}

func (c *cluster) startNATS(s *server) {
	c.t.Helper()
	s.process = rig.StartCommand(c.root, "nats "+s.name, s.command(nil, c.natsServer, "--config", filepath.Join(s.dir, "nats.conf")))
}

// natsURL names every server, as services are told.
func (c *cluster) natsURL() string {
	var urls []string
	for _, s := range c.nats {
		urls = append(urls, "tls://"+net.JoinHostPort(s.address, clientPort))
	}
	return strings.Join(urls, ",")
}

// connect makes clients of the test's own: of NATS as a role, which is let in by its key and its certificate.
func (c *cluster) connect(role string) *nats.Conn {
	c.t.Helper()
	dir := c.identity(role)
	seed, err := nats.NkeyOptionFromSeed(filepath.Join(dir, role+".nk"))
	if err != nil {
		c.t.Fatal(err)
	}
	var nc *nats.Conn
	c.until(role+" connects to NATS", func() bool {
		nc, err = nats.Connect(c.natsURL(), seed, nats.RootCAs(filepath.Join(dir, "ca.pem")), nats.ClientCert(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "cert-key.pem")),
			nats.CustomInboxPrefix(inboxPrefix(role)), nats.MaxReconnects(-1), nats.PingInterval(time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		return err == nil
	})
	c.root.Cleanup(nc.Close)
	return nc
}

func inboxPrefix(role string) string {
	if role == "user" || role == "gateway" {
		return "_INBOX"
	}
	return "_INBOX_" + role
}

// leader is the server that leads a stream.
func (c *cluster) leader(stream string) *server {
	c.t.Helper()
	var leads *server
	c.until(stream+" has a leader", func() bool {
		info := c.look(stream)
		if info == nil || info.Cluster == nil {
			return false
		}
		for _, s := range c.nats {
			if s.name == info.Cluster.Leader {
				leads = s
			}
		}
		return leads != nil
	})
	return leads
}

// look asks for the state of a stream, nil while nobody can tell.
func (c *cluster) look(stream string) *jetstream.StreamInfo {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience/20)
	defer cancel()
	s, err := c.js.Stream(ctx, stream)
	if err != nil {
		return nil
	}
	return s.CachedInfo()
}

// whole waits until every replica of the streams that matter is up to date, as who takes servers away one after the other must.
func (c *cluster) whole() {
	c.t.Helper()
	for _, stream := range []string{"PDF_JOBS", "PDF_EVENTS", "PDF_DEAD", "KV_pdf_sources", "KV_pdf_ends"} {
		c.until("three replicas of "+stream+" are up to date", func() bool {
			info := c.look(stream)
			if info == nil || info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != 2 {
				return false
			}
			for _, r := range info.Cluster.Replicas {
				if r.Offline || !r.Current {
					return false
				}
			}
			return true
		})
	}
}

// store is the host with MinIO.
type store struct {
	*host
	dir     string
	process *rig.Process
	proxy   *proxy
}

// startMinIO starts MinIO, whose clients all come through the proxy.
func (c *cluster) startMinIO() {
	c.t.Helper()
	certs := filepath.Join(c.s3host.dir, "certs")
	env := append([]string{
		"MINIO_ROOT_USER=root", "MINIO_ROOT_PASSWORD=" + c.rootSecret, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_DOMAIN=" + virtualDomain,
		"MINIO_KMS_SECRET_KEY=" + kmsKeyName + ":" + c.kmsKey,
	}, c.notifications()...)
	c.s3host.process = rig.StartCommand(c.root, "minio", c.s3host.command(env, c.minio, "server", "--quiet", "--certs-dir", certs,
		"--address", net.JoinHostPort(c.s3host.address, s3Port), filepath.Join(c.s3host.dir, "data")))
	c.until("MinIO answers", func() bool {
		if c.s3host.process.Gone() {
			c.t.Fatalf("MinIO ended:\n%s", c.s3host.process.Log())
		}
		_, err := c.s3.BucketExists(c.t.Context(), "inbox")
		return err == nil
	})
}

// notifications is the part of MinIO's configuration that docs/cluster.md gives for its events, with this cluster's places in it.
func (c *cluster) notifications() []string {
	c.t.Helper()
	content, err := os.ReadFile("../../docs/cluster.md")
	if err != nil {
		c.t.Fatal(err)
	}
	gateway := c.identity("gateway")
	places := strings.NewReplacer("nats1.internal", c.nats[0].address, "/etc/minio/pdfmill", gateway, "/var/lib/minio", c.s3host.dir)
	var env []string
	for line := range strings.Lines(string(content)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "MINIO_NOTIFY_NATS_") {
			env = append(env, places.Replace(line))
		}
	}
	if len(env) == 0 {
		c.t.Fatal("docs/cluster.md does not say any more how MinIO tells of drops")
	}
	return env
}

// kmsKeyName is what the key is called by which MinIO encrypts.
const kmsKeyName = "test"

// virtualDomain is that of buckets in host names.
const virtualDomain = "s3.example.org"

// certifyMinIO gives MinIO a certificate, and tells it so when it runs.
func (c *cluster) certifyMinIO() {
	c.t.Helper()
	certs := filepath.Join(c.s3host.dir, "certs")
	if err := os.MkdirAll(filepath.Join(certs, "CAs"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	temp := c.t.TempDir()
	cert, key := c.ca.Issue(temp, "minio", c.s3host.address, c.network.center(), virtualDomain, "*."+virtualDomain)
	c.copyFile(c.ca.File, filepath.Join(certs, "CAs", "ca.pem"))
	c.copyFile(key, filepath.Join(certs, "private.key"))
	c.copyFile(cert, filepath.Join(certs, "public.crt"))
	if c.s3host.process != nil {
		c.s3host.process.Signal(syscall.SIGHUP)
	}
}

func (c *cluster) s3Endpoint() string {
	return "https://" + net.JoinHostPort(c.network.center(), s3Port)
}

// s3Client is a stock client of MinIO.
func (c *cluster) s3Client(user, secret string) *minio.Client {
	c.t.Helper()
	pem, err := os.ReadFile(c.ca.File)
	if err != nil {
		c.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client, err := minio.New(net.JoinHostPort(c.network.center(), s3Port), &minio.Options{
		Creds: credentials.NewStaticV4(user, secret, ""), Secure: true, MaxRetries: 1,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return client
}

// mc runs MinIO's client on the server as root.
func (c *cluster) mc(args ...string) string {
	c.t.Helper()
	config := filepath.Join(c.dir, "mc")
	if err := os.MkdirAll(filepath.Join(config, "certs", "CAs"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	c.copyFile(c.ca.File, filepath.Join(config, "certs", "CAs", "ca.pem"))
	cmd := exec.CommandContext(c.t.Context(), c.mcClient, append([]string{"--config-dir", config, "--quiet"}, args...)...)
	cmd.Env = append(os.Environ(), "MC_HOST_mill=https://root:"+c.rootSecret+"@"+net.JoinHostPort(c.network.center(), s3Port))
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("mc %q: %v\n%s", args, err, out)
	}
	return string(out)
}
