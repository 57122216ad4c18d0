package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// User of the NATS server.
type User struct {
	Name, Password     string
	Publish, Subscribe []string // subjects, wildcards allowed; nil allows everything, an empty list nothing
	DenyPublish        []string // taken out of Publish
	DenySubscribe      []string // taken out of Subscribe, also of what a wildcard there covers
}

// Guest is an account beside the one that all other users are in: with JetStream, and with nothing of the others' but that they reach its services.
type Guest struct {
	Name     string
	Users    []User
	Services []Service
	// MaxStreams and MaxConsumers bound what it may make.
	MaxStreams, MaxConsumers int
}

// Service of a Guest: what is published to Local outside of its account arrives on Subject in it, and is answered.
type Service struct{ Subject, Local string }

// NATSConfig says how to run NATS.
type NATSConfig struct {
	Dir        string       // state; absolute, made when missing
	Addr       string       // host:port; default 127.0.0.1:0, which picks a port
	Durability Durability   // default Synced
	Users      []User       // at least one; whoever is none of them is refused
	Guests     []Guest      // may be none
	MaxPayload int32        // bytes of one message; default 4 MiB
	Log        *slog.Logger // default: discards
}

// NATS is a running server.
type NATS struct {
	server *server.Server
	lock   *lock
	broken chan error
}

// Broken receives an error when the server could not write to its files. What it acknowledged is stored, and nothing more will be: it must be started again.
func (n *NATS) Broken() <-chan error { return n.broken }

const (
	defaultMaxPayload = 4 << 20 // bytes
	maxMemory         = 1 << 30 // bytes of streams in memory, of which there are none
	// maxStore is beyond any disk. The server's own choice, three quarters of what is free, refuses a stream whose bound is larger, although the stream may never
	// come near it: no pipeline would start on a disk with less than 11 GB to spare. What bounds the streams is their own limits.
	maxStore  = 1 << 50
	readyWait = 20 * time.Second // to listen, after the state was recovered
	readyPoll = 26 * time.Millisecond
)

// StartNATS starts the server and returns when it takes connections and its streams are recovered. It fails when Dir is in use or not writable, the port is
// taken, or a setting makes no sense.
func StartNATS(ctx context.Context, c NATSConfig) (*NATS, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	options, err := c.options()
	if err != nil {
		return nil, err
	}
	held, err := take(c.Dir, (*os.File).Sync)
	if err != nil {
		return nil, fmt.Errorf("start NATS: %w", err)
	}
	s, err := server.NewServer(options)
	if err != nil {
		held.release()
		return nil, fmt.Errorf("start NATS in %s: %w", c.Dir, err)
	}
	fatal, broken := make(chan error, 1), make(chan error, 1)
	s.SetLoggerV2(natsLog{log: c.Log, fatal: fatal, broken: broken}, false, false, false)
	s.Start()
	if err := listens(ctx, s, fatal); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		held.release()
		return nil, fmt.Errorf("start NATS on %s in %s: %w (another program may use the port: choose one with --nats-addr, port 0 picks a free one)",
			net.JoinHostPort(options.Host, strconv.Itoa(max(options.Port, 0))), c.Dir, err)
	}
	if err := receive(s, c.Guests); err != nil {
		s.Shutdown()
		s.WaitForShutdown()
		held.release()
		return nil, fmt.Errorf("start NATS in %s: %w", c.Dir, err)
	}
	return &NATS{server: s, lock: held, broken: broken}, nil
}

func (c NATSConfig) options() (*server.Options, error) {
	host, port, err := address(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("NATS address: %w", err)
	}
	sync, err := c.Durability.synced()
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	users, err := natsUsers(c.Users)
	if err != nil {
		return nil, fmt.Errorf("NATS: %w", err)
	}
	accounts := make([]*server.Account, len(c.Guests))
	for i, g := range c.Guests {
		accounts[i] = server.NewAccount(g.Name)
		theirs, err := natsUsers(g.Users)
		if err != nil {
			return nil, fmt.Errorf("NATS, account %s: %w", g.Name, err)
		}
		for _, u := range theirs {
			u.Account = accounts[i]
		}
		users = append(users, theirs...)
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = defaultMaxPayload
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return &server.Options{
		ServerName: "pdfmill", Host: host, Port: port, NoSigs: true, MaxPayload: c.MaxPayload, Users: users, Accounts: accounts,
		JetStream: true, StoreDir: filepath.Join(c.Dir, "jetstream"), SyncAlways: sync,
		JetStreamMaxMemory: maxMemory, JetStreamMaxStore: maxStore,
	}, nil
}

// listens waits until the server takes connections or says why it can't.
func listens(ctx context.Context, s *server.Server, fatal <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for {
		select {
		case err := <-fatal:
			return err
		case <-ctx.Done():
			return fmt.Errorf("it does not listen: %w", ctx.Err())
		default:
		}
		if s.ReadyForConnections(readyPoll) {
			return nil
		}
	}
}

// URL is where clients connect, without credentials.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Stop ends the server; what it acknowledged is stored. When ctx ends first, the server still ends, and its folder stays locked until then.
func (n *NATS) Stop(ctx context.Context) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.server.Shutdown()
		n.server.WaitForShutdown()
		n.lock.release()
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop NATS: %w", ctx.Err())
	}
}

// receive gives JetStream to guests' accounts, and passes on what is asked of their services. Where there are any, the server leaves that open for the account of
// everybody else, too.
func receive(s *server.Server, guests []Guest) error {
	if len(guests) == 0 {
		return nil
	}
	house := s.GlobalAccount()
	if err := house.EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	for _, g := range guests {
		account, err := s.LookupAccount(g.Name)
		if err != nil {
			return fmt.Errorf("account %s: %w", g.Name, err)
		}
		limits := server.JetStreamAccountLimits{MaxMemory: -1, MaxStore: -1, MaxStreams: g.MaxStreams, MaxConsumers: g.MaxConsumers, MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1, MaxAckPending: -1}
		if err := account.EnableJetStream(map[string]server.JetStreamAccountLimits{"": limits}, nil); err != nil {
			return fmt.Errorf("JetStream of account %s: %w", g.Name, err)
		}
		for _, service := range g.Services {
			err := account.AddServiceExport(service.Subject, []*server.Account{house})
			if err == nil {
				err = house.AddServiceImport(account, service.Local, service.Subject)
			}
			if err != nil {
				return fmt.Errorf("service %s of account %s: %w", service.Subject, g.Name, err)
			}
		}
	}
	return nil
}

func natsUsers(all []User) ([]*server.User, error) {
	if len(all) == 0 {
		return nil, errors.New("a server without users would be open to everybody")
	}
	out := make([]*server.User, len(all))
	for i, u := range all {
		if u.Name == "" || u.Password == "" {
			return nil, fmt.Errorf("user %q needs a name and a password", u.Name)
		}
		out[i] = &server.User{Username: u.Name, Password: u.Password}
		if u.Publish != nil || u.Subscribe != nil {
			out[i].Permissions = &server.Permissions{Publish: allow(u.Publish), Subscribe: allow(u.Subscribe)}
			if out[i].Permissions.Publish != nil {
				out[i].Permissions.Publish.Deny = append(out[i].Permissions.Publish.Deny, u.DenyPublish...)
			}
			if out[i].Permissions.Subscribe != nil {
				out[i].Permissions.Subscribe.Deny = append(out[i].Permissions.Subscribe.Deny, u.DenySubscribe...)
			}
		}
	}
	return out, nil
}

func allow(subjects []string) *server.SubjectPermission {
	switch {
	case subjects == nil:
		return nil
	case len(subjects) == 0:
		return &server.SubjectPermission{Deny: []string{">"}} // the server takes an empty allow list for none
	}
	return &server.SubjectPermission{Allow: subjects}
}
