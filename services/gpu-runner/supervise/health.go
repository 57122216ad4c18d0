package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/secret"
)

// healthy asks a server whether it works.
func healthy(ctx context.Context, address string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	return ask(request)
}

// ask has a server's model answer.
func (t *Try) ask(ctx context.Context, address string) error {
	limit := t.Timeout
	orDefault(&limit, 2*time.Minute)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+t.Path, strings.NewReader(t.Body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	return ask(request)
}

func ask(request *http.Request) error {
	request.Close = true // a kept connection would outlive the server
	answer, err := http.DefaultClient.Do(request)
	if named := (*url.Error)(nil); errors.As(err, &named) {
		named.URL = secret.URL(named.URL) // it keeps the user
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(answer.Body, 300)) // the status says most
		return fmt.Errorf("%s %s answers %s: %s", request.Method, secret.URL(request.URL.String()), answer.Status, said)
	}
	return nil
}

// pause waits, or returns early when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return time.Since(t)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}
