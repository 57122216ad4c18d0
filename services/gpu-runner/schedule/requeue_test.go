package schedule

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

// desk is a scheduler with one loaded worker, and no process behind it.
type desk struct {
	s     *Scheduler
	e     *engine
	room  supervise.Room
	queue []supervise.Waiter
}

func newDesk(t *testing.T, metrics prometheus.Registerer) *desk {
	t.Helper()
	return newDeskWith(t, Config{Metrics: metrics})
}

func newDeskWith(t *testing.T, c Config) *desk {
	t.Helper()
	c.GPU, c.Host, c.Log = cards{&card{id: "card-0", total: 24 * gib}}, hostMemory{}, slog.New(slog.DiscardHandler)
	s := New(c)
	admitter, rooms := s.Add(Engine{Name: engineName, GPU: true, Prior: predict.Prior{Resident: resident, Base: reservation, Most: 2 * reservation}})
	s.Measure(t.Context())
	room, err := rooms.Enter(t.Context(), supervise.Place{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	room.Loaded(supervise.Info{PID: 1, Ready: protocol.Ready{Memory: protocol.Memory{DeviceReserved: resident}}})
	return &desk{s: s, e: admitter.(*engine), room: room} //nolint:forcetypeassert // it is
}

func (d *desk) wait(seqs ...uint64) {
	for _, seq := range seqs {
		d.queue = append(d.queue, supervise.Waiter{Seq: seq, Job: supervise.Job{Priority: supervise.Bulk, Need: supervise.Need{Pages: 1}}})
	}
}

// next grants a job to the worker, and takes it out of the queue; 0: to none.
func (d *desk) next(t *testing.T) supervise.Waiter {
	t.Helper()
	g, ok := d.e.Next(supervise.View{Waiting: d.queue, Workers: []supervise.WorkerView{{State: supervise.Idle, Room: d.room}}})
	if !ok || g.Refused != nil {
		t.Fatalf("%+v, %v", g, ok)
	}
	for i, w := range d.queue {
		if w.Seq == g.Seq {
			d.queue = append(d.queue[:i:i], d.queue[i+1:]...)
			return w
		}
	}
	t.Fatalf("%d does not wait", g.Seq)
	return supervise.Waiter{}
}

func TestAJobWhoseWorkerWasGoneKeepsItsPlace(t *testing.T) {
	d := newDesk(t, nil)
	d.wait(1, 2, 3)
	first := d.next(t)
	d.e.Finished(first, supervise.Grant{}, supervise.Usage{}, supervise.ErrGone)
	d.queue = append([]supervise.Waiter{first}, d.queue...) // where the pool puts it
	for want := uint64(1); want <= 3; want++ {
		w := d.next(t)
		if w.Seq != want {
			t.Fatalf("job %d goes before job %d", w.Seq, want)
		}
		d.e.Finished(w, supervise.Grant{}, supervise.Usage{}, nil)
	}
	if b := d.s.Snapshot()[0]; b.Jobs != 0 || b.Reserved != 0 || len(d.e.served) != 0 {
		t.Errorf("%+v, %d known", b, len(d.e.served))
	}
}

// Its worker may have left the books before the job came back: then it waits anew, and isn't forgotten.
func TestAJobWhoseWorkerHasLeftTheBooksIsNotForgotten(t *testing.T) {
	d := newDesk(t, nil)
	d.wait(1)
	w := d.next(t)
	d.s.mu.Lock()
	d.s.release(d.room.(*room)) //nolint:forcetypeassert // it is
	d.s.mu.Unlock()
	d.e.Finished(w, supervise.Grant{}, supervise.Usage{}, supervise.ErrGone)
	d.queue = append(d.queue, w)
	if g, ok := d.e.Next(supervise.View{Waiting: d.queue}); ok {
		t.Fatalf("%+v", g)
	}
	if why := d.e.Why(supervise.View{}, w); !strings.Contains(why, "no worker of null is loaded") {
		t.Errorf("%q", why)
	}
}

// What conversions were seen to take is known to the next process: it is in JetStream.
func TestWhatWasLearnedSurvivesARestart(t *testing.T) {
	broker, _ := pipelinetest.NATS(t)
	before := newDeskWith(t, Config{Store: broker})
	key := predict.Key{Engine: engineName, Version: before.e.version, Model: "scripted", Scale: 1}
	prior := before.s.predictor.Need(key, predict.Size{Pages: 1})
	for seq := range uint64(50) {
		before.wait(seq + 1)
		before.e.Finished(before.next(t), supervise.Grant{}, supervise.Usage{
			Ready: protocol.Memory{DeviceReserved: resident}, Peak: protocol.Peak{PeakDevice: resident + reservation/8},
		}, nil)
	}
	learned := before.s.predictor.Need(key, predict.Size{Pages: 1})
	if learned.Usual >= prior.Usual {
		t.Fatalf("nothing was learned: %d, then %d", prior.Usual, learned.Usual)
	}
	before.s.remember(t.Context())
	after := newDeskWith(t, Config{Store: broker})
	after.s.recall(t.Context())
	if got := after.s.predictor.Need(key, predict.Size{Pages: 1}); got != learned {
		t.Errorf("%+v after a restart, %+v before", got, learned)
	}
}

func TestPredictionIsShownAgainstOutcome(t *testing.T) {
	registry := prometheus.NewRegistry()
	d := newDesk(t, registry)
	d.wait(1)
	w := d.next(t)
	d.e.Finished(w, supervise.Grant{}, supervise.Usage{
		Ready: protocol.Memory{DeviceReserved: resident}, Peak: protocol.Peak{PeakDevice: resident + reservation/4},
	}, nil)
	want := `
# HELP pdfmill_memory_used_ratio Peak of a conversion's memory, as a part of what was reserved for it.
# TYPE pdfmill_memory_used_ratio histogram
`
	for _, le := range []string{"0.1", "0.2"} {
		want += `pdfmill_memory_used_ratio_bucket{engine="null",le="` + le + `"} 0` + "\n"
	}
	for _, le := range []string{"0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1", "1.1", "1.25", "1.5", "2", "3", "5", "10", "+Inf"} {
		want += `pdfmill_memory_used_ratio_bucket{engine="null",le="` + le + `"} 1` + "\n"
	}
	want += `pdfmill_memory_used_ratio_sum{engine="null"} 0.25` + "\n" + `pdfmill_memory_used_ratio_count{engine="null"} 1` + "\n"
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "pdfmill_memory_used_ratio"); err != nil {
		t.Error(err)
	}
}
