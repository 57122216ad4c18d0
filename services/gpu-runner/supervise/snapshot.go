package supervise

import (
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// Snapshot is a pool at one moment, for health, metrics and people.
type Snapshot struct {
	Engine  string           `json:"engine"`
	Workers []WorkerSnapshot `json:"workers"`
	Waiting []WaitingJob     `json:"waiting"`
}

// Ready counts the workers that can take jobs.
func (s Snapshot) Ready() int {
	n := 0
	for _, w := range s.Workers {
		if w.Isolated {
			continue
		}
		if w.ModelLoaded {
			n++
		}
	}
	return n
}

// WorkerSnapshot is one worker. Zero fields are not known.
type WorkerSnapshot struct {
	Name     string `json:"name"`
	Isolated bool   `json:"isolated,omitempty"`
	// Status is ok, starting, unloaded or failing; ModelLoaded says that it can take jobs; GPUAvailable that it has used its device with success
	// since it was loaded, and not failed to do so since.
	Status       string            `json:"status"`
	ModelLoaded  bool              `json:"model_loaded"`
	GPUAvailable bool              `json:"gpu_available"`
	LastProbe    *Probed           `json:"last_probe,omitempty"`
	State        State             `json:"state"`
	Reason       string            `json:"reason,omitempty"` // of the state
	Since        time.Time         `json:"since"`
	NextStart    time.Time         `json:"next_start,omitzero"`
	PID          int               `json:"pid,omitempty"`
	Versions     map[string]string `json:"versions,omitempty"`
	Device       string            `json:"device,omitempty"`
	RSS          int64             `json:"rss"`        // bytes
	Jobs         int               `json:"jobs"`       // answered by this process
	JobsLimit    int               `json:"jobs_limit"` // then it is replaced
	JobsTotal    int               `json:"jobs_total"` // answered by all processes that filled this place
	Restarts     int               `json:"restarts"`   // starts after the first
	Job          *RunningJob       `json:"job,omitempty"`

	LastError      string        `json:"last_error,omitempty"`
	LastErrorClass failure.Class `json:"last_error_class,omitempty"`
	LastErrorAt    time.Time     `json:"last_error_at,omitzero"`
}

// RunningJob is a job in a worker's hand.
type RunningJob struct {
	ID    string    `json:"id"`
	Pages string    `json:"pages"`
	Since time.Time `json:"since"`
	Phase string    `json:"phase,omitempty"`
	Done  int       `json:"done"`
	Total int       `json:"total"`
}

// WaitingJob is a job that no worker has yet.
type WaitingJob struct {
	ID       string    `json:"id"`
	Pages    string    `json:"pages"`
	Priority string    `json:"priority"`
	Since    time.Time `json:"since"`
	Why      string    `json:"why"` // a sentence
}

// Snapshot returns the pool as it is now.
func (p *Pool) Snapshot() Snapshot {
	p.mu.Lock()
	s := Snapshot{Engine: p.cfg.Engine}
	for _, w := range p.workers {
		s.Workers = append(s.Workers, w.snapshot())
	}
	view := p.view()
	for _, w := range view.Waiting {
		s.Waiting = append(s.Waiting, WaitingJob{
			ID: w.Job.Request.ID, Pages: w.Job.Request.Range.String(), Priority: w.Job.Priority.String(), Since: w.Since,
			Why: p.cfg.Admitter.Why(view, w),
		})
	}
	p.mu.Unlock()
	for i := range s.Workers {
		if pid := s.Workers[i].PID; pid > 0 {
			s.Workers[i].RSS = rssOf(pid)
		}
	}
	return s
}

func (w *worker) snapshot() WorkerSnapshot {
	s := WorkerSnapshot{
		Name: w.name, Isolated: w.isolated, Status: w.status(), ModelLoaded: w.serving(), State: w.state, Reason: w.reason, Since: w.since, NextStart: w.nextStart,
		Jobs: w.jobs, JobsLimit: w.limit, JobsTotal: w.jobsTotal, Restarts: max(0, w.starts-1),
	}
	if !w.probed.At.IsZero() {
		probed := w.probed
		s.LastProbe = &probed
	}
	if w.proc != nil {
		info := w.proc.Info()
		s.GPUAvailable = w.serving() && info.Hello.Device != "cpu" && (s.LastProbe == nil || s.LastProbe.OK)
		s.PID, s.Versions, s.Device = info.PID, info.Hello.Versions, info.Hello.Device
	}
	if w.current != nil {
		s.Job = &RunningJob{
			ID: w.current.Job.Request.ID, Pages: w.current.Job.Request.Range.String(), Since: w.began,
			Phase: w.progress.Phase, Done: w.progress.Done, Total: w.progress.Total,
		}
	}
	if w.lastErr != nil {
		s.LastError, s.LastErrorClass, s.LastErrorAt = failure.Sentence(w.lastErr), failure.ClassOf(w.lastErr, ""), w.lastErrAt
	}
	return s
}

// serving reports whether the worker's models are loaded.
func (w *worker) serving() bool { return w.state == Idle || w.state == Busy || w.state == Probing }

func (w *worker) status() string {
	switch w.state {
	case Idle, Busy, Probing:
		return "ok"
	case Starting:
		return "starting"
	case Backoff, Quarantined:
		return "failing"
	}
	return "unloaded"
}
