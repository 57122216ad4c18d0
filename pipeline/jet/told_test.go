package jet_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/jet"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
)

// TestEachEventIsReadOnce, however many messages come again: a look at all later events for each of them, one event a request, would take hours.
func TestEachEventIsReadOnce(t *testing.T) {
	defer jet.SetRemembered(0)()
	b, _ := pipelinetest.NATS(t)
	const before, after = 20, 300
	for i := range before + after {
		publish(t, b, converted(testJob(fmt.Sprint(i))))
	}
	var times []time.Time
	for a, err := range b.Events(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, a.Time)
	}
	made, err := jet.Conn(b).SubscribeSync("$JS.API.CONSUMER.CREATE." + jet.StreamEvents + ".>")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(name string, since time.Time, want bool, consumers int) {
		t.Helper()
		was, _, _ := made.Pending()
		if over, err := b.Over(t.Context(), testJob(name), since); err != nil || over != want {
			t.Errorf("%s since %s: %t, %v; want %t", name, since, over, err, want)
		}
		if err := jet.Conn(b).Flush(); err != nil {
			t.Fatal(err)
		}
		if is, _, _ := made.Pending(); is-was != consumers {
			t.Errorf("%s since %s: %d consumers were made, want %d", name, since, is-was, consumers)
		}
	}
	middle := times[before]
	ask("nobody", middle, false, 1)
	ask("20", middle, true, 0)
	ask("319", middle, true, 0)
	ask("19", middle, false, 0)
	ask("0", times[0], true, 1) // what is between the two
	ask("19", times[0], true, 0)
	ask("320", times[0], false, 0)
	publish(t, b, converted(testJob("320")))
	ask("320", middle, true, 1) // what is new
	ask("nobody", middle, false, 0)
}
