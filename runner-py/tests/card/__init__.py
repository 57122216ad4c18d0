"""What holds for real GPUs and for simulated ones: run by the Go tests of gpu-runner, which have the broker."""
