package devices

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// Sim reads the devices of a gpusim broker.
type Sim struct {
	socket string

	mu     sync.Mutex
	conn   net.Conn
	lines  *bufio.Reader
	closed bool
}

// OpenSim connects to the broker at a unix socket.
func OpenSim(ctx context.Context, socket string) (*Sim, error) {
	s := &Sim{socket: socket}
	if _, err := s.Read(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// simTimeout bounds one reading.
const simTimeout = 10 * time.Second

// Read implements Meter.
func (s *Sim) Read(ctx context.Context) ([]Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read simulated devices: %w", err)
	}
	readings, err := s.ask(ctx)
	if err != nil {
		if s.conn != nil {
			_ = s.conn.Close()
			s.conn = nil
		}
		return nil, fmt.Errorf("read simulated devices at %s: %w", s.socket, err)
	}
	return readings, nil
}

func (s *Sim) ask(ctx context.Context) ([]Reading, error) {
	if s.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", s.socket)
		if err != nil {
			return nil, err
		}
		s.conn, s.lines = conn, bufio.NewReader(conn)
	}
	if err := s.conn.SetDeadline(time.Now().Add(simTimeout)); err != nil {
		return nil, err
	}
	if _, err := s.conn.Write([]byte(`{"op":"read"}` + "\n")); err != nil {
		return nil, err
	}
	line, err := s.lines.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	var answer struct {
		Devices []Reading `json:"devices"`
	}
	if err := json.Unmarshal(line, &answer); err != nil {
		return nil, err
	}
	return answer.Devices, nil
}

// Close implements Meter.
func (s *Sim) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn != nil {
		_ = s.conn.Close()
	}
	return nil
}
