package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// HTTP answers /healthz (the process is alive), /readyz (every service can take work, with the reason when not) and /metrics.
type HTTP struct {
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
}

// ListenHTTP opens addr (port 0 picks one); Run serves. checks are asked at every /readyz; a value with a Detail method says more than its error.
func ListenHTTP(ctx context.Context, addr string, registry *prometheus.Registry, log *slog.Logger, checks ...Service) (*HTTP, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for HTTP on %s: %w (another program may use the port; choose one with --http-addr)", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, map[string]any{"status": "ok"}) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { ready(w, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return &HTTP{listener: listener, log: log, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

// detailed is a service that can say more about itself than whether it is ready.
type detailed interface{ Detail() any }

func ready(w http.ResponseWriter, checks []Service) {
	status, services := http.StatusOK, map[string]any{}
	for _, s := range checks {
		one := map[string]any{"status": "ok"}
		if err := s.Ready(); err != nil {
			one["status"], one["reason"] = "unavailable", err.Error()
			status = http.StatusServiceUnavailable
		}
		if d, ok := s.(detailed); ok {
			one["detail"] = d.Detail()
		}
		services[s.Name()] = one
	}
	answer(w, status, map[string]any{"status": http.StatusText(status), "services": services})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
}

// URL is where the server listens.
func (h *HTTP) URL() string { return "http://" + h.listener.Addr().String() }

// Name implements Service.
func (h *HTTP) Name() string { return "http" }

// Ready implements Service.
func (h *HTTP) Ready() error { return nil }

// Run serves until ctx ends.
func (h *HTTP) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if h.server.Shutdown(grace) != nil {
			_ = h.server.Close() // a client that hangs on does not hold the process
		}
	})
	defer stop()
	if err := h.server.Serve(h.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
