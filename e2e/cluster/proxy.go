//go:build linux

package cluster

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// proxy passes TCP connections on, as slowly as it is told to.
type proxy struct {
	listener net.Listener
	to       string
	delay    atomic.Int64 // before each piece that passes, in nanoseconds
}

func newProxy(t testing.TB, address, to string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, to: to}
	t.Cleanup(func() { listener.Close() })
	go p.run()
	return p
}

func (p *proxy) run() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		go p.connect(near)
	}
}

func (p *proxy) connect(near net.Conn) {
	far, err := net.DialTimeout("tcp", p.to, 5*time.Second) //nolint:noctx // its time is bounded
	if err != nil {
		near.Close()
		return
	}
	go p.pass(near, far)
	p.pass(far, near)
}

// pass copies until one side ends, and ends the other.
func (p *proxy) pass(from, to net.Conn) {
	defer from.Close()
	defer to.Close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			time.Sleep(time.Duration(p.delay.Load()))
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
