package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

//go:embed marker/server.py
var markerServer []byte

// server is marker's own, at work.
type server struct {
	*running
	address     string
	conversions string // file with a line for each conversion that it has begun
}

// startServer starts marker's server in a folder, and waits until it answers.
func (v *rivals) startServer(ctx context.Context, dir string) (*server, error) {
	script := filepath.Join(v.r.dir, "server.py")
	if err := os.WriteFile(script, markerServer, 0o600); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err = errors.Join(err, listener.Close()); err != nil {
		return nil, err
	}
	s := &server{address: "http://127.0.0.1:" + port, conversions: v.r.fresh("conversions")}
	if s.running, err = v.startIn(ctx, dir, v.python, script, v.site, s.conversions, "--port", port); err != nil {
		return nil, err
	}
	for {
		select {
		case <-s.ended:
			return nil, fmt.Errorf("marker_server ended: %w\n%s", s.err, s.said.String())
		case <-time.After(100 * time.Millisecond):
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address, http.NoBody)
		if err != nil {
			return nil, err
		}
		if answer, err := http.DefaultClient.Do(request); err == nil {
			return s, answer.Body.Close()
		}
	}
}

// begun are the documents of which it has begun a conversion, each as often as it has.
func (s *server) begun() ([]string, error) {
	data, err := os.ReadFile(s.conversions)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(data)), err
}

// timeServer starts marker's server and has its clients ask for each document.
func (v *rivals) timeServer(ctx context.Context, in string) (float64, error) {
	started := time.Now()
	s, err := v.startServer(ctx, v.r.dir)
	if err != nil {
		return 0, err
	}
	defer s.kill()
	answers := v.askAll(ctx, s, papers(in), ask)
	seconds := time.Since(started).Seconds()
	for file, err := range answers {
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
	}
	return seconds, nil
}

// askAll asks for documents with as many clients as there are workers elsewhere, and returns what came of each.
func (v *rivals) askAll(ctx context.Context, s *server, files []string, ask func(ctx context.Context, address, file string) error) map[string]error {
	var clients errgroup.Group
	var mu sync.Mutex
	answers := map[string]error{}
	clients.SetLimit(v.workers)
	for _, file := range files {
		clients.Go(func() error {
			err := ask(ctx, s.address, file)
			mu.Lock()
			defer mu.Unlock()
			answers[file] = err
			return nil
		})
	}
	_ = clients.Wait() // what went wrong is in the answers
	return answers
}

// good are the documents that were answered.
func good(answers map[string]error) (files []string) {
	for file, err := range answers {
		if err == nil {
			files = append(files, file)
		}
	}
	return files
}

// ask has the server convert a file where it lies.
func ask(ctx context.Context, address, file string) error {
	question, err := json.Marshal(map[string]string{"filepath": file})
	if err != nil {
		return err
	}
	return post(ctx, address+"/marker", "application/json", question)
}

// upload hands a file to the server.
func upload(ctx context.Context, address, file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", filepath.Base(file))
	if err != nil {
		return err
	}
	_, err = part.Write(data)
	if err = errors.Join(err, form.Close()); err != nil {
		return err
	}
	return post(ctx, address+"/marker/upload", form.FormDataContentType(), body.Bytes())
}

func post(ctx context.Context, address, kind string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.300s", answer.Status, text)
	}
	var told struct {
		Success bool   `json:"success"`
		Error   string `json:"error"`
	}
	if err = errors.Join(err, json.Unmarshal(text, &told)); err == nil && !told.Success {
		err = fmt.Errorf("it says %q", told.Error)
	}
	return err
}

// serverFaults does to marker's server what was done to the others.
func (v *rivals) serverFaults(ctx context.Context, result *Result) error {
	for _, fault := range []struct {
		what  string
		cause func(context.Context) (string, error)
	}{
		{"one of four PDFs is cut off", v.serverCorrupt},
		{"its process is killed (SIGKILL) after the first of eight documents, and started again", v.serverKilledAfter(1)},
		{"its process is killed after four of eight documents, and started again", v.serverKilledAfter(4)},
		{"its disk has " + small + "B", v.serverFull},
	} {
		said, err := fault.cause(ctx)
		if err != nil {
			return fmt.Errorf("marker_server, %s: %w", fault.what, err)
		}
		result.note("%s: marker_server %s", fault.what, said)
		_, _ = fmt.Fprintf(v.r.out, "  %s\n", result.Notes[len(result.Notes)-1])
	}
	return nil
}

func (v *rivals) serverCorrupt(ctx context.Context) (string, error) {
	in, err := v.withCutOff(ctx)
	if err != nil {
		return "", err
	}
	s, err := v.startServer(ctx, v.r.dir)
	if err != nil {
		return "", err
	}
	defer s.kill()
	answers := v.askAll(ctx, s, papers(in), ask)
	return fmt.Sprintf("answers %d, and of the one that is cut off: %v", len(good(answers)), answers[filepath.Join(in, cutOff)]), nil
}

// serverKilledAfter takes the server away under clients that ask once for each document, and starts it again for those that have no answer.
func (v *rivals) serverKilledAfter(n int) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		in, _, err := v.inputs(ctx, 1, 8)
		if err != nil {
			return "", err
		}
		files := papers(in)
		s, err := v.startServer(ctx, v.r.dir)
		if err != nil {
			return "", err
		}
		defer s.kill()
		var mu sync.Mutex
		done := 0
		first := good(v.askAll(ctx, s, files, func(ctx context.Context, address, file string) error {
			err := ask(ctx, address, file)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				done++
			}
			if done == n {
				s.kill()
			}
			return err
		}))
		begun, err := s.begun()
		if err != nil {
			return "", err
		}
		left := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return slices.Contains(first, f) })
		again, err := v.startServer(ctx, v.r.dir)
		if err != nil {
			return "", err
		}
		defer again.kill()
		rest := good(v.askAll(ctx, again, left, ask))
		after, err := again.begun()
		if err != nil {
			return "", err
		}
		twice := slices.DeleteFunc(slices.Clone(after), func(f string) bool { return !slices.Contains(begun, f) })
		lost := v.askAll(ctx, again, first, ask) // of a client that has lost its answers
		kept, err := again.begun()
		return fmt.Sprintf("has answered %d, and %d clients have an error; started again, by us, it answers the other %d, %d of which it had begun before; of the %d that it had answered it converts %d again when asked",
			len(first), len(left), len(rest), len(twice), len(lost), len(kept)-len(after)), err
	}
}

// serverFull gives the server a small disk to stand on, to which it writes what it is handed.
func (v *rivals) serverFull(ctx context.Context) (string, error) {
	in, _, err := v.inputs(ctx, 1, 8)
	if err != nil {
		return "", err
	}
	dir := v.r.fresh("small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	unmount, err := mountSmall(ctx, dir)
	if err != nil {
		return notRoot, nil //nolint:nilerr // said in the note
	}
	defer unmount()
	s, err := v.startServer(ctx, dir)
	if err != nil {
		return "", err
	}
	defer s.kill()
	answers := v.askAll(ctx, s, papers(in), upload)
	left, err := filepath.Glob(filepath.Join(dir, "uploads", "*"))
	if err != nil {
		return "", err
	}
	reasons := map[string]int{}
	for _, err := range answers {
		if err != nil {
			reasons[err.Error()]++
		}
	}
	return fmt.Sprintf("that is handed eight documents answers %d, fails the others (%v), and leaves %d pieces of them on its disk", len(good(answers)), reasons, len(left)), nil
}

// small is a disk of a third of what is to be written.
const small = "48k"

const notRoot = "was not tried: mounting a small disk takes root"

// mountSmall mounts a small disk on a folder.
func mountSmall(ctx context.Context, dir string) (unmount func(), err error) {
	if err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size="+small, "tmpfs", dir).Run(); err != nil {
		return nil, err
	}
	// Lazily: what stood there is being killed. The temporary folder goes at the end.
	return func() { _ = exec.CommandContext(context.WithoutCancel(ctx), "umount", "-l", dir).Run() }, nil
}
