package main

import (
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// What a server that works has printed is nobody's concern; what one that doesn't has printed is why.
func TestServersThatDoNotWorkShowWhatTheySaid(t *testing.T) {
	var out strings.Builder
	if err := printServers(&out, []server{
		{"a", event.Server{Name: "layout", State: event.ServerWorks, URL: "http://127.0.0.1:1", Log: "all is well"}},
		{"b", event.Server{Name: "vlm", State: "backoff", Reason: "start again in 2 s", LastError: "exit 1", Restarts: 3, Log: strings.Repeat("before\n", 20) + "no room\n"}},
	}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"works", "start again in 2 s; exit 1", "vlm on b said at last:\n  before", "  no room\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("without %q: %s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "all is well") || strings.Count(out.String(), "before") >= 20 {
		t.Errorf("too much: %s", out.String())
	}
	out.Reset()
	if err := printServers(&out, nil); err != nil || out.Len() > 0 {
		t.Errorf("no servers: %v, %s", err, out.String())
	}
}
