package predict

import "github.com/pdfmill/pdfmill/services/gpu-runner/ledger"

// Pressure is how often a conversion has run out of memory.
type Pressure int

// On makes a job ask for what that calls for, in this order: all that it may ever need, the device for itself, smaller batches.
func (p Pressure) On(j ledger.Job) ledger.Job {
	if need := j.Need; p >= 1 {
		j.Need = func(device string, scale float64) ledger.Need {
			n := need(device, scale)
			n.Usual = max(n.Usual, n.Most)
			return n
		}
	}
	j.Alone = p >= 2
	if p >= 3 {
		j.MaxScale = 0.5
	}
	return j
}
