"""A process on a simulated GPU: the client of the gpusim broker, which keeps the memory that several processes share."""

from __future__ import annotations

import json
import socket
from typing import Any

from .device import Stats


class OutOfMemoryError(RuntimeError):
    """The device has no room. Named as PyTorch names it."""


class SimDevice:
    """One simulated device: see `device.Device`."""

    def __init__(self, path: str, device: str, *, expandable: bool) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")
        self.id: str = self._do(op="attach", device=device, expandable=expandable)["device"]

    def alloc(self, size: int) -> int:
        """Take memory; return a handle. Raises OutOfMemoryError."""
        handle: int = self._do(op="alloc", bytes=size)["handle"]
        return handle

    def free(self, handle: int) -> None:
        """Give a block back to the allocator, which keeps it."""
        self._do(op="free", handle=handle)

    def empty_cache(self) -> None:
        """Give back to the device what the allocator keeps."""
        self._do(op="empty_cache")

    def reset_peak(self) -> None:
        """Begin new peaks."""
        self._do(op="reset_peak")

    def stats(self) -> Stats:
        """Return the allocator's figures."""
        return Stats(**self._do(op="stats")["stats"])

    def kernel(self, seconds: float = 0.0, fault: str = "") -> None:
        """Compute, synchronised. With a fault the device breaks at the end."""
        self._do(op="kernel", seconds=seconds, fault=fault)

    def compile(self) -> None:
        """Compute: there is nothing to be made."""
        self.kernel()

    def _do(self, **request: object) -> dict[str, Any]:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        line = self._lines.readline()
        if not line:
            raise RuntimeError("CUDA error: the simulated device is gone")
        answer: dict[str, Any] = json.loads(line)
        if problem := answer.get("error"):
            raise OutOfMemoryError(problem) if answer.get("oom") else RuntimeError(problem)
        return answer
