package main

import (
	"context"
	"fmt"
	"net"
)

// preferred is where something shall listen.
type preferred struct {
	what, flag string
	asked      string // by the user; "" for the usual place, or another one when that is taken
	usual      string
}

// choose settles addresses before anything starts, so that a port that is taken is told at once and by the name of its flag.
func choose(ctx context.Context, all ...preferred) ([]string, error) {
	chosen := make([]string, len(all))
	for i, p := range all {
		addr := p.asked
		if addr == "" {
			addr = p.usual
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		switch {
		case err == nil:
			defer listener.Close()
			chosen[i] = addr
		case p.asked == "":
			chosen[i] = "127.0.0.1:0"
		default:
			return nil, usage(fmt.Errorf("%s can't listen on %s: %w", p.what, addr, cause(err)), "another program may use the port; choose one with "+p.flag+", port 0 picks a free one")
		}
	}
	return chosen, nil
}

// cause is the system's word in a network error.
func cause(err error) error {
	for {
		op, ok := err.(*net.OpError) //nolint:errorlint // only the outermost is of interest
		if !ok {
			return err
		}
		err = op.Err
	}
}
