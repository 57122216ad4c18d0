package gpusim

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
)

// Broker keeps simulated devices.
type Broker struct {
	listener *net.UnixListener
	wg       sync.WaitGroup
	ctx      context.Context
	stop     context.CancelFunc

	mu      sync.Mutex
	devices []*device
	conns   map[net.Conn]struct{}
	timers  map[*time.Timer]struct{} // of memory that is still to be released
}

// Start listens on a unix socket, with the mode of a private file.
func Start(socket string, configs ...DeviceConfig) (*Broker, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("gpusim: %w", err)
	}
	b := &Broker{listener: listener, conns: map[net.Conn]struct{}{}, timers: map[*time.Timer]struct{}{}}
	b.ctx, b.stop = context.WithCancel(context.Background())
	for i, c := range configs {
		if c.ID == "" {
			c.ID = fmt.Sprintf("sim-%d", i)
		}
		if c.Context == 0 {
			c.Context = contextBytes
		}
		if c.TimeScale == 0 {
			c.TimeScale = 1
		}
		b.devices = append(b.devices, &device{DeviceConfig: c, held: map[int]int64{}})
	}
	b.wg.Go(b.accept)
	return b, nil
}

// Close ends the broker and every connection.
func (b *Broker) Close() {
	b.stop()
	_ = b.listener.Close()
	b.mu.Lock()
	for c := range b.conns {
		_ = c.Close()
	}
	for t := range b.timers {
		t.Stop()
	}
	b.mu.Unlock()
	b.wg.Wait()
}

// Read returns what an NVML view would show.
func (b *Broker) Read() []devices.Reading {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]devices.Reading, 0, len(b.devices))
	for _, d := range b.devices {
		list = append(list, d.reading())
	}
	return list
}

// Strangers sets what others hold of a device.
func (b *Broker) Strangers(id string, bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d := b.device(id); d != nil {
		d.strangers = bytes
	}
}

func (b *Broker) device(id string) *device {
	for _, d := range b.devices {
		if d.ID == id || id == "" {
			return d
		}
	}
	return nil
}

func (b *Broker) accept() {
	for {
		conn, err := b.listener.AcceptUnix()
		if err != nil {
			return
		}
		b.mu.Lock()
		if b.ctx.Err() != nil {
			b.mu.Unlock()
			_ = conn.Close()
			return
		}
		b.conns[conn] = struct{}{}
		b.wg.Go(func() { b.serve(conn) })
		b.mu.Unlock()
	}
}

func (b *Broker) serve(conn *net.UnixConn) {
	gone, end := context.WithCancel(b.ctx)
	p := &process{broker: b, pid: peer(conn), gone: gone}
	requests := make(chan Request)
	// Read apart from the answers, so that the end of a process ends its kernel too.
	b.wg.Go(func() {
		defer end()
		defer close(requests)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			var r Request
			if json.Unmarshal(lines.Bytes(), &r) != nil {
				return
			}
			select {
			case requests <- r:
			case <-b.ctx.Done():
				return
			}
		}
	})
	out := json.NewEncoder(conn)
	for r := range requests {
		if out.Encode(p.do(r)) != nil {
			break
		}
	}
	_ = conn.Close()
	for range requests { // the reader sees the end and closes
	}
	b.mu.Lock()
	delete(b.conns, conn)
	b.mu.Unlock()
	p.end()
}
