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

	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// Config says how to reach an S3 store.
type Config struct {
	Endpoint      string `name:"s3-endpoint" env:"PDFMILL_S3_ENDPOINT" default:"http://127.0.0.1:9000" help:"S3 endpoint as a URL; https selects TLS."`
	AccessKey     string `name:"s3-access-key" env:"PDFMILL_S3_ACCESS_KEY" help:"S3 access key. Without one credentials come from AWS_ACCESS_KEY_ID, AWS' shared file, or the instance: web identity, container, EC2."`
	SecretKey     string `name:"s3-secret-key" env:"PDFMILL_S3_SECRET_KEY" help:"S3 secret key; give it in the environment, not here." hidden:""`
	SecretKeyFile string `name:"s3-secret-key-file" env:"PDFMILL_S3_SECRET_KEY_FILE" type:"path" placeholder:"FILE" help:"File with the S3 secret key; read again when it changes."`
	STS           string `name:"s3-sts" env:"PDFMILL_S3_STS" placeholder:"URL" help:"Where temporary credentials are asked for (STS), and renewed before they end: with the access key (AssumeRole; MinIO's own endpoint offers it), or with a web identity, for which AWS' is the default."`
	Role          string `name:"s3-role" env:"PDFMILL_S3_ROLE" placeholder:"ARN" help:"Role to assume there with the access key; MinIO needs none: what its user may do, they may."`
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
	u, err := secret.ParseURL(c.Endpoint)
	if !address(u, err) {
		faults = append(faults, fmt.Errorf("S3 endpoint %q is not a URL like http://127.0.0.1:9000, which names no user", secret.URL(c.Endpoint)))
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
	if sts, err := secret.ParseURL(c.STS); c.STS != "" && !address(sts, err) {
		faults = append(faults, fmt.Errorf("s3-sts %q is not a URL like https://sts.eu-central-1.amazonaws.com, which names no user", secret.URL(c.STS)))
	}
	if c.Role != "" && (c.STS == "" || c.AccessKey == "") {
		faults = append(faults, errors.New("s3-role without s3-sts, where it is assumed, or without s3-access-key, with which (a web identity's is in AWS_ROLE_ARN)"))
	}
	if _, err := c.encryption(); err != nil {
		faults = append(faults, err)
	}
	return u, errors.Join(faults...)
}

// address says whether a URL is one of an HTTP server, and names no user: the key says who asks, and messages show the URL.
func address(u *url.URL, err error) bool {
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil
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

// credentials are the ones given, those that they get from STS, or those of where the process runs.
func (c Config) credentials(transport http.RoundTripper) *credentials.Credentials {
	client := &http.Client{Transport: transport}
	var own credentials.Provider
	switch {
	case c.SecretKeyFile != "":
		own = &secretFile{access: c.AccessKey, path: c.SecretKeyFile}
	case c.AccessKey != "":
		own = &credentials.Static{Value: credentials.Value{AccessKeyID: c.AccessKey, SecretAccessKey: c.SecretKey, SignerType: credentials.SignatureV4}}
	default:
		instance := &credentials.IAM{Client: client}
		if os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") != "" {
			instance.Endpoint = c.STS // for others it is another service's
		}
		return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, instance})
	}
	if c.STS != "" {
		own = &assumed{with: own, role: credentials.STSAssumeRole{
			Client: client, STSEndpoint: c.STS, Options: credentials.STSAssumeRoleOptions{RoleARN: c.Role, RoleSessionName: sessionName(c.Role), Location: c.Region},
		}}
	}
	return credentials.New(own)
}

// sessionName is by which AWS' logs tell who assumed a role; where there is no role there is no name.
func sessionName(role string) string {
	if role == "" {
		return ""
	}
	return "pdfmill"
}

// assumed are temporary credentials, asked for with others. The client asks it under a lock of its own.
type assumed struct {
	with credentials.Provider
	role credentials.STSAssumeRole
	last credentials.Value
	due  bool // they could not be renewed when they should have been
}

// RetrieveWithCredContext implements credentials.Provider.
func (a *assumed) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	with, err := a.with.RetrieveWithCredContext(cc)
	if err != nil {
		return credentials.Value{}, err
	}
	a.role.Options.AccessKey, a.role.Options.SecretKey = with.AccessKeyID, with.SecretAccessKey
	v, err := a.role.RetrieveWithCredContext(cc)
	a.due = err != nil
	if err != nil && time.Now().Before(a.last.Expiration) {
		return a.last, nil // they are renewed well before they end: whoever renews them may be away for a while
	}
	if err != nil {
		return credentials.Value{}, fmt.Errorf("temporary credentials from %s: %w", a.role.STSEndpoint, err)
	}
	a.last = v
	return v, nil
}

// Retrieve implements credentials.Provider.
func (a *assumed) Retrieve() (credentials.Value, error) { return a.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider: they end before they are refused, and when what they were asked for with is replaced.
func (a *assumed) IsExpired() bool { return a.due || a.role.IsExpired() || a.with.IsExpired() }

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
