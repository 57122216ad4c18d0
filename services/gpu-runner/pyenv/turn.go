package pyenv

import (
	"context"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// here has a channel of one place for each folder that this process builds, by its path: a lock of the system does not tell its own process from others, whose
// work nobody sees here.
var here sync.Map

// turn waits until nobody else builds what is in dir, in this process or another, and says so when it is another. Whoever has its turn gives it up with done.
func turn(ctx context.Context, dir string, anotherHasIt func()) (done func(), err error) {
	place, _ := here.LoadOrStore(dir, make(chan struct{}, 1))
	mine := place.(chan struct{})
	select {
	case mine <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	lock := flock.New(dir+".lock", flock.SetPermissions(0o600))
	got, err := lock.TryLock()
	if err == nil && !got {
		anotherHasIt()
		_, err = lock.TryLockContext(ctx, 50*time.Millisecond)
	}
	if err != nil {
		<-mine
		return nil, err
	}
	return func() { _ = lock.Unlock(); <-mine }, nil
}
