package jet

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how to reach NATS.
type Config struct {
	URL      string `name:"nats-url" env:"PDFMILL_NATS_URL" default:"nats://127.0.0.1:4222" help:"NATS server, or several separated by commas."`
	User     string `name:"nats-user" env:"PDFMILL_NATS_USER" help:"NATS user."`
	Password string `name:"nats-password" env:"PDFMILL_NATS_PASSWORD" help:"Password of the NATS user; give it in the environment, not here." hidden:""`
	Creds    string `name:"nats-creds" env:"PDFMILL_NATS_CREDS" type:"path" help:"File with NATS user credentials (JWT and seed)."`
}

// Broker is a connection to NATS with JetStream.
type Broker struct {
	conn *nats.Conn
	js   jetstream.JetStream
	log  *slog.Logger
}

// Connect dials NATS and reconnects for ever after. name shows up in the server's connection list.
func Connect(ctx context.Context, c Config, name string, log *slog.Logger) (*Broker, error) {
	options := []nats.Option{
		nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, time.Second),
		nats.Timeout(5 * time.Second), nats.RetryOnFailedConnect(false),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn("lost NATS, reconnecting", "err", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) { log.Info("NATS is back", "server", nc.ConnectedUrlRedacted()) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Error("NATS refused something", "err", err, "subject", subject)
		}),
	}
	if c.User != "" {
		options = append(options, nats.UserInfo(c.User, c.Password))
	}
	if c.Creds != "" {
		options = append(options, nats.UserCredentials(c.Creds))
	}
	conn, err := nats.Connect(c.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s as %q: %w (is the server up, and are user and password right?)", redact(c.URL), c.User, err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(1024))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("JetStream at %s: %w", conn.ConnectedUrlRedacted(), err)
	}
	return &Broker{conn: conn, js: js, log: log}, nil
}

// JS is the JetStream context, for operator tools.
func (b *Broker) JS() jetstream.JetStream { return b.js }

// Apply creates or updates the topology on this server.
func (b *Broker) Apply(ctx context.Context, replicas int) error { return Apply(ctx, b.js, replicas) }

// MaxPayload is the largest message, in bytes, that the server takes.
func (b *Broker) MaxPayload() int64 { return b.conn.MaxPayload() }

// Healthy reports why the broker can't be used right now, or nil.
func (b *Broker) Healthy() error {
	if status := b.conn.Status(); status != nats.CONNECTED {
		return fmt.Errorf("NATS is %s", status)
	}
	return nil
}

// Close flushes what was sent and closes the connection.
func (b *Broker) Close() {
	_ = b.conn.FlushTimeout(time.Second) // nothing durable depends on it: what matters was acknowledged
	b.conn.Close()
}

// redact keeps a password in a URL out of messages.
func redact(url string) string {
	if at := strings.LastIndexByte(url, '@'); at >= 0 {
		return "nats://***@" + url[at+1:]
	}
	return url
}
