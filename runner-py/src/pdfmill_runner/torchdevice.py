"""A process on a real GPU, through PyTorch: the sim engine's memory and faults are real there, its models are not."""

from __future__ import annotations

import os
import time
from typing import Any

from .device import Stats

WORK = 4 << 20  # numbers that a kernel works on; 16 MiB
ASSERT = "assert"
HANG = "hang"


class TorchDevice:
    """The first visible GPU: see `device.Device`. Of the faults it can cause a device-side assert and work without end."""

    def __init__(self) -> None:
        import torch  # noqa: PLC0415 - only who asks for it pays for it

        self._torch = torch
        self._blocks: dict[int, Any] = {}
        self._next = 0
        self._work = torch.zeros(WORK, device="cuda")
        self.kernel()

    @property
    def id(self) -> str:
        """The device's name."""
        return os.environ.get("CUDA_VISIBLE_DEVICES") or "cuda:0"

    def alloc(self, size: int) -> int:
        """Take memory; return a handle."""
        block = self._torch.empty(size, dtype=self._torch.uint8, device="cuda")
        self._next += 1
        self._blocks[self._next] = block
        return self._next

    def free(self, handle: int) -> None:
        """Give a block back to the allocator, which keeps it."""
        del self._blocks[handle]

    def empty_cache(self) -> None:
        """Give back to the device what the allocator keeps."""
        self._torch.cuda.empty_cache()

    def reset_peak(self) -> None:
        """Begin new peaks."""
        self._torch.cuda.reset_peak_memory_stats()

    def stats(self) -> Stats:
        """Return the allocator's figures."""
        cuda = self._torch.cuda
        return Stats(cuda.memory_allocated(), cuda.memory_reserved(), cuda.max_memory_allocated(), cuda.max_memory_reserved())

    def kernel(self, seconds: float = 0.0, fault: str = "") -> None:
        """Compute until the time is over, at least once."""
        end = time.monotonic() + seconds
        while True:
            self._work.add_(1)
            self._torch.cuda.synchronize()
            if fault != HANG and time.monotonic() >= end:
                break
        if fault == ASSERT:
            self._look_outside()
            self._torch.cuda.synchronize()
        elif fault:
            raise NotImplementedError(f"no {fault} can be caused on a real device")

    def compile(self) -> None:
        """Have a kernel made while it runs, as `torch.compile` does: by Triton, a C compiler and the driver."""
        twice = self._torch.compile(lambda numbers: numbers * 2 + 1)
        if twice(self._torch.ones(WORK, device="cuda")).sum().item() != 3 * WORK:
            raise RuntimeError("a compiled kernel computes something else")

    def _look_outside(self) -> None:
        """Read an element that isn't there: the kernel asserts, and the context is gone."""
        self._work[self._torch.full((1,), WORK, device="cuda", dtype=self._torch.int64)]
