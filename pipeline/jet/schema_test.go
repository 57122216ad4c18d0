package jet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/failure"
)

func TestAMessageOfALaterVersionWaitsForAnUpgrade(t *testing.T) {
	newer := failure.New(failure.Unhealthy, "read message", "pdf.ingested", fmt.Errorf("%w: 2", errNewer))
	var total time.Duration
	for attempt := 1; ; attempt++ {
		retry := decide(newer, failure.ClassOf(newer, ""), attempt, rand.New(rand.NewPCG(1, 2)))
		if retry.Dead {
			if attempt >= MaxDeliver {
				t.Errorf("it is given up at delivery %d, behind the broker's fence", attempt)
			}
			break
		}
		total += retry.Delay
	}
	if total < 15*time.Minute || total > time.Hour {
		t.Errorf("it waits %s before it is a dead letter", total)
	}
}
