package rig

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

var given struct {
	mu sync.Mutex
	is map[string]bool
}

// FreeAddr is an address of the loopback for a server that can't say which port it picked, or that comes back at the one it had. Nobody else listens there, also while
// the server is away: on Linux all of 127.0.0.0/8 is the loopback, and each process of tests has an IP address of its own, made of its id.
func FreeAddr(t testing.TB) string {
	t.Helper()
	given.mu.Lock()
	defer given.mu.Unlock()
	pid := os.Getpid()
	host := fmt.Sprintf("127.%d.%d.%d", 64+pid>>16&63, pid>>8&255, pid&255)
	for {
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", host+":0")
		if err != nil && host != "127.0.0.1" {
			host = "127.0.0.1" // elsewhere there is only this one
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		if !given.is[address] {
			if given.is == nil {
				given.is = map[string]bool{}
			}
			given.is[address] = true
			return address
		}
	}
}
