package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/cmd/pdfmill/internal/catalogue"
	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/services/gpu-runner/pyenv"
)

// weights drives the runner's own code for weights, in an engine's environment: it has the libraries that know the hub.
type weights struct {
	python string // of the environment
	models string // folder
}

// weightsState is how a checkpoint is here.
type weightsState struct {
	Role       string `json:"role"`
	Server     string `json:"server,omitempty"` // that it is for, where there is a choice
	Checkpoint string `json:"checkpoint"`
	Status     string `json:"status"` // there, missing, damaged
	Folder     string `json:"folder"`
	Bytes      int64  `json:"bytes"`
	Verified   bool   `json:"verified"`
	Detail     string `json:"detail,omitempty"`
}

const weightsThere = "there"

// weightsEvent is a line of what that code prints.
type weightsEvent struct {
	Event string `json:"event"`
	weightsState
	Done    int64  `json:"done"`
	Total   int64  `json:"total"`
	At      int64  `json:"at"`
	File    string `json:"file"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// check looks at weights without network.
func (w weights) check(ctx context.Context, wanted []catalogue.Weights) ([]weightsState, error) {
	return w.look(ctx, wanted, "check")
}

func (w weights) look(ctx context.Context, wanted []catalogue.Weights, command ...string) ([]weightsState, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	var states []weightsState
	err := w.run(ctx, command, wanted, func(e weightsEvent) {
		if e.Event == "state" {
			one := wanted[len(states)]
			e.Role, e.Server = one.Role, one.Server
			states = append(states, e.weightsState)
		}
	})
	if len(states) == len(wanted) { // its status only repeats what they say
		return states, nil
	}
	return nil, err
}

// verify reports what is missing or damaged, with every byte looked at. What somebody put there by hand is there, and can't be verified: whole is false.
func (w weights) verify(ctx context.Context, wanted []catalogue.Weights) (whole bool, err error) {
	states, err := w.look(ctx, wanted, "check", "--deep")
	if err != nil {
		return false, err
	}
	var faults []error
	whole = true
	for _, s := range states {
		whole = whole && s.Verified
		if s.Status != weightsThere {
			faults = append(faults, fmt.Errorf("%s (%s) is %s in %s: %s", s.Checkpoint, s.Role, s.Status, s.Folder, s.Detail))
		}
	}
	if len(faults) == 0 {
		return whole, nil
	}
	return false, failure.New(failure.EngineMissing, "find weights in", w.models, errors.Join(faults...)).
		WithHint("fetch them with pdfmill engines install where there is a network, and copy that folder from there")
}

// fetch brings weights here, and tells how far it is.
func (w weights) fetch(ctx context.Context, wanted []catalogue.Weights, notices io.Writer) error {
	if len(wanted) == 0 {
		return nil
	}
	said, began := time.Time{}, time.Now()
	var failed string
	err := w.run(ctx, []string{"fetch"}, wanted, func(e weightsEvent) {
		switch e.Event {
		case "plan":
			said = time.Time{}
		case "progress":
			if time.Since(said) < 2*time.Second && e.Done < e.Total {
				return
			}
			said = time.Now()
			fmt.Fprintf(notices, "weights: %s %s of %s (%d %%)\n", e.Checkpoint, megabytes(e.Done), megabytes(e.Total), 100*e.Done/max(1, e.Total))
		case "resume":
			fmt.Fprintf(notices, "weights: %s %s goes on at %s\n", e.Checkpoint, e.File, megabytes(e.At))
		case "refetch":
			fmt.Fprintf(notices, "weights: %s %s is fetched again: %s\n", e.Checkpoint, e.File, e.Reason)
		case "waiting":
			fmt.Fprintf(notices, "weights: %s\n", e.Reason)
		case "failed":
			failed = e.Message
		}
	})
	switch {
	case failed != "":
		return failure.New(failure.EngineMissing, "fetch weights into", w.models, errors.New(failed)).
			WithHint("on a machine without network, fetch them elsewhere and copy the folder " + w.models)
	case err != nil:
		return err
	}
	fmt.Fprintf(notices, "weights: all there and verified after %s\n", time.Since(began).Round(time.Second))
	return nil
}

func megabytes(n int64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// run runs the runner's code for weights and hands on each line that it prints.
func (w weights) run(ctx context.Context, command []string, wanted []catalogue.Weights, each func(weightsEvent)) error {
	args := append([]string{"-m", "pdfmill_runner.marker.weights"}, command...)
	for _, one := range wanted {
		args = append(args, one.Checkpoint)
	}
	cmd := exec.CommandContext(ctx, w.python, args...)
	cmd.Env = append(pyenv.Environment(), "HF_HOME="+w.models, "MODEL_CACHE_DIR="+filepath.Join(w.models, "datalab"))
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("look after weights: %w", err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e weightsEvent
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			each(e)
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("look after weights: %w: %s", err, strings.TrimSpace(complaints.String()))
	}
	return nil
}
