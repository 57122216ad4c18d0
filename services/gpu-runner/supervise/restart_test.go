package supervise

import (
	"strings"
	"testing"
	"time"
)

func TestBackoffGrowsToItsCapAndHealthResetsIt(t *testing.T) {
	r := NewRestarts(RestartPolicy{Base: time.Second, Cap: 5 * time.Second, HealthyAfter: time.Minute, QuarantineAt: 100})
	now := time.Unix(1000, 0)
	young := End{Ready: true, Lived: time.Second}
	for i, want := range []int{1, 2, 4, 5, 5} {
		if v := r.Next(now, young); v.Delay != time.Duration(want)*time.Second || v.Quarantine || v.Reason == "" {
			t.Errorf("end %d: %+v, want %ds", i, v, want)
		}
	}
	if v := r.Next(now, End{Ready: true, Lived: time.Minute}); v.Delay != 0 {
		t.Errorf("after a healthy life: %+v", v)
	}
	if v := r.Next(now, young); v.Delay != time.Second {
		t.Errorf("backoff wasn't reset by health: %+v", v)
	}
	if v := r.Next(now, End{Ready: true, JobsDone: 1}); v.Delay != 0 {
		t.Errorf("a worker that died of its second job is to blame as little as possible: %+v", v)
	}
}

func TestQuarantineAfterFailedStartsWithinTheWindow(t *testing.T) {
	r := NewRestarts(RestartPolicy{Base: time.Second, QuarantineAt: 3, Window: time.Minute, QuarantineFor: time.Hour})
	now := time.Unix(1000, 0)
	for i := range 4 { // slow failures never fill the window
		if v := r.Next(now.Add(time.Duration(i)*time.Minute), End{}); v.Quarantine {
			t.Fatalf("failure %d, one a minute: %+v", i, v)
		}
	}
	now = now.Add(time.Hour)
	r.Next(now, End{})
	r.Next(now, End{})
	v := r.Next(now, End{})
	if !v.Quarantine || v.Delay != time.Hour || !strings.Contains(v.Reason, "quarantine") {
		t.Fatalf("third failure at once: %+v", v)
	}
	now = now.Add(30 * time.Second)
	if v = r.Next(now, End{}); !v.Quarantine {
		t.Errorf("the start after quarantine failed too, soon: %+v", v)
	}
	r.Forgive()
	if v = r.Next(now, End{}); v.Quarantine || v.Delay != time.Second {
		t.Errorf("after a repair: %+v", v)
	}
}
