package jet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// maxAnswering bounds the requests that are answered at the same time; more are refused.
const maxAnswering = 16

// Answer answers requests on a subject until ctx ends, each on a goroutine of its own, with the JSON of what handle returns. It is not for work, which
// must not be lost: a request that nobody hears is gone.
func (b *Broker) Answer(ctx context.Context, subject string, handle func(ctx context.Context, request []byte) any) error {
	requests := make(chan *nats.Msg, maxAnswering)
	sub, err := b.conn.ChanSubscribe(subject, requests)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection's end does it too
	var group sync.WaitGroup
	defer group.Wait()
	slots := make(chan struct{}, maxAnswering)
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-requests:
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				data, err := json.Marshal(handle(ctx, m.Data))
				if err == nil {
					err = m.Respond(data)
				}
				if err != nil {
					b.log.Warn("a request was not answered", "subject", subject, "err", err)
				}
			})
		}
	}
}

// ErrNobody says that nobody listens to a request.
var ErrNobody = errors.New("nobody answers")

// Ask sends a request to everybody who listens on a subject and returns the answers that come until there are as many as expected (0: nobody knows how
// many), quiet has passed since the last, or ctx has ended after the first.
func Ask[A any](ctx context.Context, b *Broker, subject string, request any, expected int, quiet time.Duration) ([]A, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	inbox := b.conn.NewRespInbox()
	sub, err := b.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the connection's end does it too
	if err := b.conn.PublishRequest(subject, inbox, data); err != nil {
		return nil, fmt.Errorf("ask %s: %w", subject, err)
	}
	var answers []A
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(answers) > 0 {
			wait, cancel = context.WithTimeout(ctx, quiet)
		}
		m, err := sub.NextMsgWithContext(wait)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil, fmt.Errorf("ask %s: %w", subject, ErrNobody)
		case err != nil && len(answers) > 0:
			return answers, nil
		case err != nil:
			return nil, fmt.Errorf("ask %s: %w", subject, err)
		}
		var a A
		if err := json.Unmarshal(m.Data, &a); err != nil {
			return answers, fmt.Errorf("ask %s: the answer is not understood: %w", subject, err)
		}
		if answers = append(answers, a); len(answers) == expected {
			return answers, nil
		}
	}
}
