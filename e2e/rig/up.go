package rig

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// Up starts `pdfmill up` on data and waits until it is ready.
func Up(t testing.TB, data string, args ...string) *Pipeline {
	t.Helper()
	return UpWithin(t, pipelinetest.Patience, nil, data, args...)
}

// UpWithin is Up with engines that take so long to load, and with env on top of the test's environment.
func UpWithin(t testing.TB, patience time.Duration, env []string, data string, args ...string) *Pipeline {
	t.Helper()
	endpoints := filepath.Join(data, "endpoints.json")
	if err := os.Remove(endpoints); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	daemon := Start(t, env, Binary(t, "pdfmill"), append([]string{
		"up", "--data", data, "--nats-addr", "127.0.0.1:0", "--s3-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
	}, args...)...)
	p := &Pipeline{t: t, Processes: []*Process{daemon}, env: []string{"PDFMILL_DATA=" + data}}
	daemon.AwaitWithin(patience, "it writes "+endpoints, func() bool {
		content, err := os.ReadFile(endpoints)
		return err == nil && json.Unmarshal(content, &p.Endpoints) == nil
	})
	return p
}
