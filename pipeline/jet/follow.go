package jet

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// everything asks for all that a bucket holds, which keeps no history. Asked for the last entry of each key, the server looks them all up first: seconds for a million, in which it
// answers nobody who asks about the bucket.
var everything = jetstream.IncludeHistory()

// followKeys calls see for each entry that there is under the keys of a bucket, then with nil, then for each as it is written, until ctx ends; then it returns nil. An error
// means that entries may have been missed: follow again.
func followKeys(ctx context.Context, kv jetstream.KeyValue, keys string, see func(jetstream.KeyValueEntry), options ...jetstream.WatchOpt) error {
	watcher, err := kv.Watch(ctx, keys, append(options, everything)...)
	if err != nil {
		return fmt.Errorf("watch %s: %w", kv.Bucket(), err)
	}
	defer func() { _ = watcher.Stop() }() // the connection's end stops it too
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watcher.Updates():
			if !open {
				if ctx.Err() != nil {
					return nil
				}
				return fmt.Errorf("watch %s: the server ended it", kv.Bucket())
			}
			see(entry)
		}
	}
}
