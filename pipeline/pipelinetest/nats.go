// Package pipelinetest is what tests of the pipeline share: a real server, and waiting without sleeping.
package pipelinetest

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/telemetry"
)

// NATS starts a real nats-server with JetStream in a folder of the test's, applies the topology and returns a connection and the server's URL.
func NATS(t testing.TB) (*jet.Broker, string) {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server is not ready after 10 s")
	}
	b := Connect(t, s.ClientURL())
	if err := b.Apply(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return b, s.ClientURL()
}

// Connect opens one more connection to a test's server.
func Connect(t testing.TB, url string) *jet.Broker {
	t.Helper()
	b, err := jet.Connect(t.Context(), jet.Config{URL: url}, "test", telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// Patience is how long Eventually waits before it gives up.
const Patience = 30 * time.Second

// Eventually waits until done reports true and fails the test, with what was awaited, when that takes longer than Patience. It
// works in a test's cleanup as well.
func Eventually(t testing.TB, awaited string, done func() bool) {
	t.Helper()
	Within(t, Patience, awaited, done)
}

// Within is Eventually with another patience, for what takes long.
func Within(t testing.TB, patience time.Duration, awaited string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("still waiting after %s: %s", patience, awaited)
		case <-ticker.C:
		}
	}
}

// Receive waits for a value.
func Receive[T any](t testing.TB, awaited string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(Patience):
		t.Fatalf("still waiting after %s: %s", Patience, awaited)
		panic("unreachable")
	}
}
