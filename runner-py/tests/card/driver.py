"""What the driver says of a device: the real one's, or a gpusim broker's."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Reading:
    total: int
    used: int
    processes: dict[int, int] | None  # by pid; None: the driver doesn't say

    @property
    def free(self) -> int:
        return self.total - self.used


class NVML:
    def __init__(self) -> None:
        import pynvml  # noqa: PLC0415 - only where there is a card

        pynvml.nvmlInit()
        self._lib = pynvml
        name = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        self._device = pynvml.nvmlDeviceGetHandleByUUID(name) if "-" in name else pynvml.nvmlDeviceGetHandleByIndex(0)

    def facts(self) -> dict[str, Any]:
        return {"driver": self._lib.nvmlSystemGetDriverVersion(), "device": self._lib.nvmlDeviceGetName(self._device)}

    def read(self) -> Reading:
        memory = self._lib.nvmlDeviceGetMemoryInfo(self._device)
        held: dict[int, int] | None = {}
        try:
            for process in self._lib.nvmlDeviceGetComputeRunningProcesses(self._device):
                if process.usedGpuMemory is None:
                    held = None
                    break
                assert held is not None
                held[process.pid] = process.usedGpuMemory
        except self._lib.NVMLError:
            held = None
        return Reading(memory.total, memory.used, held)


class Broker:
    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")

    def facts(self) -> dict[str, Any]:
        return {"driver": "gpusim"}

    def read(self) -> Reading:
        self._socket.sendall(b'{"op":"read"}\n')
        device = json.loads(self._lines.readline())["devices"][0]
        return Reading(device["total"], device["used"], {int(pid): held for pid, held in device["processes"].items()})
