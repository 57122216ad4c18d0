// Command gpusim runs a broker of simulated GPUs until it is interrupted.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
)

func main() {
	socket := flag.String("socket", "gpusim.sock", "unix socket to listen on")
	devices := flag.Int("devices", 1, "simulated GPUs")
	total := flag.Float64("gib", 24, "memory of each, in GiB")
	release := flag.Duration("release-after", 200*time.Millisecond, "how long memory stays taken after its process has ended")
	scale := flag.Float64("time-scale", 1, "multiplies the time of kernels")
	flag.Parse()
	if err := run(*socket, *devices, gpusim.DeviceConfig{Total: int64(*total * (1 << 30)), ReleaseAfter: *release, TimeScale: *scale}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(socket string, n int, each gpusim.DeviceConfig) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	configs := make([]gpusim.DeviceConfig, n)
	for i := range configs {
		configs[i] = each
	}
	broker, err := gpusim.Start(socket, configs...)
	if err != nil {
		return err
	}
	defer broker.Close()
	<-ctx.Done()
	return nil
}
