package jet

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

// Retry is what the loop does with a failed message.
type Retry struct {
	Dead  bool
	Delay time.Duration // before the next attempt, when not Dead
}

// budgets is how many attempts a transient class gets; a class that is not here gets defaultBudget. All stay below MaxDeliver, so
// that the broker's fence only ever catches a message that kills its process.
var budgets = map[failure.Class]int{
	failure.StoreUnavailable: MaxDeliver - 1,
	failure.Unhealthy:        MaxDeliver - 1,
}

const defaultBudget = 5

// decide is the retry policy: what is permanent dies at once, others after their budget; delays double from 500 ms to 30 s
// with a quarter of jitter, so that what failed together does not return together.
func decide(err error, class failure.Class, attempt int, jitter *rand.Rand) Retry {
	budget, ok := budgets[class]
	if !ok {
		budget = defaultBudget
	}
	if failure.Permanent(err) || attempt >= budget {
		return Retry{Dead: true}
	}
	if errors.Is(err, errNewer) {
		return Retry{Delay: newerDelay(attempt)}
	}
	delay := min(500*time.Millisecond<<min(attempt-1, 10), 30*time.Second)
	return Retry{Delay: delay - time.Duration(jitter.Int64N(int64(delay)/4+1))}
}
