package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// interruptible watches for SIGINT and SIGTERM. The first closes stop: finish what is in hand and go. The second ends ctx: go now; a third finds the
// process without a handler and ends it.
func interruptible() (stop <-chan struct{}, ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, first, over := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer close(over)
		select {
		case <-signals:
			close(first)
		case <-ctx.Done():
			return
		}
		select {
		case <-signals:
			signal.Stop(signals)
			cancel()
		case <-ctx.Done():
		}
	}()
	return first, ctx, func() {
		signal.Stop(signals)
		cancel()
		<-over
	}
}

// untilStop is ctx, ended by stop as well.
func untilStop(ctx context.Context, stop <-chan struct{}) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stop:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx
}
