// Package ledger keeps the books of device memory: what each device has, who holds how much of it, and what may start now. It is pure: no I/O, no
// clock, no goroutine, no lock. Facts come in (a device, what strangers hold, what a worker was measured to hold), decisions go out (this job on that
// worker, unload those, this one waits because …). All sizes are bytes.
//
// The invariant, per device:
//
//	total − reserve − strangers  ≥  Σ resident(worker) + Σ reservation(job) + surge
//
// A resident is what a worker holds while it does nothing, a reservation what a job usually adds to its worker's resident. The surge is what the one
// job that may exceed its reservation by most may exceed it by: peaks have heavy tails, and what is rare is kept once a device, not once a job. Load and
// Next, the only decisions that take memory, never make it false. Facts may: strangers grow, a worker turns out to be larger than was booked, a job
// exceeds its reservation. The difference is then the device's debt. While there is debt nothing is loaded or admitted on the device, and Evict names idle workers until it is paid. Jobs that run
// are never cut short: their workers are named when they end.
//
// Nobody waits for ever. Small jobs may overtake a large one, and urgent ones a patient one, but each time is counted for whoever was first in its
// row, and once it has been overtaken as often as its lane allows, it claims a device: nobody else gets anything there until it has run.
package ledger
