"""A device as the sim engine uses it: a simulated GPU (simdevice), or a real one through PyTorch (torchdevice).

`tests/card/contract.py` holds both to the contract, and says where they differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Stats:
    """Bytes, as the allocator counts them. None of it includes the context that the process costs."""

    allocated: int
    reserved: int
    peak_allocated: int
    peak_reserved: int


class Device(Protocol):
    """One device, attached to for the life of the process. Failures are RuntimeErrors with PyTorch's words, simulated or not.

    After an error that is not about memory everything that reaches the device fails, until the process ends: kernels,
    empty_cache, and allocations that the cache can't serve. What the allocator does by itself goes on.
    """

    @property
    def id(self) -> str:
        """The device's name."""

    def alloc(self, size: int) -> int:
        """Take bytes; return a handle. Raises a RuntimeError whose type is named OutOfMemoryError; the device stays usable."""

    def free(self, handle: int) -> None:
        """Give a block back to the allocator, which keeps it."""

    def empty_cache(self) -> None:
        """Give back to the device what the allocator keeps."""

    def reset_peak(self) -> None:
        """Begin new peaks."""

    def stats(self) -> Stats:
        """Return the allocator's figures."""

    def kernel(self, seconds: float = 0.0, fault: str = "") -> None:
        """Compute for so long, synchronised. With a fault the device breaks at the end."""

    def compile(self) -> None:
        """Have a kernel made while it runs, and use it."""
