package gpurunner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pdfmill/pdfmill/pipeline/event"
	"github.com/pdfmill/pdfmill/services/gpu-runner/gpusim"
)

func TestTheLenderDoesWhatIsAskedOfItsHostAndSaysWhatItDoesNotUnderstand(t *testing.T) {
	p := newPlant(t, nil, gpusim.DeviceConfig{Total: 24 * gib})
	l := &lender{p.Service}
	ask := func(r any) event.GPUAnswer {
		data, ok := r.(string)
		if !ok {
			raw, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			data = string(raw)
		}
		return l.answer(t.Context(), []byte(data)).(event.GPUAnswer)
	}
	for _, c := range []struct {
		request any
		fault   string
	}{
		{"{", "not understood"},
		{event.GPURequest{Action: "steal"}, `"steal" is none of lend, return, status`},
		{event.GPURequest{Action: event.GPULend}, "seconds is 0"},
		{event.GPURequest{Action: event.GPULend, Seconds: 86401}, "at most 86400"},
		{event.GPURequest{Action: event.GPULend, Seconds: 1, Device: "sim-7"}, `no GPU "sim-7"`},
		{event.GPURequest{Action: event.GPULend, Seconds: 60, Host: "another"}, ""},
		{event.GPURequest{Action: event.GPUStatus}, ""},
	} {
		a := ask(c.request)
		if a.Host != host() || (c.fault == "") != (a.Error == "") || !strings.Contains(a.Error, c.fault) || !a.Until.IsZero() {
			t.Errorf("%+v: %+v", c.request, a)
		}
	}
	if d := p.device(); d.Closed != "" {
		t.Fatalf("lent: %+v", d)
	}
	a := ask(event.GPURequest{Action: event.GPULend, Seconds: 60, Host: host(), Device: "sim-0"})
	if a.Error != "" || a.Until.IsZero() || a.Free != 24*gib || a.Devices[0].Workers != 0 || !strings.HasPrefix(a.Devices[0].Closed, "lent") {
		t.Errorf("%+v", a)
	}
	if a := ask(event.GPURequest{Action: event.GPUReturn}); a.Error != "" || a.Devices[0].Closed != "" {
		t.Errorf("%+v", a)
	}
}
