package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pdfmill/pdfmill/pipeline/failure"
	"github.com/pdfmill/pdfmill/pipeline/pipelinetest"
	"github.com/pdfmill/pdfmill/services/gpu-runner/devices"
	"github.com/pdfmill/pdfmill/services/gpu-runner/fakechild"
	"github.com/pdfmill/pdfmill/services/gpu-runner/predict"
	"github.com/pdfmill/pdfmill/services/gpu-runner/protocol"
	"github.com/pdfmill/pdfmill/services/gpu-runner/supervise"
)

func TestStrangersTakeFromIdleWorkersFirstThenStopAdmissionAndWorkersComeBack(t *testing.T) {
	one := &card{}
	r := newRig(t, nil, one)
	r.full(3)
	running := r.convert("running", "slower.pdf", supervise.Bulk)
	busy := r.runs("running")

	// 23 are ours less 10: two workers, a job, and the 3 by which it may exceed what is reserved for it.
	one.set(func(c *card) { c.strangers = 10 * gib })
	pipelinetest.Eventually(t, "one idle worker has left", func() bool { return r.device(0).Workers == 2 && r.device(0).Free >= 0 })
	one.set(func(c *card) { c.strangers = 14 * gib }) // one worker and its job
	pipelinetest.Eventually(t, "the other idle one has left too", func() bool { return r.device(0).Workers == 1 })
	if now := r.runs("running"); now != busy {
		t.Fatalf("a worker with a job was taken for a stranger: %d, then %d", busy, now)
	}
	waiting := r.convert("waiting", "a.pdf", supervise.Bulk)
	one.set(func(c *card) { c.strangers = 23 * gib })
	pipelinetest.Eventually(t, "the books know", func() bool { return r.device(0).Strangers == 23*gib })
	r.open("slower")
	r.good(running)
	pipelinetest.Eventually(t, "nobody is left, and the job waits", func() bool { return r.device(0).Workers == 0 && r.waits("waiting") })
	if d := r.device(0); d.Jobs != 0 || d.Reserved != 0 {
		t.Errorf("admitted although there is no room: %+v", d)
	}
	if why := r.why("waiting"); !strings.Contains(why, "strangers") {
		t.Errorf("why does it wait? %q", why)
	}
	one.set(func(c *card) { c.strangers = 0 })
	if e := r.good(waiting); e.Info.PID == busy {
		t.Error("it was done by a worker that had left")
	}
}

func TestAnIdleWorkerLeavesTheCardAndComesBackOnDemand(t *testing.T) {
	one := &card{}
	r := newRig(t, func(c *Config, _ *supervise.PoolConfig) { c.IdleUnload = 20 * time.Millisecond }, one)
	first := r.good(r.convert("first", "a.pdf", supervise.Bulk))
	pipelinetest.Eventually(t, "it has left", func() bool { return r.device(0).Workers == 0 && len(one.living()) == 0 })
	if r.log.count("was idle for") == 0 || !r.s.Unloaded(engineName) {
		t.Errorf("unloaded %t, log %q", r.s.Unloaded(engineName), r.log.all.String())
	}
	if again := r.good(r.convert("again", "a.pdf", supervise.Bulk)); again.Info.PID == first.Info.PID {
		t.Error("it never left")
	}
	running := r.convert("long", "slower.pdf", supervise.Bulk)
	pid := r.runs("long")
	pipelinetest.Eventually(t, "time enough has passed", func() bool {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		for _, room := range r.s.rooms {
			return room.info.PID == pid && time.Since(room.used) > 10*r.s.cfg.IdleUnload
		}
		return false
	})
	r.open("slower")
	if e := r.good(running); e.Info.PID != pid {
		t.Error("a worker with a job was taken for an idle one")
	}
}

func TestALazyEngineStartsNothingBeforeThereIsWork(t *testing.T) {
	one := &card{lazy: true}
	r := newRig(t, nil, one)
	if !r.s.Unloaded(engineName) {
		t.Error("it counts as not ready, though nobody has asked for it")
	}
	r.s.mu.Lock()
	if r.s.engines[engineName].first() {
		t.Error("a process would start to show that it can")
	}
	r.s.mu.Unlock()
	r.good(r.convert("first", "a.pdf", supervise.Bulk))
	if len(one.living()) != 1 {
		t.Errorf("%d processes for one job", len(one.living()))
	}
}

func TestADeviceOnWhichWorkersKeepDyingIsQuarantinedAndTriedAgain(t *testing.T) {
	registry := prometheus.NewRegistry()
	sick := &card{child: fakechild.Config{FailStarts: 4}}
	r := newRig(t, func(c *Config, p *supervise.PoolConfig) {
		sick.child.StateFile = sick.pids + ".starts"
		c.Metrics = registry
		c.Health = supervise.RestartPolicy{Base: time.Microsecond, Cap: time.Microsecond, QuarantineAt: 3, QuarantineFor: 300 * time.Millisecond}
	}, sick)
	done := r.convert("refused", "a.pdf", supervise.Bulk)
	pipelinetest.Eventually(t, "the device is in quarantine", func() bool { return r.device(0).Quarantined })
	if e := <-done; failure.ClassOf(e.err, "") != failure.Unhealthy || !strings.Contains(e.err.Error(), "every device is in quarantine: card-0") {
		t.Errorf("a job for which there is no device: %v", e.err)
	}
	if r.log.count("level=ERROR msg=\"device in quarantine") == 0 {
		t.Error("nobody was told")
	}
	if d := r.device(0); !strings.Contains(d.Closed, "quarantine") {
		t.Errorf("%+v", d)
	}
	// Each quarantine ends by itself, one start is tried then; after the second they go well.
	pipelinetest.Eventually(t, "it is used again", func() bool {
		e := <-r.convert("again", "a.pdf", supervise.Bulk)
		return e.err == nil
	})
	if n := testutil.ToFloat64(r.s.metrics.quarantines.WithLabelValues("card-0")); n != 2 {
		t.Errorf("%g quarantines", n)
	}
	if d := r.device(0); d.Quarantined || d.Closed != "" {
		t.Errorf("%+v", d)
	}
}

func TestJobsOfAQuarantinedDeviceGoElsewhere(t *testing.T) {
	sick, well := &card{child: fakechild.Config{At: map[fakechild.Step]fakechild.Fault{fakechild.AtReady: fakechild.ExitWith(3)}}}, &card{}
	well.strangers = 23 * gib // at first there is room on the sick one alone
	r := newRig(t, func(c *Config, p *supervise.PoolConfig) {
		c.Health = supervise.RestartPolicy{Base: time.Microsecond, Cap: time.Microsecond, QuarantineAt: 2, QuarantineFor: time.Hour}
	}, sick, well)
	pipelinetest.Eventually(t, "the sick one is in quarantine", func() bool { return r.device(0).Quarantined })
	well.set(func(c *card) { c.strangers = 0 })
	for range 3 {
		r.good(r.convert("job", "a.pdf", supervise.Bulk))
	}
	if a, b := r.device(0), r.device(1); a.Workers != 0 || b.Workers == 0 {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestADriverThatHidesProcessesIsWorkedAroundAndThatIsSaid(t *testing.T) {
	one := &card{}
	one.hidden = true
	r := newRig(t, func(c *Config, _ *supervise.PoolConfig) { c.Context = resident }, one) // what workers say of themselves is nothing
	for range 3 {
		r.good(r.convert("job", "a.pdf", supervise.Bulk))
	}
	pipelinetest.Eventually(t, "the worker's memory isn't taken for a stranger's", func() bool {
		d := r.device(0)
		return d.Workers == 1 && d.Measured == "estimated" && d.Strangers == 0 && d.Residents == resident
	})
	if n := r.log.count("the driver hides what processes hold"); n != 1 {
		t.Errorf("said %d times: %s", n, r.log.all.String())
	}
	one.set(func(c *card) { c.strangers = 20 * gib })
	pipelinetest.Eventually(t, "a stranger is seen all the same, and the idle worker makes room", func() bool { return r.device(0).Workers == 0 })
	waiting := r.convert("waiting", "a.pdf", supervise.Bulk)
	pipelinetest.Eventually(t, "it waits for the stranger", func() bool { return strings.Contains(r.why("waiting"), "strangers") })
	one.set(func(c *card) { c.strangers = 0 })
	r.good(waiting)
}

func TestAWorkerThatGrowsIsReplaced(t *testing.T) {
	one := &card{}
	r := newRig(t, nil, one)
	before := r.good(r.convert("before", "a.pdf", supervise.Bulk)).Info.PID
	r.measured("before", resident)
	one.set(func(c *card) { c.each = resident + gib - 1 })
	pipelinetest.Eventually(t, "its growth is in the books", func() bool { return r.device(0).Residents == resident+gib-1 })
	if pid := r.good(r.convert("still", "a.pdf", supervise.Bulk)).Info.PID; pid != before {
		t.Error("replaced before it has grown by the limit")
	}
	one.set(func(c *card) { c.each = resident + gib })
	pipelinetest.Eventually(t, "it has left", func() bool {
		return r.log.count("has grown from 4 GiB to 5 GiB") > 0 || strings.Contains(r.reasons(), "has grown")
	})
	one.set(func(c *card) { c.each = resident })
	if pid := r.good(r.convert("after", "a.pdf", supervise.Bulk)).Info.PID; pid == before {
		t.Error("the same process")
	}
}

// What a job took is given back a moment after its result: until then it is nobody's to give away, and no growth of the worker.
func TestWhatAJobLeavesForAMomentIsNoGrowth(t *testing.T) {
	one := &card{}
	r := newRig(t, func(c *Config, _ *supervise.PoolConfig) { c.Settle = time.Hour }, one)
	before := r.good(r.convert("before", "a.pdf", supervise.Bulk)).Info.PID
	r.measured("before", resident)
	one.set(func(c *card) { c.each = resident + 3*gib })
	pipelinetest.Eventually(t, "it is seen", func() bool { return r.device(0).Strangers == 3*gib })
	if d := r.device(0); d.Residents != resident || d.Free != 23*gib-resident-3*gib {
		t.Errorf("%+v", d)
	}
	one.set(func(c *card) { c.each = resident })
	pipelinetest.Eventually(t, "it is over", func() bool { return r.device(0).Strangers == 0 })
	if after := r.good(r.convert("after", "a.pdf", supervise.Bulk)).Info.PID; after != before || r.log.count("has grown") > 0 {
		t.Errorf("replaced: %d, then %d", before, after)
	}
}

// overtaken is a meter whose reading is older than it seems: a worker gets ready while it is on its way.
type overtaken struct {
	cards
	meanwhile func()
}

func (o *overtaken) Read(ctx context.Context) ([]devices.Reading, error) {
	list, err := o.cards.Read(ctx)
	if o.meanwhile != nil {
		list[0].Processes = map[int]int64{1: 2 * gib}
		o.meanwhile()
	}
	return list, err
}

func TestAReadingFromBeforeAWorkerWasLoadedSaysNothingOfIt(t *testing.T) {
	meter := &overtaken{cards: cards{&card{id: "card-0", total: 24 * gib}}}
	s := New(Config{GPU: meter, Host: hostMemory{}, Log: slog.New(slog.DiscardHandler)})
	_, rooms := s.Add(Engine{Name: engineName, GPU: true, Prior: predict.Prior{Resident: resident, Base: reservation, Most: resident}})
	s.Measure(t.Context())
	entered, err := rooms.Enter(t.Context(), supervise.Place{Name: "w"})
	if err != nil {
		t.Fatal(err)
	}
	meter.meanwhile = func() {
		entered.Loaded(supervise.Info{PID: 1, Ready: protocol.Ready{Memory: protocol.Memory{DeviceReserved: resident}}})
	}
	s.Measure(t.Context())
	one := entered.(*room) //nolint:forcetypeassert // it is
	if held, _ := s.gpu.Held(one.holder); one.baseline != 0 || held < resident {
		t.Errorf("half of the models are taken for the baseline: %d, held %d", one.baseline, held)
	}
}

func TestALentCardIsReallyFreeAndComesBack(t *testing.T) {
	one := &card{}
	r := newRig(t, nil, one)
	r.full(2)
	running := r.convert("running", "slower.pdf", supervise.Bulk)
	lent := make(chan Loan, 1)
	go func() {
		loan, err := r.s.Lend(context.WithoutCancel(t.Context()), "", time.Hour)
		if err != nil {
			t.Error(err)
		}
		lent <- loan
	}()
	pipelinetest.Eventually(t, "the idle worker has left, the other finishes its job", func() bool { return r.device(0).Workers == 1 })
	if len(lent) != 0 {
		t.Fatal("lent, with a job in hand")
	}
	waiting := r.convert("waiting", "a.pdf", supervise.Bulk)
	if why := r.why("waiting"); !strings.Contains(why, "lent until") {
		t.Errorf("why does it wait? %q", why)
	}
	r.open("slower")
	r.good(running)
	if loan := <-lent; loan.Free != 24*gib || len(one.living()) != 0 || len(loan.Devices) != 1 {
		t.Errorf("%+v, alive %v", loan, one.living())
	}
	if !r.waits("waiting") {
		t.Error("started on a lent card")
	}
	r.s.TakeBack("")
	r.good(waiting)
	// A loan ends by itself, too.
	_, _ = r.s.Lend(t.Context(), r.cards[0].id, 50*time.Millisecond) // whether the memory was free before that is a matter of luck
	r.good(r.convert("after", "a.pdf", supervise.Bulk))
	if _, err := r.s.Lend(t.Context(), "no such card", time.Hour); err == nil {
		t.Error("a card that isn't there was lent")
	}
	again := r.convert("again", "a.pdf", supervise.Suspect)
	r.good(again)
	r.good(r.convert("idle from now on", "a.pdf", supervise.Bulk))
	late, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("nobody waits"))
	if loan, err := r.s.Lend(late, "", time.Hour); err == nil || loan.Until.IsZero() {
		t.Errorf("%+v, %v: whoever gives up waiting has the card all the same", loan, err)
	}
	r.s.TakeBack("")
	// Who waits for a loan that is taken back is told so.
	busy := r.convert("busy", "endless.pdf", supervise.Bulk)
	result := make(chan error, 1)
	go func() { _, err := r.s.Lend(context.WithoutCancel(t.Context()), "", time.Hour); result <- err }()
	pipelinetest.Eventually(t, "the loan stands", func() bool { return strings.Contains(r.device(0).Closed, "lent") })
	r.s.TakeBack("")
	if err := <-result; err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Errorf("%v", err)
	}
	r.open("endless")
	r.good(busy)
}

// A page that trips an assert makes the driver report Xid 43: nobody is to be woken for that, as for an error of the device.
func TestWhatAProcessDoesToItselfIsNoAlarm(t *testing.T) {
	one := &card{}
	r := newRig(t, nil, one)
	for _, c := range []struct {
		xid  uint64
		line string
	}{
		{43, "level=INFO msg=\"a process has broken its own context on a device\" device=card-0 xid=43"},
		{79, "level=ERROR msg=\"the driver reports errors of a device\" device=card-0 xid=79"},
	} {
		one.set(func(card *card) { card.xids = append(card.xids, c.xid) })
		pipelinetest.Eventually(t, "it is told of", func() bool { return r.log.count("xid="+fmt.Sprint(c.xid)) > 0 })
		if r.log.count(c.line) != 1 {
			t.Errorf("%d: %s", c.xid, r.log.all.String())
		}
	}
	if d := r.device(0); d.Closed != "" || d.Quarantined {
		t.Errorf("%+v", d)
	}
}
