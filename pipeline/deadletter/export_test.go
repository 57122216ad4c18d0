package deadletter

import "time"

// SetBegunFor changes for how long a pass that was begun may be begun again, until the returned function is called.
func SetBegunFor(d time.Duration) (reset func()) {
	was := begunFor
	begunFor = d
	return func() { begunFor = was }
}
