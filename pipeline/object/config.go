package object

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"
)

// Config says how to reach an S3 store.
type Config struct {
	Endpoint      string `name:"s3-endpoint" env:"PDFMILL_S3_ENDPOINT" default:"http://127.0.0.1:9000" help:"S3 endpoint as a URL; https selects TLS."`
	AccessKey     string `name:"s3-access-key" env:"PDFMILL_S3_ACCESS_KEY" help:"S3 access key. Without one credentials come from AWS_ACCESS_KEY_ID, AWS' shared file, or the instance: web identity, container, EC2."`
	SecretKey     string `name:"s3-secret-key" env:"PDFMILL_S3_SECRET_KEY" help:"S3 secret key; give it in the environment, not here." hidden:""`
	SecretKeyFile string `name:"s3-secret-key-file" env:"PDFMILL_S3_SECRET_KEY_FILE" type:"path" placeholder:"FILE" help:"File with the S3 secret key; read again when it changes."`
	Region        string `name:"s3-region" env:"PDFMILL_S3_REGION" default:"us-east-1" help:"S3 region."`
	Style         string `name:"s3-style" env:"PDFMILL_S3_STYLE" enum:"auto,path,virtual" default:"auto" help:"Buckets in the path or in the host name of URLs; auto: in the host name at AWS only."`
	CA            string `name:"s3-ca" env:"PDFMILL_S3_CA" type:"path" placeholder:"FILE" help:"Certificates (PEM) that the store's must lead to, read again for each connection; default: the system's."`
	SSE           string `name:"s3-sse" env:"PDFMILL_S3_SSE" placeholder:"HOW" help:"Encryption asked for with every write: s3, or kms: and a key's id. Default: what the bucket says."`
}

// styles by name; the zero Config has the first.
var styles = map[string]minio.BucketLookupType{"": minio.BucketLookupAuto, "auto": minio.BucketLookupAuto, "path": minio.BucketLookupPath, "virtual": minio.BucketLookupDNS}

// check reports every setting that can't be used, joined.
func (c Config) check() (*url.URL, error) {
	var faults []error
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		faults = append(faults, fmt.Errorf("S3 endpoint %q is not a URL like http://127.0.0.1:9000", c.Endpoint))
	}
	if _, known := styles[c.Style]; !known {
		faults = append(faults, fmt.Errorf("s3-style %q is none of auto, path, virtual", c.Style))
	}
	if c.SecretKey != "" && c.SecretKeyFile != "" {
		faults = append(faults, errors.New("s3-secret-key and s3-secret-key-file are both set: give one"))
	}
	if c.AccessKey == "" && (c.SecretKey != "" || c.SecretKeyFile != "") {
		faults = append(faults, errors.New("an S3 secret key without s3-access-key"))
	}
	if _, err := c.encryption(); err != nil {
		faults = append(faults, err)
	}
	return u, errors.Join(faults...)
}

func (c Config) encryption() (encrypt.ServerSide, error) {
	kind, key, _ := strings.Cut(c.SSE, ":")
	switch {
	case c.SSE == "":
		return nil, nil //nolint:nilnil // no encryption of its own is a choice
	case c.SSE == "s3":
		return encrypt.NewSSE(), nil
	case kind == "kms" && key != "":
		sse, err := encrypt.NewSSEKMS(key, nil)
		if err != nil {
			return nil, fmt.Errorf("s3-sse %q: %w", c.SSE, err)
		}
		return sse, nil
	}
	return nil, fmt.Errorf("s3-sse %q is neither s3 nor kms:KEY", c.SSE)
}

// credentials are the ones given, or those of where the process runs.
func (c Config) credentials(transport http.RoundTripper) *credentials.Credentials {
	switch {
	case c.SecretKeyFile != "":
		return credentials.New(&secretFile{access: c.AccessKey, path: c.SecretKeyFile})
	case c.AccessKey != "":
		return credentials.NewStaticV4(c.AccessKey, c.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{
		&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Transport: transport}},
	})
}

// secretFile is a secret that may be replaced at any time. The client asks it under a lock of its own.
type secretFile struct {
	access, path string
	read         time.Time // the file's modification time when it was read
}

// RetrieveWithCredContext implements credentials.Provider.
func (s *secretFile) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	about, err := os.Stat(s.path)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("S3 secret key: %w", err)
	}
	content, err := os.ReadFile(s.path)
	if err != nil {
		return credentials.Value{}, fmt.Errorf("S3 secret key: %w", err)
	}
	s.read = about.ModTime()
	return credentials.Value{
		AccessKeyID: s.access, SecretAccessKey: strings.TrimRight(string(content), "\r\n"), SignerType: credentials.SignatureV4,
	}, nil
}

// Retrieve implements credentials.Provider.
func (s *secretFile) Retrieve() (credentials.Value, error) { return s.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (s *secretFile) IsExpired() bool {
	about, err := os.Stat(s.path)
	return err != nil || !about.ModTime().Equal(s.read)
}

// trust replaces the system's certificates by those in a file, which is read again for each connection: they may be replaced while the process runs.
func trust(transport *http.Transport, path string) error {
	roots, err := readPool(path)
	if err != nil {
		return err
	}
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.RootCAs = roots // what goes through a proxy has only these
	config := transport.TLSClientConfig.Clone()
	transport.DialTLSContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		now := config.Clone()
		var err error
		if now.RootCAs, err = readPool(path); err != nil {
			return nil, err
		}
		if now.ServerName, _, err = net.SplitHostPort(address); err != nil {
			return nil, err
		}
		plain, err := transport.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn := tls.Client(plain, now)
		if err := conn.HandshakeContext(ctx); err != nil {
			plain.Close()
			return nil, err
		}
		return conn, nil
	}
	return nil
}

func readPool(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificates of the S3 store: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("certificates of the S3 store: %s holds none in PEM form", path)
	}
	return pool, nil
}
