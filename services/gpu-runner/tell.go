package gpurunner

import (
	"context"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// teller tells, over NATS, how the shared servers are.
type teller struct{ *Service }

func (t *teller) Name() string { return "teller" }

func (t *teller) Run(ctx context.Context) error {
	return t.platform.Broker.Answer(ctx, event.SubjectServers, func(context.Context, []byte) any { return t.answer() })
}

func (t *teller) answer() event.ServersAnswer {
	a := event.ServersAnswer{Host: host(), Servers: []event.Server{}}
	for _, e := range t.engines {
		for _, s := range e.servers.snapshots() {
			a.Servers = append(a.Servers, event.Server{
				Name: s.Name, URL: s.URL, External: s.External, Device: s.Device, State: string(s.State), Reason: s.Reason, Since: s.Since, PID: s.PID,
				Restarts: s.Restarts, LastError: s.LastError, Log: s.Log,
			})
		}
	}
	return a
}
