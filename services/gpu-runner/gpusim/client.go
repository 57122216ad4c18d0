package gpusim

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
)

// Client is one connection to a broker. It is for one goroutine.
type Client struct {
	conn  net.Conn
	lines *bufio.Scanner
}

// Dial connects to the broker at a socket.
func Dial(ctx context.Context, socket string) (*Client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("gpusim: %w", err)
	}
	return &Client{conn: conn, lines: bufio.NewScanner(conn)}, nil
}

// Do sends a request and waits for the answer. The error is of the connection: what the device says is in the answer.
func (c *Client) Do(r Request) (Answer, error) {
	var a Answer
	if err := json.NewEncoder(c.conn).Encode(r); err != nil {
		return a, fmt.Errorf("gpusim: %w", err)
	}
	if !c.lines.Scan() {
		return a, fmt.Errorf("gpusim: the broker is gone: %w", net.ErrClosed)
	}
	if err := json.Unmarshal(c.lines.Bytes(), &a); err != nil {
		return a, fmt.Errorf("gpusim: %w", err)
	}
	return a, nil
}

// Close ends the connection: the process is over.
func (c *Client) Close() { _ = c.conn.Close() }
