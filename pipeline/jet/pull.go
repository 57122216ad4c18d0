package jet

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullExpiry is how long the server keeps a request for a message; pullBeat how often it says meanwhile that it still does. Two beats missed, and the
	// request is made again: it went down with a server, or nobody was there to take it. A request does not end with a beat: the client has room for one word of the
	// server's at a time (as for messages), drops the second of two, and would then wait two beats for a request that is over.
	pullExpiry = 10*time.Second + pullBeat/2
	pullBeat   = time.Second
	// pullPause is the pause before a broken pull is opened again.
	pullPause = time.Second
	// drainWait bounds the wait, at the end, for the server to say that no message is on its way any more.
	drainWait = time.Second
)

// pull calls see for each message of a consumer, one at a time, none ahead and each when before returns, until ctx ends. Then it asks for no more, and a message that was on its way
// goes to late: nobody would miss it before its ack wait is over. It survives whatever happens to the server, and makes the consumer again when somebody has deleted it.
func (b *Broker) pull(ctx context.Context, consumer jetstream.Consumer, log *slog.Logger, before func(context.Context), see, late func(jetstream.Msg)) {
	for ctx.Err() == nil {
		messages, err := consumer.Messages(jetstream.PullMaxMessages(1), jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullBeat))
		if err == nil {
			err = pullFrom(ctx, messages, before, see, func() bool { return deleted(ctx, consumer) })
			drain(messages, late)
		}
		if ctx.Err() == nil {
			log.Debug("pull ended, opening it again", "consumer", consumer.CachedInfo().Name, "err", err)
			wait(ctx, pullPause)
			consumer = b.restored(ctx, consumer, log)
		}
	}
}

// restored is the consumer, made again when it was deleted: until somebody's next start nobody else would.
func (b *Broker) restored(ctx context.Context, consumer jetstream.Consumer, log *slog.Logger) jetstream.Consumer {
	if !deleted(ctx, consumer) {
		return consumer
	}
	was := consumer.CachedInfo()
	made, err := b.js.CreateOrUpdateConsumer(ctx, was.Stream, was.Config)
	if err != nil {
		log.Error("a consumer was deleted, and can't be made again yet", "stream", was.Stream, "consumer", was.Name, "err", err)
		return consumer
	}
	log.Warn("a consumer was deleted, and is made again", "stream", was.Stream, "consumer", was.Name)
	return made
}

// deleted reports whether the server says that there is no such consumer.
func deleted(ctx context.Context, consumer jetstream.Consumer) bool {
	_, err := consumer.Info(ctx)
	return errors.Is(err, jetstream.ErrConsumerNotFound)
}

// pullFrom returns when ctx ends or the pull is of no use any more.
func pullFrom(ctx context.Context, messages jetstream.MessagesContext, before func(context.Context), see func(jetstream.Msg), gone func() bool) error {
	for {
		before(ctx)
		msg, err := messages.Next(jetstream.NextContext(ctx))
		switch {
		case err == nil:
			see(msg)
		case errors.Is(err, jetstream.ErrNoHeartbeat) && !gone(): // it has been asked again
		default:
			return err
		}
	}
}

// drain ends a pull and passes on what the server had sent before it knew.
func drain(messages jetstream.MessagesContext, late func(jetstream.Msg)) {
	messages.Drain()
	for {
		msg, err := messages.Next(jetstream.NextMaxWait(drainWait))
		if err != nil {
			return // closed, or the server is away: then it sends nothing either
		}
		late(msg)
	}
}
