package embedded_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/pdfmill/pdfmill/embedded"
)

const soon = 10 * time.Second // bounds waits that normally take milliseconds

func natsConfig(dir string, d embedded.Durability) embedded.NATSConfig {
	return embedded.NATSConfig{Dir: dir, Durability: d, Users: []embedded.User{
		{Name: "root", Password: "rootsecret"},
		{Name: "reader", Password: "readersecret", Publish: []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.EVENTS"}, Subscribe: []string{"events.>", "_INBOX.>"}},
		{Name: "mute", Password: "mutesecret", Publish: []string{}},
	}}
}

func startNATS(t testing.TB, c embedded.NATSConfig) *embedded.NATS {
	t.Helper()
	n, err := embedded.StartNATS(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, n.Stop) })
	return n
}

func dial(t testing.TB, url, user string, more ...nats.Option) *nats.Conn {
	t.Helper()
	conn, err := nats.Connect(url, append(more, nats.UserInfo(user, user+"secret"))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// connect is dial for where there is no test.
func connect(url string) (jetstream.JetStream, error) {
	conn, err := nats.Connect(url, nats.UserInfo("root", "rootsecret"))
	if err != nil {
		return nil, err
	}
	return jetstream.New(conn)
}

var events = jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Storage: jetstream.FileStorage}

func js(t testing.TB, conn *nats.Conn) jetstream.JetStream {
	t.Helper()
	j, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func stream(t testing.TB, j jetstream.JetStream) jetstream.Stream {
	t.Helper()
	s, err := j.CreateOrUpdateStream(t.Context(), events)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMessagesSurviveARestart(t *testing.T) {
	for _, d := range []embedded.Durability{embedded.Synced, embedded.Relaxed} {
		t.Run(string(d), func(t *testing.T) {
			dir := t.TempDir()
			n, err := embedded.StartNATS(t.Context(), natsConfig(dir, d))
			if err != nil {
				t.Fatal(err)
			}
			j := js(t, dial(t, n.URL(), "root"))
			s := stream(t, j)
			if _, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "worker", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
				t.Fatal(err)
			}
			for i := range 100 {
				if _, err := j.Publish(t.Context(), "events.x", fmt.Append(nil, i)); err != nil {
					t.Fatal(err)
				}
			}
			stop(t, n.Stop)

			j = js(t, dial(t, startNATS(t, natsConfig(dir, d)).URL(), "root")) // ready at once, so are its streams
			worker, err := j.Consumer(t.Context(), "EVENTS", "worker")
			if err != nil {
				t.Fatal(err)
			}
			batch, err := worker.Fetch(100)
			if err != nil {
				t.Fatal(err)
			}
			next := 0
			for m := range batch.Messages() {
				if string(m.Data()) != fmt.Sprint(next) {
					t.Errorf("message %d is %s", next, m.Data())
				}
				next++
			}
			if next != 100 || batch.Error() != nil {
				t.Errorf("%d messages, %v", next, batch.Error())
			}
		})
	}
}

func TestStrangersAreRefused(t *testing.T) {
	n := startNATS(t, natsConfig(t.TempDir(), embedded.Relaxed))
	for name, option := range map[string]nats.Option{
		"nobody": nats.Name("nobody"), "wrong password": nats.UserInfo("root", "x"), "no password": nats.UserInfo("root", ""), "unknown": nats.UserInfo("x", "rootsecret"),
	} {
		if conn, err := nats.Connect(n.URL(), option); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				conn.Close()
			}
		}
	}
}

func TestUsersHaveOnlyTheirSubjects(t *testing.T) {
	n := startNATS(t, natsConfig(t.TempDir(), embedded.Relaxed))
	root := js(t, dial(t, n.URL(), "root"))
	stream(t, root)
	refused := make(chan error, 10)
	report := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	reader, mute := dial(t, n.URL(), "reader", report), dial(t, n.URL(), "mute", report)
	if _, err := js(t, reader).Stream(t.Context(), "EVENTS"); err != nil {
		t.Errorf("what it may ask: %v", err)
	}
	events, err := reader.SubscribeSync("events.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.FlushTimeout(soon); err != nil {
		t.Fatal(err)
	}
	if _, err := root.Publish(t.Context(), "events.a", []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if m, err := events.NextMsg(soon); err != nil || string(m.Data) != "hello" {
		t.Errorf("what it may read: %v, %v", m, err)
	}
	for what, try := range map[string]func() error{
		"publish":             func() error { return reader.Publish("events.forged", nil) },
		"delete the stream":   func() error { return reader.Publish("$JS.API.STREAM.DELETE.EVENTS", nil) },
		"read other subjects": func() error { _, err := reader.SubscribeSync("secret.>"); return err },
		"read everything":     func() error { _, err := reader.SubscribeSync(">"); return err },
		"publish, mute":       func() error { return mute.Publish("anything", nil) },
	} {
		if err := try(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(soon):
			t.Errorf("%s: not refused", what)
		}
	}
	if s, err := root.Stream(t.Context(), "EVENTS"); err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Errorf("afterwards the stream is %+v, %v", s, err)
	}
}

func TestPayloadsHaveALimit(t *testing.T) {
	config := natsConfig(t.TempDir(), embedded.Relaxed)
	if got := dial(t, startNATS(t, config).URL(), "root").MaxPayload(); got != 4<<20 {
		t.Errorf("default %d", got)
	}
	config.Dir, config.MaxPayload = t.TempDir(), 1<<20
	conn := dial(t, startNATS(t, config).URL(), "root")
	if err := conn.Publish("x", make([]byte, 1<<20+1)); !errors.Is(err, nats.ErrMaxPayload) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestTwoNATSServersDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	startNATS(t, natsConfig(dir, embedded.Relaxed))
	if _, err := embedded.StartNATS(t.Context(), natsConfig(dir, embedded.Relaxed)); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another pdfmill") {
		t.Errorf("second start: %v", err)
	}
}

func TestMistakesInTheNATSConfigAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*embedded.NATSConfig)
		want   string
	}{
		"relative folder":    {func(c *embedded.NATSConfig) { c.Dir = "nats" }, "not an absolute path"},
		"no user":            {func(c *embedded.NATSConfig) { c.Users = nil }, "open to everybody"},
		"no password":        {func(c *embedded.NATSConfig) { c.Users = []embedded.User{{Name: "a"}} }, "password"},
		"unknown durability": {func(c *embedded.NATSConfig) { c.Durability = "fast" }, `"fast"`},
		"bad address":        {func(c *embedded.NATSConfig) { c.Addr = "localhost:99999" }, "between 0 and 65535"},
	} {
		t.Run(name, func(t *testing.T) {
			config := natsConfig(t.TempDir(), embedded.Relaxed)
			c.change(&config)
			if _, err := embedded.StartNATS(t.Context(), config); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestTheServersLogIsPassedOn(t *testing.T) {
	text := &logged{}
	config := natsConfig(t.TempDir(), embedded.Relaxed)
	config.Log = text.logger()
	n := startNATS(t, config)
	if _, err := nats.Connect(n.URL(), nats.UserInfo("root", "wrong-guess")); err == nil {
		t.Fatal("a wrong password is good enough")
	}
	deadline := time.Now().Add(soon) // the server logs the refusal after it told the client
	for !strings.Contains(text.String(), "authentication error") {
		if time.Now().After(deadline) {
			t.Fatalf("no word of it:\n%s", text)
		}
	}
	for _, secret := range []string{"rootsecret", "wrong-guess", "Plaintext"} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, text)
		}
	}
}
