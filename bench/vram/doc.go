// Command vram asks what accounting for device memory is worth: it runs days of conversions in simulated time, under the ledger and the predictor that
// the gpu-runner uses, and under pools of a fixed number of workers, and compares memory errors, lost work and pages an hour. See docs/vram.md.
//
// Sizes are bytes and times are seconds of simulated time, unless a name says otherwise.
package main
