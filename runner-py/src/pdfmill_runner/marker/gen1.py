"""Marker 1.10.x: five models of its own in every process.

Imports torch, surya and marker: imported when the engine loads.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from marker.models import create_model_dict
from surya.settings import settings

from pdfmill_runner.engine import DeviceMemory
from pdfmill_runner.failures import EngineError, FailureClass
from pdfmill_runner.marker import weights

if TYPE_CHECKING:
    from pdfmill_runner.engine import Progress

NUMBER = 1

# Batch sizes at scale 1: on a device those of marker's own command for several workers a card, on a CPU its defaults.
_CUDA = {
    "layout_batch_size": 12,
    "detection_batch_size": 8,
    "table_rec_batch_size": 12,
    "ocr_error_batch_size": 12,
    "recognition_batch_size": 64,
    "equation_batch_size": 16,
}
_CPU = {
    "layout_batch_size": 6,
    "detection_batch_size": 4,
    "table_rec_batch_size": 6,
    "ocr_error_batch_size": 4,
    "recognition_batch_size": 32,
    "equation_batch_size": 16,
}
_CHECKPOINTS = {
    "layout": "LAYOUT_MODEL_CHECKPOINT",
    "recognition": "RECOGNITION_MODEL_CHECKPOINT",
    "table_rec": "TABLE_REC_MODEL_CHECKPOINT",
    "detection": "DETECTOR_MODEL_CHECKPOINT",
    "ocr_error": "OCR_ERROR_MODEL_CHECKPOINT",
}
_DTYPES = ("float32", "float16", "bfloat16")


class Resident:
    """The models, and the device they are on."""

    def __init__(self) -> None:
        """Load them from local storage: some seconds.

        Raises EngineError engine-missing when weights are not there: a worker never downloads.
        """
        _check_allocator()
        for role, checkpoint in self.checkpoints().items():
            _check_weights(role, checkpoint)
        threads = os.environ.get("OMP_NUM_THREADS", "")
        if threads.isdecimal():
            torch.set_num_threads(int(threads))
        dtype = os.environ.get("PDFMILL_MARKER_DTYPE") or None
        if dtype is not None and dtype not in _DTYPES:
            raise EngineError(
                FailureClass.ENGINE_MISSING, f"PDFMILL_MARKER_DTYPE is {dtype!r:.80}, want one of {', '.join(_DTYPES)}"
            )
        self.models: dict[str, Any] = create_model_dict(
            device=settings.TORCH_DEVICE_MODEL,
            dtype=getattr(torch, dtype) if dtype else None,
            attention_implementation=os.environ.get("PDFMILL_MARKER_ATTENTION") or None,
        )

    @property
    def device(self) -> str:
        """Where the models are, as torch names it."""
        name = str(settings.TORCH_DEVICE_MODEL)
        return f"cuda:{torch.cuda.current_device()}" if name == "cuda" else name

    def checkpoints(self) -> dict[str, str]:
        """Return what each model was loaded from."""
        return {role: str(getattr(settings, name)) for role, name in _CHECKPOINTS.items()}

    def config(self, scale: float) -> dict[str, Any]:
        """Return marker's batch sizes, scaled."""
        sizes = _CUDA if self.device.startswith("cuda") else _CPU
        return {name: max(1, round(size * scale)) for name, size in sizes.items()}

    def healthy(self) -> str:
        """Compute something on the device, wait for it and check it. Raises what torch raises."""
        total = float(torch.ones(64, 64, device=self.device).matmul(torch.ones(64, 64, device=self.device)).sum().item())
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        if total != 64.0**3:
            raise EngineError(FailureClass.UNHEALTHY, f"{self.device} multiplies wrongly: {total}")
        return f"{self.device}: multiplied two matrices"

    def watched(self, _progress: Progress) -> AbstractContextManager[None]:
        """Do nothing: a model that is here is called with a few pages at a time."""
        return nullcontext()

    def memory(self) -> DeviceMemory:
        """Return the allocator's figures."""
        if not self.device.startswith("cuda"):
            return DeviceMemory()
        return DeviceMemory(torch.cuda.memory_allocated(), torch.cuda.memory_reserved(), torch.cuda.max_memory_allocated())

    def settle(self) -> None:
        """Give back what the allocator keeps for later, and begin a new peak."""
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _check_weights(role: str, checkpoint: str) -> None:
    """Find a checkpoint before surya does, which would begin to download, in every worker at once."""
    if not checkpoint.startswith(weights.S3):
        if Path(checkpoint).is_dir():
            return
        raise EngineError(FailureClass.ENGINE_MISSING, f"the weights of the {role} model are not in {checkpoint}")
    try:
        weights.require(f"the {role} model", checkpoint)
    except weights.WeightsError as error:
        raise EngineError(FailureClass.ENGINE_MISSING, str(error)) from error


def _check_allocator() -> None:
    """Refuse a combination of settings that crashes torch (pytorch/pytorch#123548)."""
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        value = os.environ.get(name, "")
        if "expandable_segments:true" in value.lower() and "max_split_size_mb" in value:
            raise EngineError(
                FailureClass.ENGINE_MISSING,
                f"{name} is {value!r:.120}: expandable_segments and max_split_size_mb together crash torch; leave one out",
            )
