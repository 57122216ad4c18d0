package jet

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Peaks returns what gpu-runners have learned of their conversions' memory: one value for each engine, version, device and batch scale.
func (b *Broker) Peaks(ctx context.Context) ([][]byte, error) {
	kv, err := b.js.KeyValue(ctx, KVPeaks)
	if err != nil {
		return nil, missing("KV bucket "+KVPeaks, err)
	}
	watcher, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", KVPeaks, err)
	}
	defer func() { _ = watcher.Stop() }() // the connection's end stops it too
	var all [][]byte
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return nil, errors.New("read " + KVPeaks + ": the server ended it")
			case entry == nil: // all that was there has been seen
				return all, nil
			}
			all = append(all, entry.Value())
		case <-ctx.Done():
			return nil, fmt.Errorf("read %s: %w", KVPeaks, ctx.Err())
		}
	}
}

// SavePeaks saves what was learned under a name of letters, digits and dashes.
func (b *Broker) SavePeaks(ctx context.Context, name string, data []byte) error {
	kv, err := b.js.KeyValue(ctx, KVPeaks)
	if err != nil {
		return missing("KV bucket "+KVPeaks, err)
	}
	if _, err := kv.Put(ctx, name, data); err != nil {
		return fmt.Errorf("save %s in %s: %w", name, KVPeaks, err)
	}
	return nil
}
