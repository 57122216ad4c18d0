// Package gpusim simulates GPUs that several processes share, where there is none: a broker on a unix socket keeps the memory of its devices, and each
// connection is one process on one device. It is used by tests and benchmarks, and by the runner's engine `sim`, which runs only when asked for by
// name.
//
// What is simulated is what hurts: the context that each process costs; an allocator that caches (it reserves more than it was asked for, fragments,
// and gives back only whole free segments); memory that is released a moment after its process has ended; strangers; running out at the true limit;
// faults that leave a process unusable until it ends, as a device-side assert does; lost devices; slow and hung kernels.
//
// The protocol is one JSON object a line, request and answer in turn: see Request and Answer. Errors are worded as PyTorch words them.
package gpusim
