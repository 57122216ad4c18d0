package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
)

// What the benchmark of recovery works with: a document of one range that takes some 7 s, and workers that take a fraction of a second to load.
const (
	recoverPages = 20
	// simScale multiplies the times of engine sim (12.5 s to load, 0.18 s a page), cardScale those of the pages once more.
	simScale, cardScale = 0.02, 100
)

// measureRecovery kills a worker in mid-job, and then the whole gpu-runner, and looks when the range is in somebody's hands again.
func measureRecovery(ctx context.Context, r *rig, result *Result) (err error) {
	socket := filepath.Join(r.dir, "gpu")
	broker, err := gpusim.Start(socket, gpusim.DeviceConfig{Total: 24 << 30, TimeScale: cardScale})
	if err != nil {
		return err
	}
	defer broker.Close()
	d, err := r.up(ctx, "--engines", "sim", "--auto-engine", "sim", "--serve", "null")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	v, err := drive(ctx, d)
	if err != nil {
		return err
	}
	defer v.close()
	runners := []*runner{{}, {}}
	defer func() {
		for _, one := range runners {
			one.kill()
		}
	}()
	spare := Series{Label: "worker killed, another is idle: its range runs again after", Unit: "s"}
	load := Series{Label: "worker killed, none is idle: its range runs again after", Unit: "s"}
	elsewhere := Series{Label: "gpu-runner killed: its range runs on another after", Unit: "s"}
	for i := range r.times(5, 1) {
		for _, one := range runners {
			one.kill()
			if *one, err = r.runner(ctx, d, socket); err != nil {
				return err
			}
		}
		for _, m := range []struct {
			name   string
			series *Series
			before int // documents that load so many workers beforehand
			kill   func(hand, *runner) error
		}{
			{"load", &load, 0, func(h hand, _ *runner) error { return syscall.Kill(h.pid, syscall.SIGKILL) }},
			{"spare", &spare, 4, func(h hand, _ *runner) error { return syscall.Kill(h.pid, syscall.SIGKILL) }},
			{"elsewhere", &elsewhere, 0, func(_ hand, one *runner) error { one.kill(); return nil }},
		} {
			if err := m.series.recovery(ctx, v, runners, fmt.Sprintf("%s-%d", m.name, i), m.before, m.kill); err != nil {
				return err
			}
		}
	}
	result.Inputs = fmt.Sprintf("a document of %d pages, one range; engine sim on a simulated card, workers that load in %.2f–%.2f s besides the start of Python; two gpu-runners",
		recoverPages, 10*simScale, 15*simScale)
	result.Series = []Series{spare, load, elsewhere}
	result.note("a range that killed its worker is given back to the queue for 0.4–0.5 s, lest it kill the next one at once; AckWait is 10 s")
	result.Reached = spare.median() <= 1 && elsewhere.quantile(1) <= 15
	return nil
}

// recovery drops a document, has what converts it killed, and adds the time until the range is in hand again.
func (s *Series) recovery(ctx context.Context, v *driver, runners []*runner, name string, before int, kill func(hand, *runner) error) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for n := range before { // so many at once that each runner loads a second worker
		if err := v.put(ctx, fmt.Sprintf("%s-before-%d.pdf", name, n), pagesOf(name, n+1, recoverPages/4)); err != nil {
			return err
		}
	}
	for range before {
		if _, err := v.next(ctx); err != nil {
			return err
		}
	}
	if err := v.put(ctx, name+".pdf", pagesOf(name, 0, recoverPages)); err != nil {
		return err
	}
	had, at, err := inHand(ctx, runners, hand{})
	if err != nil {
		return err
	}
	started := time.Now()
	if err := kill(had, at); err != nil {
		return err
	}
	again, _, err := inHand(ctx, runners, had)
	if err != nil {
		return err
	}
	s.add(again.since.Sub(started).Seconds())
	a, err := v.next(ctx)
	if err == nil && a.subject != "pdf.converted" {
		err = fmt.Errorf("%s: %s", a.source, a.subject)
	}
	return err
}

// hand is a worker that converts, and when it was given its range.
type hand struct {
	pid   int
	since time.Time
}

// inHand waits until some runner's worker, another than the one it had, is at a range.
func inHand(ctx context.Context, runners []*runner, had hand) (hand, *runner, error) {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		for _, one := range runners {
			if h := one.hand(ctx); h.pid != 0 && h.pid != had.pid && h.since.After(had.since) {
				return h, one, nil
			}
		}
		select {
		case <-ctx.Done():
			return hand{}, nil, fmt.Errorf("wait for a range to be in a worker's hands: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// runner is a gpu-runner of its own.
type runner struct {
	cmd *exec.Cmd
	url string
	log *tail
}

// tail is a program's output that can be read while it is written.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// runner starts a gpu-runner on the servers of a daemon, and returns when it is ready.
func (r *rig) runner(ctx context.Context, d *daemon, socket string) (runner, error) {
	one := runner{log: &tail{}}
	secrets := map[string]string{}
	content, err := os.ReadFile(filepath.Join(d.data, "credentials.json"))
	if err = errors.Join(err, json.Unmarshal(content, &secrets)); err != nil {
		return one, err
	}
	const role = "gpu-runner"
	addr, err := freeAddr(ctx)
	if err != nil {
		return one, err
	}
	one.url = "http://" + addr
	one.cmd = exec.CommandContext(ctx, filepath.Join(r.bin, "pdfmill-gpu-runner"),
		"--nats-url", d.NATSURL, "--nats-user", role, "--s3-endpoint", d.S3Endpoint, "--s3-access-key", role,
		"--topology", "wait", "--http-addr", addr, "--serve", "sim", "--gpusim", socket, "--workers", "2", "--scratch", r.fresh("scratch"))
	one.cmd.Env = append(os.Environ(), "PDFMILL_NATS_PASSWORD="+secrets["nats-"+role], "PDFMILL_S3_SECRET_KEY="+secrets["s3-"+role],
		fmt.Sprintf("PDFMILL_SIM_TIME_SCALE=%g", simScale))
	one.cmd.Stdout, one.cmd.Stderr = one.log, one.log
	if err := one.cmd.Start(); err != nil {
		return runner{}, err
	}
	give, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for !one.ready(give) {
		if give.Err() != nil {
			one.kill()
			return one, fmt.Errorf("gpu-runner is not ready: %w\n%s", give.Err(), one.log)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return one, nil
}

// freeAddr is an address on which nobody listens.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// kill ends it as a power cut would.
func (r *runner) kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill() // it may be gone already
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

func (r *runner) ready(ctx context.Context) bool {
	answer, err := r.ask(ctx)
	return err == nil && answer.Status == http.StatusText(http.StatusOK)
}

// status is what /readyz says.
type status struct {
	Status   string `json:"status"`
	Services map[string]struct {
		Detail struct {
			Engines []struct {
				Workers []struct {
					PID int `json:"pid"`
					Job *struct {
						Since time.Time `json:"since"`
						Done  int       `json:"done"`
					} `json:"job"`
				} `json:"workers"`
			} `json:"engines"`
		} `json:"detail"`
	} `json:"services"`
}

func (r *runner) ask(ctx context.Context) (s status, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/readyz", nil)
	if err != nil {
		return s, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// hand is the worker that has a range and has done some of it; zero: there is none, or the runner is gone.
func (r *runner) hand(ctx context.Context) hand {
	if r.cmd == nil {
		return hand{}
	}
	s, err := r.ask(ctx)
	if err != nil {
		return hand{}
	}
	for _, service := range s.Services {
		for _, e := range service.Detail.Engines {
			for _, w := range e.Workers {
				if w.Job != nil && w.Job.Done > 0 {
					return hand{w.PID, w.Job.Since}
				}
			}
		}
	}
	return hand{}
}
