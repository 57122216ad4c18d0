package jet_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// serve runs a real nats-server until the test ends or stop is called.
func serve(t *testing.T, o *server.Options) (s *server.Server, stop func()) {
	t.Helper()
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	if o.Port == 0 {
		o.Port = -1
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	stop = func() { s.Shutdown(); s.WaitForShutdown() }
	t.Cleanup(stop)
	if !s.ReadyForConnections(pipelinetest.Patience) {
		t.Fatal("nats-server is not ready")
	}
	return s, stop
}

func dial(t *testing.T, c jet.Config) (*jet.Broker, error) {
	t.Helper()
	b, err := jet.Connect(t.Context(), c, "test", telemetry.Discard())
	if err == nil {
		t.Cleanup(b.Close)
	}
	return b, err
}

func mustDial(t *testing.T, c jet.Config) *jet.Broker {
	t.Helper()
	b, err := dial(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWhyNATSIsOutOfReach: a server that is away and one that refuses are told apart, and each error says what to look at.
func TestWhyNATSIsOutOfReach(t *testing.T) {
	s, stop := serve(t, &server.Options{Users: []*server.User{{Username: "ingest", Password: "first"}}})
	if _, err := dial(t, jet.Config{URL: s.ClientURL(), User: "ingest", Password: "second"}); errors.Is(err, jet.ErrAway) || err == nil || !strings.Contains(err.Error(), `as "ingest"`) || strings.Contains(err.Error(), "server up") {
		t.Errorf("a wrong password: %v", err)
	}
	stop()
	if _, err := dial(t, jet.Config{URL: s.ClientURL()}); !errors.Is(err, jet.ErrAway) || !strings.Contains(err.Error(), "server up") || strings.Contains(err.Error(), " as ") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestDroppedUnreadIsSaidOnce: on a machine that is too busy it happens every second, and the log is not filled with it.
func TestDroppedUnreadIsSaidOnce(t *testing.T) {
	s, _ := serve(t, &server.Options{})
	var said bytes.Buffer
	b, err := jet.Connect(t.Context(), jet.Config{URL: s.ClientURL()}, "test", slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	nc := jet.Conn(b)
	for range 3 {
		nc.ErrorHandler()(nc, nil, nats.ErrSlowConsumer)
	}
	if n := strings.Count(said.String(), "dropped unread"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
}

// TestPasswordIsReplacedWithoutRestart: the server changes the password and throws the client out; the new one in its file lets it in again.
func TestPasswordIsReplacedWithoutRestart(t *testing.T) {
	users := func(password string) *server.Options {
		return &server.Options{Users: []*server.User{{Username: "ingest", Password: password}}}
	}
	options := users("first")
	s, _ := serve(t, options)
	file := write(t, filepath.Join(t.TempDir(), "password"), "first\n")
	b := mustDial(t, jet.Config{URL: s.ClientURL(), User: "ingest", PasswordFile: file})
	next := options.Clone()
	next.Users = users("second").Users
	if err := s.ReloadOptions(next); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "the client is thrown out", func() bool { return b.Healthy() != nil })
	write(t, file, "second\n")
	pipelinetest.Eventually(t, "the client is back with the new password", func() bool { return b.Healthy() == nil })
}

// TestCertificatesAreReplacedWithoutRestart: the server comes back with certificates of another CA and demands a client certificate of it too.
func TestCertificatesAreReplacedWithoutRestart(t *testing.T) {
	mutual := func(dir string, ca *pipelinetest.CA, port int) *server.Options {
		cert, key := ca.Issue(dir, "server")
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(ca.File)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		return &server.Options{Port: port, TLS: true, TLSVerify: true, TLSTimeout: 5, TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		}}
	}
	client, other := t.TempDir(), t.TempDir()
	ca := pipelinetest.NewCA(t, client)
	cert, key := ca.Issue(client, "client")
	s, stop := serve(t, mutual(t.TempDir(), ca, 0))
	url := strings.Replace(s.ClientURL(), "nats://", "tls://", 1)
	b := mustDial(t, jet.Config{URL: url, CA: ca.File, Cert: cert, Key: key})
	if _, err := dial(t, jet.Config{URL: url, CA: ca.File}); err == nil {
		t.Error("connected without a client certificate")
	}
	if _, err := dial(t, jet.Config{URL: url, CA: pipelinetest.NewCA(t, other).File, Cert: cert, Key: key}); err == nil {
		t.Error("trusted a server of another CA")
	}

	port := portOf(t, s)
	stop()
	second := pipelinetest.NewCA(t, t.TempDir())
	serve(t, mutual(t.TempDir(), second, port))
	if b.Healthy() == nil {
		t.Error("still connected to a server that is gone")
	}
	second.Issue(client, "client")
	pem, err := os.ReadFile(second.File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ca.File, string(pem))
	pipelinetest.Eventually(t, "the client is back with the new certificates", func() bool { return b.Healthy() == nil })
}

func portOf(t *testing.T, s *server.Server) int {
	t.Helper()
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.Port
}

func TestNKey(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := serve(t, &server.Options{Nkeys: []*server.NkeyUser{{Nkey: public}}})
	mustDial(t, jet.Config{URL: s.ClientURL(), NKey: write(t, filepath.Join(t.TempDir(), "seed"), string(seed))})
	if _, err := dial(t, jet.Config{URL: s.ClientURL()}); err == nil {
		t.Error("connected without the seed")
	}
}

// TestNKeyIsReplacedWithoutRestart: the server takes another key and throws the client out; the new one in its file lets it in again.
func TestNKeyIsReplacedWithoutRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "seed")
	options := func(key pair) *server.Options {
		return &server.Options{Nkeys: []*server.NkeyUser{{Nkey: key.public}}}
	}
	replace := func(key pair) {
		seed, err := key.Seed()
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, string(seed))
	}
	first, second := newPair(t, nkeys.CreateUser), newPair(t, nkeys.CreateUser)
	o := options(first)
	s, _ := serve(t, o)
	replace(first)
	b := mustDial(t, jet.Config{URL: s.ClientURL(), NKey: file})
	next := o.Clone()
	next.Nkeys = options(second).Nkeys
	if err := s.ReloadOptions(next); err != nil {
		t.Fatal(err)
	}
	pipelinetest.Eventually(t, "the client is thrown out", func() bool { return b.Healthy() != nil })
	replace(second)
	pipelinetest.Eventually(t, "the client is back with the new key", func() bool { return b.Healthy() == nil })
}

// operated runs a server whose users have JWTs of an account, and returns what makes a user's credentials.
func operated(t *testing.T) (s *server.Server, creds func(*jwt.UserClaims, pair) (content string)) {
	t.Helper()
	operator, account := newPair(t, nkeys.CreateOperator), newPair(t, nkeys.CreateAccount)
	operatorClaims := jwt.NewOperatorClaims(operator.public)
	accountClaims := jwt.NewAccountClaims(account.public)
	accountClaims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: jwt.NoLimit, MemoryStorage: jwt.NoLimit, Streams: jwt.NoLimit, Consumer: jwt.NoLimit}
	resolver := &server.MemAccResolver{}
	system := newPair(t, nkeys.CreateAccount)
	for public, claims := range map[string]*jwt.AccountClaims{account.public: accountClaims, system.public: jwt.NewAccountClaims(system.public)} {
		if err := resolver.Store(public, sign(t, claims.Encode, operator)); err != nil {
			t.Fatal(err)
		}
	}
	s, _ = serve(t, &server.Options{
		TrustedOperators: []*jwt.OperatorClaims{mustDecode(t, sign(t, operatorClaims.Encode, operator))}, AccountResolver: resolver, SystemAccount: system.public,
		JetStream: true, StoreDir: t.TempDir(),
	})
	return s, func(claims *jwt.UserClaims, pair pair) string {
		t.Helper()
		seed, err := pair.Seed()
		if err != nil {
			t.Fatal(err)
		}
		content, err := jwt.FormatUserConfig(sign(t, claims.Encode, account), seed)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
}

// TestCredsWithRights: a user of a JWT with the rights of a role, which the server enforces.
func TestCredsWithRights(t *testing.T) {
	s, creds := operated(t)
	file := func(claims *jwt.UserClaims, pair pair) string {
		return write(t, filepath.Join(t.TempDir(), "user.creds"), creds(claims, pair))
	}
	user := newPair(t, nkeys.CreateUser)
	userClaims := jwt.NewUserClaims(user.public)
	rights, err := jet.Topology{Replicas: 1}.Rights(jet.RoleUser)
	if err != nil {
		t.Fatal(err)
	}
	userClaims.Pub.Allow, userClaims.Pub.Deny = rights.Publish, rights.DenyPublish
	userClaims.Sub.Allow, userClaims.Sub.Deny = rights.Subscribe, rights.DenySubscribe
	admin := newPair(t, nkeys.CreateUser)
	if err := mustDial(t, jet.Config{URL: s.ClientURL(), Creds: file(jwt.NewUserClaims(admin.public), admin)}).Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	b := mustDial(t, jet.Config{URL: s.ClientURL(), Creds: file(userClaims, user)})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := b.JS().Stream(ctx, jet.StreamEvents); err != nil {
		t.Errorf("the user looks at the events: %v", err)
	}
	if _, err := b.JS().Stream(ctx, jet.StreamJobs); err == nil {
		t.Error("the user looks at the work queue")
	}
}

// TestCredsExpireAndAreRenewed: the server throws out whose JWT has expired; another one in its file lets it in again.
func TestCredsExpireAndAreRenewed(t *testing.T) {
	t.Parallel()
	s, creds := operated(t)
	user := newPair(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(user.public)
	claims.Expires = time.Now().Add(3 * time.Second).Unix()
	file := write(t, filepath.Join(t.TempDir(), "user.creds"), creds(claims, user))
	b := mustDial(t, jet.Config{URL: s.ClientURL(), Creds: file})
	pipelinetest.Eventually(t, "the client is thrown out", func() bool { return b.Healthy() != nil })
	claims.Expires = time.Now().Add(time.Hour).Unix()
	write(t, file, creds(claims, user))
	pipelinetest.Eventually(t, "the client is back with the new credentials", func() bool { return b.Healthy() == nil })
}

type pair struct {
	nkeys.KeyPair
	public string
}

func newPair(t *testing.T, make func() (nkeys.KeyPair, error)) pair {
	t.Helper()
	key, err := make()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return pair{key, public}
}

func sign(t *testing.T, encode func(nkeys.KeyPair) (string, error), by pair) string {
	t.Helper()
	text, err := encode(by.KeyPair)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func mustDecode(t *testing.T, text string) *jwt.OperatorClaims {
	t.Helper()
	claims, err := jwt.DecodeOperatorClaims(text)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestReachAndAwait: a service that is first waits for its server, and then for the topology.
func TestReachAndAwait(t *testing.T) {
	s, stop := serve(t, &server.Options{})
	port, url := portOf(t, s), s.ClientURL()
	stop()
	reached := make(chan *jet.Broker, 1)
	go func() {
		b, err := jet.Reach(t.Context(), jet.Config{URL: url}, "early", telemetry.Discard())
		if err != nil {
			t.Error(err)
		}
		reached <- b
	}()
	serve(t, &server.Options{Port: port, JetStream: true, StoreDir: t.TempDir()})
	b := pipelinetest.Receive(t, "the early service connects", reached)
	if b == nil {
		t.FailNow()
	}
	t.Cleanup(b.Close)
	waited := make(chan error, 1)
	go func() { waited <- b.Await(t.Context()) }()
	if err := pipelinetest.Connect(t, url).Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := pipelinetest.Receive(t, "the topology is there", waited); err != nil {
		t.Error(err)
	}
}

// heard is a log that tells of its first line with some words.
type heard struct {
	words string
	once  chan<- struct{}
}

func (h heard) Write(line []byte) (int, error) {
	if strings.Contains(string(line), h.words) {
		select {
		case h.once <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// TestAServiceStartsWhenJetStreamCan: one that starts while JetStream is away waits for it with all that it opens, and works then.
func TestAServiceStartsWhenJetStreamCan(t *testing.T) {
	dir := t.TempDir()
	s, stop := serve(t, &server.Options{JetStream: true, StoreDir: dir})
	port := portOf(t, s)
	if err := pipelinetest.Connect(t, s.ClientURL()).Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	stop()
	for name, start := range map[string]func(context.Context, *jet.Broker) error{
		"lease": func(ctx context.Context, b *jet.Broker) error {
			return b.Alone(ctx, "one", func(context.Context, func() bool) error { return nil })
		},
		"projection": func(ctx context.Context, b *jet.Broker) error {
			_, err := jet.NewProjection(ctx, b)
			return err
		},
		"cancellations": jet.FollowCancels,
	} {
		t.Run(name, func(t *testing.T) {
			without, stop := serve(t, &server.Options{Port: port})
			waits := make(chan struct{}, 1)
			b, err := jet.Connect(t.Context(), jet.Config{URL: without.ClientURL()}, "early", slog.New(slog.NewTextHandler(heard{"JetStream can't right now", waits}, nil)))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(b.Close)
			ended := make(chan error, 1)
			go func() { ended <- start(t.Context(), b) }()
			select {
			case err := <-ended:
				t.Errorf("it ended without JetStream: %v", err)
			case <-waits:
			}
			stop()
			_, stop = serve(t, &server.Options{Port: port, JetStream: true, StoreDir: dir})
			defer stop()
			if t.Failed() {
				return
			}
			if err := pipelinetest.Receive(t, "JetStream is back", ended); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestReachGivesUpOnWhatWaitingWontChange: a wrong password.
func TestReachGivesUpOnWhatWaitingWontChange(t *testing.T) {
	s, _ := serve(t, &server.Options{Users: []*server.User{{Username: "a", Password: "right"}}})
	_, err := jet.Reach(t.Context(), jet.Config{URL: s.ClientURL(), User: "a", Password: "wrong-secret"}, "x", telemetry.Discard())
	if err == nil || strings.Contains(err.Error(), "wrong-secret") {
		t.Errorf("error %v", err)
	}
}

func TestConfigJoinsItsFaults(t *testing.T) {
	err := jet.Config{Cert: "c", User: "u", NKey: "n", Password: "p", PasswordFile: "f"}.Validate()
	for _, want := range []string{"nats-key", "nats-nkey", "nats-password-file"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
}
