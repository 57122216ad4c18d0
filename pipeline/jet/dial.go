package jet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// Config says how to reach NATS. Every file it names is read again at each connect, so that what it holds can be replaced while the process runs.
type Config struct {
	URL          string `name:"nats-url" env:"PDFMILL_NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS server, or several separated by commas; tls:// demands TLS."`
	User         string `name:"nats-user" env:"PDFMILL_NATS_USER" help:"NATS user."`
	Password     string `name:"nats-password" env:"PDFMILL_NATS_PASSWORD" help:"Password of the NATS user; give it in the environment, not here." hidden:""`
	PasswordFile string `name:"nats-password-file" env:"PDFMILL_NATS_PASSWORD_FILE" type:"path" placeholder:"FILE" help:"File with the password of the NATS user."`
	Creds        string `name:"nats-creds" env:"PDFMILL_NATS_CREDS" type:"path" placeholder:"FILE" help:"File with NATS user credentials (JWT and seed)."`
	NKey         string `name:"nats-nkey" env:"PDFMILL_NATS_NKEY" type:"path" placeholder:"FILE" help:"File with the seed of the NATS user's nkey."`
	CA           string `name:"nats-ca" env:"PDFMILL_NATS_CA" type:"path" placeholder:"FILE" help:"Certificates (PEM) that the server's must lead to; default: the system's."`
	Cert         string `name:"nats-cert" env:"PDFMILL_NATS_CERT" type:"path" placeholder:"FILE" help:"Client certificate (PEM), where the server demands one."`
	Key          string `name:"nats-key" env:"PDFMILL_NATS_KEY" type:"path" placeholder:"FILE" help:"Private key (PEM) of the client certificate."`
	TLSFirst     bool   `name:"nats-tls-first" env:"PDFMILL_NATS_TLS_FIRST" help:"Shake hands before the server says anything, as its handshake_first wants."`
	Domain       string `name:"nats-domain" env:"PDFMILL_NATS_DOMAIN" placeholder:"NAME" help:"JetStream domain, when the streams are behind a leaf node."`
	InboxPrefix  string `name:"nats-inbox-prefix" env:"PDFMILL_NATS_INBOX_PREFIX" placeholder:"SUBJECT" help:"Where replies arrive. Default of a service: _INBOX_ and its name, so that no other user can listen in."`
}

// Validate reports every setting that can't be used, joined.
func (c Config) Validate() error {
	var faults []error
	if (c.Cert == "") != (c.Key == "") {
		faults = append(faults, errors.New("nats-cert and nats-key belong together: one is missing"))
	}
	var ways []string
	for name, set := range map[string]bool{"nats-user": c.User != "", "nats-creds": c.Creds != "", "nats-nkey": c.NKey != ""} {
		if set {
			ways = append(ways, name)
		}
	}
	if len(ways) > 1 {
		faults = append(faults, fmt.Errorf("%s are different ways to say who this is: give one", strings.Join(ways, " and ")))
	}
	if c.Password != "" && c.PasswordFile != "" {
		faults = append(faults, errors.New("nats-password and nats-password-file are both set: give one"))
	}
	if (c.Password != "" || c.PasswordFile != "") && c.User == "" {
		faults = append(faults, errors.New("a NATS password without nats-user"))
	}
	return errors.Join(append(faults, c.checkURL())...)
}

// checkURL is there because the client's error shows a URL that it can't parse, with whatever secret is in it. A user without a scheme behind another URL is half a
// password, cut at its comma.
func (c Config) checkURL() error {
	schemes := strings.Contains(c.URL, "://")
	for one := range strings.SplitSeq(c.URL, ",") {
		one = strings.TrimSpace(one)
		bare := !strings.Contains(one, "://")
		if bare {
			one = "nats://" + one
		}
		if u, err := secret.ParseURL(one); err != nil || bare && schemes && u.User != nil {
			return fmt.Errorf("nats-url %s is not a URL like nats://127.0.0.1:4222 (what is special in a user or a password must be written as in %%2F)", secret.URL(c.URL))
		}
	}
	return nil
}

// Connect dials NATS and reconnects for ever after. name shows up in the server's connection list.
func Connect(_ context.Context, c Config, name string, log *slog.Logger) (*Broker, error) {
	key := &nkey{path: c.NKey}
	options, err := c.options(name, key, log)
	if err = errors.Join(err, c.checkURL()); err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", secret.URL(c.URL), err)
	}
	conn, err := nats.Connect(c.URL, options...)
	key.conn.Store(conn)
	if err != nil {
		hint := "are its user and secret right?"
		if away(err) {
			hint, err = "is the server up, and is the address right?", fmt.Errorf("%w: %w", ErrAway, err)
		}
		return nil, fmt.Errorf("connect to NATS at %s%s: %w (%s)", secret.URL(c.URL), c.who(), err, hint)
	}
	var js jetstream.JetStream
	if c.Domain == "" {
		js, err = jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(asyncPending))
	} else {
		js, err = jetstream.NewWithDomain(conn, c.Domain, jetstream.WithPublishAsyncMaxPending(asyncPending))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("JetStream at %s: %w", secret.URL(conn.ConnectedUrl()), err)
	}
	return &Broker{conn: conn, js: js, log: log, told: newTold(js)}, nil
}

// ErrAway says that no NATS server answers at an address.
var ErrAway = errors.New("nobody answers")

func away(err error) bool {
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout)
}

// Reach is Connect for a service, which may be started before its servers: it tries until they are there or ctx ends. What trying again won't
// change is an error at once: wrong credentials, a certificate that nobody trusts, a file that is not there.
func Reach(ctx context.Context, c Config, name string, log *slog.Logger) (*Broker, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		b, err := Connect(ctx, c, name, log)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrAway) {
			return b, err
		}
		log.Warn("NATS is not there yet", "err", err, "retry_in", pause)
		wait(ctx, pause)
	}
}

// pingInterval finds a server that is cut off, where no connection breaks: after three of them another server is tried. The client's own two minutes would
// have a process do nothing for six.
const pingInterval = 4 * time.Second

// slowPause is how long nothing more is said of messages that were dropped unread: on a machine that is too busy it happens every second.
const slowPause = time.Minute

// asyncPending bounds the publishes that wait for their acknowledgement.
const asyncPending = 1024

// who is the user as far as it can be told, as the end of a phrase.
func (c Config) who() string {
	switch {
	case c.Creds != "":
		return " as the user of " + c.Creds
	case c.NKey != "":
		return " as the user of " + c.NKey
	case c.User != "":
		return fmt.Sprintf(" as %q", c.User)
	}
	return ""
}

func (c Config) options(name string, key *nkey, log *slog.Logger) ([]nats.Option, error) {
	slow := rate.Sometimes{Interval: slowPause}
	options := []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.Timeout(5 * time.Second), nats.RetryOnFailedConnect(false), nats.PingInterval(pingInterval), nats.MaxPingsOutstanding(2),
		nats.IgnoreAuthErrorAbort(), // credentials that expired are replaced sooner or later: the next connect reads them again
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost NATS, reconnecting", "err", err)
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("NATS does not take this connection back yet", "err", err) }),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("NATS is back", "server", secret.URL(nc.ConnectedUrl())) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				slow.Do(func() {
					log.Warn("what NATS sent was dropped unread, since this process gets too little processor time: messages come again after their ack wait")
				})
				return
			}
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS refused something", "err", err, "subject", subject)
		}),
	}
	if c.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	identity, err := c.identity(key, log)
	if err != nil {
		return nil, err
	}
	return append(append(options, identity...), c.tls()...), nil
}

// identity says who connects.
func (c Config) identity(key *nkey, log *slog.Logger) ([]nats.Option, error) {
	switch {
	case c.Creds != "":
		if _, err := os.Stat(c.Creds); err != nil {
			return nil, fmt.Errorf("credentials file: %w", err)
		}
		return []nats.Option{nats.UserCredentials(c.Creds)}, nil
	case c.NKey != "":
		public, err := key.public()
		if err != nil {
			return nil, err
		}
		return []nats.Option{nats.Nkey(public, key.sign)}, nil
	case c.PasswordFile != "":
		if _, err := readSecret(c.PasswordFile); err != nil {
			return nil, err
		}
		return []nats.Option{nats.UserInfoHandler(func() (string, string) {
			password, err := readSecret(c.PasswordFile)
			if err != nil {
				log.Error("NATS will refuse this connection", "err", err)
			}
			return c.User, password
		})}, nil
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password)}, nil
	}
	return nil, nil
}

// tls reads certificates at each connect.
func (c Config) tls() []nats.Option {
	var options []nats.Option
	var own nats.TLSCertHandler
	var roots nats.RootCAsHandler
	if c.Cert != "" {
		own = func() (tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
			if err != nil {
				return pair, fmt.Errorf("client certificate %s: %w", c.Cert, err)
			}
			return pair, nil
		}
	}
	if c.CA != "" {
		roots = func() (*x509.CertPool, error) { return readPool(c.CA) }
	}
	if own != nil || roots != nil {
		options = append(options, nats.ClientTLSConfig(own, roots))
	}
	if c.TLSFirst {
		options = append(options, nats.TLSHandshakeFirst())
	}
	return options
}

func readPool(path string) (*x509.CertPool, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificates of the NATS server: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("certificates of the NATS server: %s holds none in PEM form", path)
	}
	return pool, nil
}

// readSecret reads a one-line file.
func readSecret(path string) (string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("password file: %w", err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
