// Package embedded runs the servers that pdfmill stands on, NATS and an S3 gateway, inside this process: the default on one machine. Nobody else links
// their code; the services can't tell the difference.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Durability is what an acknowledged write survives.
type Durability string

// Synced survives a power cut: file and folder are on the disk before the answer. Relaxed survives the death of the process, but a power cut may take
// what was acknowledged in the last two minutes (NATS) or was not yet written out by the system (S3).
const (
	Synced  Durability = "synced"
	Relaxed Durability = "relaxed"
)

// User of the NATS server. Nil lists allow everything.
type User struct {
	Name, Password     string
	Publish, Subscribe []string // subjects, wildcards allowed
}

// NATSConfig says how to run NATS.
type NATSConfig struct {
	Dir        string     // state; absolute
	Addr       string     // default 127.0.0.1:0, which picks a port
	Durability Durability // default Synced
	Users      []User     // at least one
	MaxPayload int32      // bytes of one message; default 4 MiB
	Log        *slog.Logger
}

// NATS is a running server.
type NATS struct {
	server *server.Server
	lock   *lock
}

const readyWait = 20 * time.Second

// StartNATS starts the server and returns when it takes connections and its streams are recovered.
func StartNATS(_ context.Context, c NATSConfig) (*NATS, error) {
	host, port, err := address(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("NATS address: %w", err)
	}
	if len(c.Users) == 0 {
		return nil, errors.New("NATS without users would be open to everybody")
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 4 << 20
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	held, err := take(c.Dir)
	if err != nil {
		return nil, err
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "pdfmill", Host: host, Port: port, NoSigs: true, MaxPayload: c.MaxPayload,
		JetStream: true, StoreDir: filepath.Join(c.Dir, "jetstream"), SyncAlways: c.Durability != Relaxed,
		Users: users(c.Users), NoSystemAccount: false,
	})
	if err != nil {
		held.release()
		return nil, fmt.Errorf("NATS server: %w", err)
	}
	s.SetLoggerV2(natsLog{c.Log}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(readyWait) {
		s.Shutdown()
		held.release()
		return nil, fmt.Errorf("NATS does not listen on %s after %s: another program may use the port (choose one with --nats-addr, port 0 picks a free one)",
			net.JoinHostPort(host, strconv.Itoa(port)), readyWait)
	}
	return &NATS{server: s, lock: held}, nil
}

// URL is where clients connect, without credentials.
func (n *NATS) URL() string { return n.server.ClientURL() }

// Stop ends the server; what it acknowledged is on disk.
func (n *NATS) Stop(context.Context) error {
	n.server.Shutdown()
	n.server.WaitForShutdown()
	n.lock.release()
	return nil
}

func users(all []User) []*server.User {
	out := make([]*server.User, len(all))
	for i, u := range all {
		out[i] = &server.User{Username: u.Name, Password: u.Password}
		if u.Publish != nil || u.Subscribe != nil {
			out[i].Permissions = &server.Permissions{
				Publish: &server.SubjectPermission{Allow: u.Publish}, Subscribe: &server.SubjectPermission{Allow: u.Subscribe},
			}
		}
	}
	return out
}

// address splits host:port; nothing means a free port of the loopback.
func address(addr string) (host string, port int, err error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port: %w", addr, err)
	}
	if port, err = strconv.Atoi(text); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q has no port between 0 and 65535", addr)
	}
	return host, port, nil
}

// natsLog passes the server's log on; its notices are of interest only when looking for a fault.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Warnf(format string, v ...any)   { l.log.Debug("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Fatalf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any)  { l.log.Error("nats: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}
