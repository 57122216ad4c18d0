package jet_test

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// wire carries connections to a server until it is cut.
type wire struct {
	t      *testing.T
	addr   string
	target string
	listen net.Listener
	mu     sync.Mutex
	ends   []net.Conn
}

func newWire(t *testing.T, serverURL string) *wire {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{t: t, addr: "127.0.0.1:0", target: u.Host}
	w.mend()
	t.Cleanup(w.cut)
	return w
}

func (w *wire) mend() {
	w.t.Helper()
	var err error
	if w.listen, err = (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", w.addr); err != nil {
		w.t.Fatal(err)
	}
	w.addr = w.listen.Addr().String()
	go func(l net.Listener) {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", w.target) //nolint:noctx // cut closes it
			if err != nil {
				_ = near.Close()
				continue
			}
			w.mu.Lock()
			w.ends = append(w.ends, near, far)
			w.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); _ = far.Close() }()
			go func() { _, _ = io.Copy(near, far); _ = near.Close() }()
		}
	}(w.listen)
}

func (w *wire) cut() {
	_ = w.listen.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range w.ends {
		_ = end.Close()
	}
	w.ends = nil
}

// TestWatchMissesNothingWhileItIsCutOff: also when it has seen no event yet, and is only to see new ones.
func TestWatchMissesNothingWhileItIsCutOff(t *testing.T) {
	b, serverURL := pipelinetest.NATS(t)
	publish(t, b, converted(testJob("before")))
	w := newWire(t, serverURL)
	watcher := pipelinetest.Connect(t, "nats://"+w.addr)
	ctx, cancel := context.WithCancel(t.Context())
	ready, seen := make(chan struct{}), make(chan string, 8)
	var group sync.WaitGroup
	group.Go(func() {
		if err := watcher.Watch(ctx, false, func() { close(ready) }, func(a jet.Announcement) error {
			seen <- a.Converted.Job
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	pipelinetest.Receive(t, "the watch is ready", ready)
	w.cut()
	j := testJob("meanwhile")
	publish(t, b, converted(j))
	w.mend()
	if got := pipelinetest.Receive(t, "the event published meanwhile", seen); got != j.ID {
		t.Errorf("saw job %s, want %s", got, j.ID)
	}
	cancel()
	group.Wait()
}
