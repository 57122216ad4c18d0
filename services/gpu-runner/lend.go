package gpurunner

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/pdfmill/pdfmill/pipeline/event"
)

// lender answers requests for the GPUs, over NATS.
type lender struct{ *Service }

func (l *lender) Name() string { return "lender" }

func (l *lender) Run(ctx context.Context) error {
	return l.platform.Broker.Answer(ctx, event.SubjectGPU, l.answer)
}

// host names this machine in answers.
func host() string {
	name, _ := os.Hostname() // an unknown host is an empty one
	return name
}

// answer does what a request asks for. It returns when the memory is really free, or when ctx ends.
func (l *lender) answer(ctx context.Context, data []byte) any {
	var r event.GPURequest
	if err := json.Unmarshal(data, &r); err != nil {
		return event.GPUAnswer{Host: host(), Error: fmt.Sprintf("the request is not understood: %v", err)}
	}
	a := event.GPUAnswer{Host: host()}
	if r.Host != "" && r.Host != a.Host {
		r.Action = event.GPUStatus
	}
	switch r.Action {
	case event.GPULend:
		if r.Seconds <= 0 || r.Seconds > event.LongestLoan.Seconds() {
			a.Error = fmt.Sprintf("seconds is %g: a loan lasts more than 0 and at most %g", r.Seconds, event.LongestLoan.Seconds())
			break
		}
		loan, err := l.scheduler.Lend(ctx, r.Device, time.Duration(r.Seconds*float64(time.Second)))
		if err != nil {
			a.Error = err.Error()
		}
		if len(loan.Devices) > 0 {
			a.Until, a.Free = loan.Until, loan.Free
		}
	case event.GPUReturn:
		l.scheduler.TakeBack(r.Device)
	case event.GPUStatus:
	default:
		a.Error = fmt.Sprintf("action %q is none of %s, %s, %s", r.Action, event.GPULend, event.GPUReturn, event.GPUStatus)
	}
	for _, d := range l.scheduler.Snapshot() {
		a.Devices = append(a.Devices, event.GPUDevice{
			ID: d.Device, Model: d.Model, Kind: d.Kind, Total: d.Total, Used: d.Used, Strangers: d.Strangers, Residents: d.Residents, Reserved: d.Reserved,
			Free: d.Free, Workers: d.Workers, Jobs: d.Jobs, Closed: d.Closed,
		})
	}
	return a
}
